/**
 * Keeps the accounts of the edge registered at their PBXs. When is on the agenda, what is decided by core/outbound-registration, what
 * is known lies in the records: each REGISTER leaves only after its CSeq was written there under the version that was read, so a
 * node whose lease has ended while it slept cannot send one.
 */
import type { Aor } from '../core/binding.ts';
import { everyDevice, sealContact } from '../core/contact-token.ts';
import {
  newRegistration,
  type OutboundEvent,
  type OutboundPolicy,
  type OutboundRegistration,
  type OutboundState,
  step,
} from '../core/outbound-registration.ts';
import type { Agenda, ClaimedTask } from '../ports/agenda.ts';
import type { Client } from '../ports/client.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ids } from '../ports/ids.ts';
import type { Log } from '../ports/log.ts';
import type { Records } from '../ports/records.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Account, Accounts } from './accounts.ts';
import { FirstSeen } from './first-seen.ts';
import { lifeSignEveryMs, Nodes } from './nodes.ts';
import { identityOf, readAnswer, registerRequest } from './register-request.ts';

export interface RegistrationsDeps {
  readonly accounts: Accounts;
  readonly records: Records;
  /** for registrations alone */
  readonly agenda: Agenda;
  readonly client: Client;
  readonly clock: Clock;
  /** milliseconds; never set back, and it goes on while the process stands still */
  readonly precise: () => number;
  readonly ids: Ids;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** 0 to 1 */
  readonly chance: () => number;
  readonly contactKey: Buffer;
  /** name of this process, another one after each start */
  readonly node: string;
  /** where the PBX of an AOR is (`sip:host:port;transport=t`), and how it reaches this node; undefined: no domain of ours */
  readonly wayOf: (aor: Aor) => { readonly nextHop: string; readonly edgeHost: string } | undefined;
  readonly policy: OutboundPolicy & {
    readonly perSecond: number;
    readonly answerMs: number;
    readonly renewAfterOutage: boolean;
    readonly deregisterOnStop: boolean;
  };
}

/** What is written of one registration. */
export interface Kept {
  readonly one: OutboundRegistration;
  /** the node that has registered last */
  readonly owner: string;
  /** fingerprint of the account it was made with */
  readonly account: string;
  /** what the PBX knows it by, `sip:user@registrar` */
  readonly identity: string;
}

export type Wish = 'register' | 'start' | 'stop' | 'remove';

const tickMs = 1000;
/** How long at most a node leaves what is due to the living node whose Contact the PBX has. */
const patienceMs = 60_000;
const pageSize = 200;
const countedForMs = 2000;
/** A REGISTER leaves so soon after its CSeq was written, or not at all: whoever stood still in between may be behind another node. */
const sendWithinMs = 2000;
/** So long after a node has seen what another has written, that one cannot send it any more. */
const quietAfterMs = sendWithinMs + 1000;
const lookAgainMs = 500;
/** How often another writer may come between. */
const attempts = 20;

export function registrationTask(aor: Aor): string {
  return `register ${aor}`;
}

function aorOfTask(task: string): Aor | undefined {
  return /^register (.+)$/s.exec(task)?.[1];
}

export class Registrations {
  readonly #deps: RegistrationsDeps;
  readonly #nodes: Nodes;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #timers = new Set<() => void>();
  /** by next hop: since when it does not answer */
  readonly #silentSince = new Map<string, number>();
  /** what others may be about to send */
  readonly #attempts: FirstSeen;
  /** what is left to the node that has registered it */
  readonly #left: FirstSeen;
  #counted: { readonly at: number; readonly totals: Promise<Readonly<Record<OutboundState, number>>> } | undefined;
  #stopped = false;

  constructor(deps: RegistrationsDeps) {
    this.#deps = deps;
    const { records, clock, precise, log, node } = deps;
    this.#attempts = new FirstSeen(precise);
    this.#left = new FirstSeen(precise);
    this.#nodes = new Nodes({ records, clock, precise, log, node, onDead: (dead) => this.#takeOver(dead) });
  }

  /** Begins to work; never rejects. */
  start(): void {
    this.#every(tickMs, () => this.#tick());
    this.#run(this.#begin());
  }

  /** Waits for what is under way, for a while. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    const quiet = Promise.allSettled([...this.#underWay]);
    let cancel = (): void => undefined;
    await Promise.race([quiet, new Promise<void>((resolve) => (cancel = this.#deps.clock.after(3000, resolve)))]);
    cancel();
    if (this.#deps.policy.deregisterOnStop) await this.#leaveAll();
    await this.#nodes.leave();
  }

  async read(aor: Aor): Promise<Kept | undefined> {
    return (await this.#read(aor))?.kept;
  }

  /** Puts a new or changed account on the agenda. */
  async changed(aor: Aor): Promise<void> {
    await this.wish(aor, 'start');
  }

  /**
   * What an operator wants now; resolves when it has been done or is on the agenda. 'remove' takes the Contact back with the password that
   * is still there, so it comes before the account goes. undefined: there is no such account.
   */
  async wish(aor: Aor, wish: Wish): Promise<Kept | undefined> {
    const account = await this.#deps.accounts.read(aor);
    if (account === undefined) return undefined;
    const now = this.#deps.clock.now();
    for (let attempt = 0; attempt < attempts; attempt++) {
      const known = await this.#read(aor);
      const event: OutboundEvent =
        wish === 'register'
          ? { is: 'renew', now }
          : wish === 'start'
            ? { is: 'start', now }
            : { is: 'stop', now, deregister: true };
      const kept = known?.kept ?? this.#fresh(account);
      // what the PBX has under another name is taken back under that name
      const as = wish === 'start' ? account : { ...account, ...namesOf(kept.identity) };
      const renamed = wish === 'start' && kept.identity !== identityOf(account);
      // what is sent at once must not overtake what another node is about to send
      if (known !== undefined && (renamed || wish === 'stop' || wish === 'remove')) {
        if (this.#notBefore(aor, known) > 0) {
          attempt -= 1;
          await new Promise<void>((resolve) => this.#deps.clock.after(lookAgainMs, resolve));
          continue;
        }
      }
      if (renamed && known !== undefined) {
        await this.#converse(aor, { ...account, ...namesOf(kept.identity) }, kept, known.version, {
          is: 'stop',
          now,
          deregister: true,
        });
        await this.#forget(aor);
        continue;
      }
      const done = await this.#converse(aor, as, kept, known?.version ?? 0, event);
      if (done === 'lost') continue;
      if (done.one.nextAt !== undefined) await this.#deps.agenda.put(registrationTask(aor), done.one.nextAt);
      if (wish === 'remove') await this.#forget(aor);
      return done;
    }
    return undefined;
  }

  /** Registers all accounts of one PBX anew, at the configured rate; `before`: those that have not been since. */
  async renewAll(nextHop: string | undefined, before: number): Promise<number> {
    let count = 0;
    for await (const [aor, kept] of this.#all()) {
      if (kept.one.state === 'stopped' || (kept.one.registeredAt ?? 0) >= before) continue;
      if (kept.one.nextAt === undefined && kept.one.state === 'rejected') continue;
      if (nextHop !== undefined && this.#deps.wayOf(aor)?.nextHop !== nextHop) continue;
      await this.#deps.agenda.put(registrationTask(aor), this.#deps.clock.now());
      count += 1;
    }
    return count;
  }

  /** Accounts by state, of all nodes; counted at most every two seconds, whoever asks. */
  count(): Promise<Readonly<Record<OutboundState, number>>> {
    const now = this.#deps.clock.now();
    if (this.#counted === undefined || now - this.#counted.at >= countedForMs) {
      const totals = this.#count();
      this.#counted = { at: now, totals };
      totals.catch(() => (this.#counted = undefined));
    }
    return this.#counted.totals;
  }

  async #count(): Promise<Readonly<Record<OutboundState, number>>> {
    const totals = { registered: 0, registering: 0, rejected: 0, unregistered: 0, stopped: 0 };
    for await (const [, { one }] of this.#all()) totals[one.state] += 1;
    return totals;
  }

  async *#all(): AsyncGenerator<readonly [Aor, Kept, number]> {
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page: Awaited<ReturnType<Records['scan']>> = await this.#deps.records.scan(
        'registration',
        cursor,
        pageSize,
      );
      for (const { name, value, version } of page.records) {
        const kept = parse(value);
        if (kept !== undefined) yield [name, kept, version];
      }
      cursor = page.next;
    }
  }

  async #begin(): Promise<void> {
    const { accounts, agenda, clock, log } = this.#deps;
    try {
      await accounts.follow();
      await this.#nodes.follow();
      const configured = [...accounts.configured.values()];
      for (let at = 0; at < configured.length; at += pageSize)
        await Promise.all(configured.slice(at, at + pageSize).map((account) => this.#enter(account)));
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const page: Awaited<ReturnType<Accounts['scan']>> = await accounts.scan(cursor, pageSize);
        await Promise.all(page.accounts.map((account) => this.#enter(account)));
        cursor = page.next;
      }
      for await (const [aor, kept] of this.#all()) {
        if (accounts.has(aor)) continue;
        log.info(
          { aor, domain: kept.identity },
          'account is gone from the configuration: its registration at the PBX ends by itself',
        );
        await this.#forget(aor);
        await agenda.put(registrationTask(aor), clock.now());
      }
    } catch (err) {
      log.warn({ err }, 'registrations at PBXs have to wait for the store');
      this.#once(lifeSignEveryMs, () => this.#begin());
      return;
    }
    this.#every(lifeSignEveryMs, async () => {
      await accounts.follow();
      await this.#nodes.follow();
    });
  }

  /** Puts an account on the agenda as this start finds it. */
  async #enter(account: Account): Promise<void> {
    const { accounts, agenda, clock } = this.#deps;
    const known = await this.#read(account.aor);
    const now = clock.now();
    if (
      known === undefined ||
      (known.kept.account !== accounts.fingerprint(account) && known.kept.one.state !== 'stopped')
    )
      return void (await this.wish(account.aor, 'start'));
    const { state, nextAt, attempt, triedAt } = known.kept.one;
    if (state === 'stopped') return;
    // given up before: a start is somebody's wish to see whether it works now
    if (nextAt === undefined && attempt === undefined) return void (await this.wish(account.aor, 'start'));
    // what is not long overdue is on the agenda, or in the hands of another node; it may be sooner there than this says
    if ((nextAt ?? triedAt ?? 0) + this.#leaseMs < now) await agenda.put(registrationTask(account.aor), now);
  }

  /** A node that dies with a task loses it after this long. */
  get #leaseMs(): number {
    return 2 * this.#deps.policy.answerMs + 30_000;
  }

  /** One page of the agenda in a second, evenly over it. */
  async #tick(): Promise<void> {
    const { agenda, clock, policy } = this.#deps;
    const now = clock.now();
    const claimed = await agenda.claim(now, now + this.#leaseMs, policy.perSecond);
    for (const [at, task] of claimed.entries())
      this.#once((at * tickMs) / policy.perSecond, () => this.#due(task).catch((err: unknown) => this.#failed(err)));
  }

  async #due(claimed: ClaimedTask): Promise<void> {
    const { accounts, agenda, clock, node, wayOf, ids } = this.#deps;
    const aor = aorOfTask(claimed.task);
    // of a later version, which knows what to do with it
    if (aor === undefined) return;
    const account = await accounts.read(aor);
    const way = wayOf(aor);
    if (account === undefined || way === undefined) {
      await this.#forget(aor);
      return agenda.settle(claimed, undefined);
    }
    const known = await this.#read(aor);
    const kept = known?.kept ?? this.#fresh(account);
    const contact = `sip:${sealContact(this.#deps.contactKey, { aor, bindingId: everyDevice })}@${way.edgeHost}`;
    const now = clock.now();
    const theirs = kept.owner !== node && kept.one.contact !== undefined && kept.one.contact !== contact;
    const isLeft = theirs && this.#nodes.lives(kept.owner);
    if (isLeft && this.#left.for(aor, known?.version ?? 0) < patienceWith(kept.one))
      // by chance, so that it is not always the same node that comes first
      return agenda.settle(claimed, now + Math.round(tickMs * (0.2 + 1.3 * this.#deps.chance())));
    this.#left.forget(aor);
    const wait = known === undefined ? 0 : this.#notBefore(aor, known);
    if (wait > 0) return agenda.settle(claimed, now + wait);
    const done = await this.#converse(aor, account, kept, known?.version ?? 0, {
      is: 'due',
      now,
      contact,
      callId: ids.uuid(),
    });
    // whoever was faster plans the next one
    if (done === 'lost') return;
    await agenda.settle(claimed, done.one.nextAt);
  }

  /** Ms until nobody can send any more what is written here; 0 when nothing is, or it was seen for long enough. */
  #notBefore(aor: Aor, { kept, version }: { readonly kept: Kept; readonly version: number }): number {
    if (kept.one.attempt !== undefined) return Math.max(0, Math.ceil(quietAfterMs - this.#attempts.for(aor, version)));
    this.#attempts.forget(aor);
    return 0;
  }

  /** One event and all that follows from it, until nothing is under way. 'lost': somebody else has written meanwhile. */
  async #converse(
    aor: Aor,
    account: Account,
    before: Kept,
    version: number,
    first: OutboundEvent,
  ): Promise<Kept | 'lost'> {
    const { records, policy, accounts, node } = this.#deps;
    const machine = { ...policy, expires: account.expires ?? policy.expires };
    let written = version;
    let event = first;
    let kept = before;
    for (;;) {
      const [one, effects] = step(kept.one, event, machine);
      const owner = event.is === 'due' || kept.one.attempt !== undefined ? node : kept.owner;
      const unchanged = one === kept.one && written !== 0;
      kept = { one, owner, account: accounts.fingerprint(account), identity: identityOf(account) };
      const asked = this.#deps.precise();
      const swapped = unchanged ? written : await records.swap('registration', aor, written, JSON.stringify(kept));
      if (swapped === undefined) return 'lost';
      written = swapped;
      const effect = effects.find((each) => each.do === 'send');
      if (effect === undefined) {
        this.#account(aor, before, kept);
        return kept;
      }
      if (this.#deps.precise() - asked > sendWithinMs) return 'lost';
      event = await this.#send(aor, account, one, effect);
    }
  }

  async #send(
    aor: Aor,
    account: Account,
    one: OutboundRegistration,
    effect: Parameters<typeof registerRequest>[2],
  ): Promise<OutboundEvent> {
    const { client, clock, chance, ids, wayOf, policy, log, telemetry } = this.#deps;
    const way = wayOf(aor);
    const opened = account.open();
    const { cseq } = effect;
    const silent = (): OutboundEvent => ({ is: 'silent', now: clock.now(), chance: chance(), cseq });
    if (way === undefined) return silent();
    if (opened.is === 'locked') {
      log.error({ aor, reason: opened.why }, 'account cannot be used');
      return { is: 'unusable', now: clock.now(), cseq, reason: opened.why };
    }
    const { response, local } = await client.send({
      ...registerRequest(account, one, effect, opened.password, ids.hex),
      nextHop: way.nextHop,
      timeoutMs: policy.answerMs,
    });
    telemetry.count('outboundRegisters', { result: local ? 'none' : resultOf(response.status) });
    this.#heard(way.nextHop, !local);
    if (local) return silent();
    const answer = readAnswer(response, effect.contacts[0]?.uri ?? '', account.realm);
    return { is: 'answered', now: clock.now(), chance: chance(), cseq, answer };
  }

  /** A PBX that was silent and answers again may have been restarted and know nobody any more. */
  #heard(nextHop: string, answered: boolean): void {
    const { clock, log, policy } = this.#deps;
    const since = this.#silentSince.get(nextHop);
    if (!answered) {
      if (since === undefined) {
        this.#silentSince.set(nextHop, clock.now());
        log.warn({ remote: nextHop }, 'the PBX does not answer REGISTER');
      }
      return;
    }
    if (since === undefined) return;
    this.#silentSince.delete(nextHop);
    log.info({ remote: nextHop, ms: clock.now() - since }, 'the PBX answers REGISTER again');
    if (policy.renewAfterOutage)
      this.#run(
        this.renewAll(nextHop, clock.now()).then((count) =>
          log.info({ remote: nextHop, count }, 'registering the accounts of this PBX anew'),
        ),
      );
  }

  #account(aor: Aor, before: Kept, { one }: Kept): void {
    const { log } = this.#deps;
    if (one.state === before.one.state && one.failure?.status === before.one.failure?.status) return;
    const { state, failure, nextAt } = one;
    const seconds = nextAt === undefined ? undefined : Math.round((nextAt - this.#deps.clock.now()) / 1000);
    const facts = { aor, outcome: state, status: failure?.status, reason: failure?.reason, seconds };
    if (state === 'rejected') log.warn(facts, 'account is not registered at its PBX');
    else log.info(facts, 'registration of an account has changed');
  }

  /** The registrations of a node that died have its address, where nobody is any more. */
  async #takeOver(dead: string): Promise<void> {
    const { agenda, clock, wayOf } = this.#deps;
    for await (const [aor, { owner, one }] of this.#all()) {
      if (owner !== dead || one.state === 'stopped' || one.contact === undefined) continue;
      const here = wayOf(aor)?.edgeHost;
      if (here !== undefined && !one.contact.endsWith(`@${here}`)) await agenda.put(registrationTask(aor), clock.now());
    }
  }

  async #leaveAll(): Promise<void> {
    const { accounts, clock, node, log } = this.#deps;
    try {
      for await (const [aor, kept, version] of this.#all()) {
        const account = kept.owner === node && kept.one.state === 'registered' ? await accounts.read(aor) : undefined;
        if (account === undefined) continue;
        const now = clock.now();
        const left = await this.#converse(aor, account, kept, version, { is: 'stop', now, deregister: true });
        // whoever starts next, here or elsewhere, registers it again
        if (left !== 'lost') await this.wish(aor, 'start');
      }
    } catch (err) {
      log.warn({ err }, 'not every registration could be taken back');
    }
  }

  #fresh(account: Account): Kept {
    const { ids, clock, accounts, node } = this.#deps;
    return {
      one: newRegistration(ids.uuid(), ids.hex(8), clock.now()),
      owner: node,
      account: accounts.fingerprint(account),
      identity: identityOf(account),
    };
  }

  async #read(aor: Aor): Promise<{ readonly kept: Kept; readonly version: number } | undefined> {
    const record = await this.#deps.records.read('registration', aor);
    const kept = record === undefined ? undefined : parse(record.value);
    return record === undefined || kept === undefined ? undefined : { kept, version: record.version };
  }

  async #forget(aor: Aor): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const record = await this.#deps.records.read('registration', aor);
      if (record === undefined) return;
      if ((await this.#deps.records.swap('registration', aor, record.version, undefined)) !== undefined) return;
    }
  }

  #failed(err: unknown): void {
    this.#deps.log.warn({ err }, 'a registration at a PBX has to wait for the store');
  }

  #run(work: Promise<unknown>): void {
    const watched = work.catch((err: unknown) => this.#failed(err)).finally(() => this.#underWay.delete(watched));
    this.#underWay.add(watched);
  }

  #once(ms: number, task: () => Promise<void>): void {
    if (this.#stopped) return;
    const cancel = this.#deps.clock.after(ms, () => {
      this.#timers.delete(cancel);
      this.#run(task());
    });
    this.#timers.add(cancel);
  }

  /** The next one begins when this one has ended. */
  #every(ms: number, task: () => Promise<void>): void {
    this.#once(ms, async () => {
      try {
        await task();
      } catch (err) {
        this.#failed(err);
      }
      this.#every(ms, task);
    });
  }
}

/** Ms; half of the time that is left at most, so that a node that is too busy loses it before the PBX forgets it. */
function patienceWith({ nextAt, expiresAt }: OutboundRegistration): number {
  if (nextAt === undefined || expiresAt === undefined) return 0;
  return Math.min(patienceMs, (expiresAt - nextAt) / 2);
}

function namesOf(identity: string): Pick<Account, 'user' | 'registrar'> {
  const [, user = '', registrar = ''] = /^sip:(.*)@([^@]*)$/s.exec(identity) ?? [];
  return { user, registrar: registrar.replace(/^\[|\]$/g, '') };
}

function resultOf(status: number): '2xx' | '3xx' | '4xx' | '5xx' | '6xx' | 'challenged' {
  if (status === 401 || status === 407) return 'challenged';
  return status < 300 ? '2xx' : status < 400 ? '3xx' : status < 500 ? '4xx' : status < 600 ? '5xx' : '6xx';
}

function parse(value: string): Kept | undefined {
  try {
    return JSON.parse(value) as Kept;
  } catch {
    return undefined;
  }
}
