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
import { type Account, type Accounts, namesOf } from './accounts.ts';
import { FirstSeen } from './first-seen.ts';
import { type Kept, KeptRegistrations } from './kept.ts';
import { lifeSignEveryMs, Nodes } from './nodes.ts';
import { identityOf } from './register-request.ts';
import { RegisterSender } from './send-register.ts';
import { Work } from './work.ts';

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

export type Wish = 'register' | 'start' | 'stop';

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
  readonly #kept: KeptRegistrations;
  readonly #work: Work;
  /** what others may be about to send */
  readonly #attempts: FirstSeen;
  /** what is left to the node that has registered it */
  readonly #left: FirstSeen;
  readonly #sender: RegisterSender;
  /** accounts a config no longer has, until they are taken back: without a key their passwords are nowhere else */
  readonly #gone = new Map<Aor, Account>();
  #counted: { readonly at: number; readonly totals: Promise<Readonly<Record<OutboundState, number>>> } | undefined;
  /** there is no account, and nothing to be taken back: then nobody asks the agenda, and what others put there waits for their own look */
  #isIdle = false;
  /** tasks of ours so far */
  #puts = 0;

  constructor(deps: RegistrationsDeps) {
    this.#deps = deps;
    const { records, clock, precise, log, node } = deps;
    this.#attempts = new FirstSeen(precise);
    this.#left = new FirstSeen(precise);
    this.#kept = new KeptRegistrations(records);
    this.#work = new Work(clock, (err) => log.warn({ err }, 'a registration at a PBX has to wait for the store'));
    this.#sender = new RegisterSender(deps, (remote) => {
      if (deps.policy.renewAfterOutage)
        this.#work.run(
          this.renewAll(remote, clock.now()).then((count) =>
            log.info({ remote, count }, 'registering the accounts of this PBX anew'),
          ),
        );
    });
    this.#nodes = new Nodes({ records, clock, precise, log, node, onDead: (dead) => this.#takeOver(dead) });
  }

  /** Begins to work; never rejects. */
  start(): void {
    this.#work.every(tickMs, () => this.#tick());
    this.#work.run(this.#begin());
  }

  /** Waits for what is under way, for a while. */
  async stop(): Promise<void> {
    await this.#work.stop();
    if (this.#deps.policy.deregisterOnStop) await this.#leaveAll();
    await this.#nodes.leave();
  }

  async read(aor: Aor): Promise<Kept | undefined> {
    return (await this.#kept.read(aor))?.kept;
  }

  /** What is written of all of them, in pages. */
  scan(cursor: string, limit: number): ReturnType<KeptRegistrations['scan']> {
    return this.#kept.scan(cursor, limit);
  }

  /** Puts a new or changed account on the agenda. */
  async changed(aor: Aor): Promise<void> {
    await this.wish(aor, 'start');
  }

  /** What an operator wants now; resolves when it has been done or is on the agenda. undefined: there is no such account. */
  async wish(aor: Aor, wish: Wish): Promise<Kept | undefined> {
    const { accounts, clock } = this.#deps;
    const account = await accounts.read(aor);
    if (account === undefined) return undefined;
    const now = clock.now();
    const stop: OutboundEvent = { is: 'stop', now, deregister: true };
    const event = wish === 'stop' ? stop : ({ is: wish === 'register' ? 'renew' : 'start', now } as const);
    for (let attempt = 0; attempt < attempts; attempt++) {
      const known = await this.#kept.read(aor);
      const kept = known?.kept ?? this.#fresh(account);
      const renamed = wish === 'start' && kept.identity !== identityOf(account);
      if ((renamed || wish === 'stop') && (await this.#waited(aor, known))) {
        attempt -= 1;
        continue;
      }
      if (renamed && known !== undefined) {
        // what the PBX has under another name is taken back under that name
        const former = accounts.former(aor, kept) ?? { ...account, ...namesOf(kept.identity) };
        await this.#converse(aor, former, kept, known.version, stop);
        await this.#kept.forget(aor);
        continue;
      }
      const as = wish === 'start' ? account : { ...account, ...namesOf(kept.identity) };
      const done = await this.#converse(aor, as, kept, known?.version ?? 0, event);
      if (done === 'lost') continue;
      if (done.one.nextAt !== undefined) await this.#put(aor, done.one.nextAt);
      return done;
    }
    return undefined;
  }

  /** Takes back what an account has that is gone; 'ending': the PBX could not be told yet, and is from the agenda. */
  async remove(account: Account): Promise<'ended' | 'ending'> {
    const { clock } = this.#deps;
    const { aor } = account;
    // whoever dies in between leaves it to another
    await this.#put(aor, clock.now() + this.#leaseMs);
    for (let attempt = 0; attempt < attempts; attempt++) {
      const known = await this.#kept.read(aor);
      if (known === undefined) return 'ended';
      if (await this.#waited(aor, known)) {
        attempt -= 1;
        continue;
      }
      const stop: OutboundEvent = { is: 'stop', now: clock.now(), deregister: true };
      const done = await this.#converse(aor, account, { ...known.kept, leaving: true }, known.version, stop);
      if (done === 'lost') continue;
      if (done.one.nextAt === undefined) {
        await this.#kept.forget(aor);
        return 'ended';
      }
      await this.#put(aor, done.one.nextAt);
      break;
    }
    return 'ending';
  }

  /** Accounts of a config that was read again: new and changed ones register, what is gone is taken back, at the configured rate. */
  async reconfigure(configured: ReadonlyMap<Aor, Account>): Promise<void> {
    const { accounts } = this.#deps;
    const before = accounts.configured;
    accounts.configure(configured);
    for (const account of configured.values()) {
      const old = before.get(account.aor);
      if (old === undefined || accounts.fingerprint(old) !== accounts.fingerprint(account)) await this.#enter(account);
    }
    for (const [aor, account] of before) {
      if (configured.has(aor)) continue;
      // what the config has hidden
      const provisioned = await accounts.read(aor);
      if (provisioned !== undefined) await this.#enter(provisioned);
      else if (await this.#markGone(aor)) this.#gone.set(aor, account);
    }
  }

  /** Registers all accounts of one PBX anew, at the configured rate; `before`: those that have not been since. */
  async renewAll(nextHop: string | undefined, before: number): Promise<number> {
    let count = 0;
    for await (const [aor, kept] of this.#kept.all()) {
      if (kept.leaving || kept.one.state === 'stopped' || (kept.one.registeredAt ?? 0) >= before) continue;
      if (kept.one.nextAt === undefined && kept.one.state === 'rejected') continue;
      if (nextHop !== undefined && this.#deps.wayOf(aor)?.nextHop !== nextHop) continue;
      await this.#put(aor, this.#deps.clock.now());
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
    for await (const [, { one, leaving }] of this.#kept.all()) totals[leaving ? 'stopped' : one.state] += 1;
    return totals;
  }

  async #begin(): Promise<void> {
    const { accounts, clock, log } = this.#deps;
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
      for await (const [aor, kept] of this.#kept.all()) {
        if (accounts.has(aor)) continue;
        if (kept.leaving) await this.#put(aor, clock.now());
        // while the node that has it lives, that one knows whether it is gone
        else if (!this.#isOfAnother(kept)) await this.#markGone(aor);
      }
      await this.#lookIfIdle();
    } catch (err) {
      log.warn({ err }, 'registrations at PBXs have to wait for the store');
      this.#work.once(lifeSignEveryMs, () => this.#begin());
      return;
    }
    this.#work.every(lifeSignEveryMs, async () => {
      await accounts.follow();
      await this.#nodes.follow();
      await this.#lookIfIdle();
    });
  }

  /** Puts an account on the agenda as this start finds it. */
  async #enter(account: Account): Promise<void> {
    const { accounts, clock } = this.#deps;
    const known = await this.#kept.read(account.aor);
    const now = clock.now();
    if (
      known === undefined ||
      known.kept.leaving === true ||
      (known.kept.account !== accounts.fingerprint(account) && known.kept.one.state !== 'stopped')
    )
      return void (await this.wish(account.aor, 'start'));
    const { state, nextAt, attempt, triedAt } = known.kept.one;
    // its removal may have been on its way
    if (state === 'stopped' && nextAt === undefined && attempt === undefined) return;
    // given up before: a start is somebody's wish to see whether it works now
    if (nextAt === undefined && attempt === undefined) return void (await this.wish(account.aor, 'start'));
    // what is not long overdue is on the agenda, or in the hands of another node; it may be sooner there than this says
    if ((nextAt ?? triedAt ?? 0) + this.#leaseMs < now) await this.#put(account.aor, now);
  }

  /** A node that dies with a task loses it after this long. */
  get #leaseMs(): number {
    return 2 * this.#deps.policy.answerMs + 30_000;
  }

  async #put(aor: Aor, at: number): Promise<void> {
    this.#puts += 1;
    this.#isIdle = false;
    await this.#deps.agenda.put(registrationTask(aor), at);
  }

  /** What another node provisions is seen here now and then; until then that one has it. */
  async #lookIfIdle(): Promise<void> {
    const before = this.#puts;
    const isIdle = !this.#deps.accounts.any && !(await this.#kept.any());
    this.#isIdle = isIdle && before === this.#puts;
  }

  /** One page of the agenda in a second, evenly over it. */
  async #tick(): Promise<void> {
    if (this.#isIdle) return;
    const { agenda, clock, policy } = this.#deps;
    const now = clock.now();
    const claimed = await agenda.claim(now, now + this.#leaseMs, policy.perSecond);
    for (const [at, task] of claimed.entries())
      this.#work.once((at * tickMs) / policy.perSecond, () => this.#due(task));
  }

  async #due(claimed: ClaimedTask): Promise<void> {
    const { accounts, agenda, clock, node, wayOf, ids } = this.#deps;
    const aor = aorOfTask(claimed.task);
    // of a later version, which knows what to do with it
    if (aor === undefined) return;
    const account = await accounts.read(aor);
    const way = wayOf(aor);
    const known = await this.#kept.read(aor);
    if (account === undefined || way === undefined || known?.kept.leaving) return this.#leave(claimed, aor, known);
    const kept = known?.kept ?? this.#fresh(account);
    const contact = `sip:${sealContact(this.#deps.contactKey, { aor, bindingId: everyDevice })}@${way.edgeHost}`;
    const now = clock.now();
    const theirs = kept.owner !== node && kept.one.contact !== undefined && kept.one.contact !== contact;
    const isLeft = theirs && this.#nodes.lives(kept.owner);
    if (isLeft && this.#left.for(aor, known?.version ?? 0) < patienceWith(kept.one)) return this.#handBack(claimed);
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

  /** What is sent at once must not overtake what another node is about to send; true: look again, it has been waited for. */
  async #waited(aor: Aor, known: Awaited<ReturnType<KeptRegistrations['read']>>): Promise<boolean> {
    if (known === undefined || this.#notBefore(aor, known) === 0) return false;
    await new Promise<void>((resolve) => this.#deps.clock.after(lookAgainMs, resolve));
    return true;
  }

  /** Ms until nobody can send any more what is written here; 0 when nothing is, or it was seen for long enough. */
  #notBefore(aor: Aor, { kept, version }: { readonly kept: Kept; readonly version: number }): number {
    if (kept.one.attempt !== undefined) return Math.max(0, Math.ceil(quietAfterMs - this.#attempts.for(aor, version)));
    this.#attempts.forget(aor);
    return 0;
  }

  /** By chance, so that it is not always the same node that comes first. */
  #handBack(claimed: ClaimedTask): Promise<void> {
    const { agenda, clock, chance } = this.#deps;
    return agenda.settle(claimed, clock.now() + Math.round(tickMs * (0.2 + 1.3 * chance())));
  }

  #isOfAnother({ owner }: Kept): boolean {
    return owner !== this.#deps.node && this.#nodes.lives(owner);
  }

  /** False: there is nothing to take back. */
  async #markGone(aor: Aor): Promise<boolean> {
    const { clock, node, log } = this.#deps;
    for (let attempt = 0; attempt < attempts; attempt++) {
      const known = await this.#kept.read(aor);
      if (known === undefined) return false;
      const marked: Kept = { ...known.kept, leaving: true, owner: node };
      if ((await this.#kept.write(aor, known.version, marked)) === undefined) continue;
      log.info({ aor, domain: marked.identity }, 'account is gone: its registration at the PBX is taken back');
      await this.#put(aor, clock.now());
      return true;
    }
    return false;
  }

  /** One try to take back what an account that is gone has at its PBX; after the last one it is forgotten. */
  async #leave(claimed: ClaimedTask, aor: Aor, known: Awaited<ReturnType<KeptRegistrations['read']>>): Promise<void> {
    const { accounts, agenda, clock, ids, log } = this.#deps;
    if (known === undefined) return agenda.settle(claimed, undefined);
    const { kept, version } = known;
    const account = this.#gone.get(aor) ?? accounts.former(aor, kept) ?? (await accounts.read(aor));
    // the node that has registered it may have the account still, or its password
    if (this.#isOfAnother(kept) && (!kept.leaving || account === undefined)) return this.#handBack(claimed);
    const wait = this.#notBefore(aor, known);
    if (wait > 0) return agenda.settle(claimed, clock.now() + wait);
    if (account === undefined)
      log.warn({ aor, domain: kept.identity }, 'no password to take a registration back with: it ends by itself');
    else {
      const now = clock.now();
      const event: OutboundEvent =
        kept.one.state === 'stopped'
          ? { is: 'due', now, contact: kept.one.contact ?? '', callId: ids.uuid() }
          : { is: 'stop', now, deregister: true };
      const done = await this.#converse(aor, account, { ...kept, leaving: true }, version, event);
      if (done === 'lost') return;
      if (done.one.nextAt !== undefined) return agenda.settle(claimed, done.one.nextAt);
    }
    await this.#kept.forget(aor);
    this.#gone.delete(aor);
    await agenda.settle(claimed, undefined);
  }

  /** One event and all that follows from it, until nothing is under way. 'lost': somebody else has written meanwhile. */
  async #converse(
    aor: Aor,
    account: Account,
    before: Kept,
    version: number,
    first: OutboundEvent,
  ): Promise<Kept | 'lost'> {
    const { policy, accounts, node, wayOf } = this.#deps;
    const machine = { ...policy, expires: account.expires ?? policy.expires };
    const login = accounts.keep(account, wayOf(aor)?.nextHop, before);
    const made =
      account.source === 'removed'
        ? { account: before.account, identity: before.identity, ...(before.login && { login: before.login }) }
        : { account: accounts.fingerprint(account), identity: identityOf(account), ...(login && { login }) };
    const leaving = before.leaving && first.is !== 'start' ? { leaving: true as const } : {};
    let written = version;
    let event = first;
    let kept = before;
    for (;;) {
      const [one, effects] = step(kept.one, event, machine);
      const owner = event.is === 'due' || kept.one.attempt !== undefined ? node : kept.owner;
      const unchanged = one === kept.one && written !== 0;
      kept = { one, owner, ...made, ...leaving };
      const asked = this.#deps.precise();
      const swapped = unchanged ? written : await this.#kept.write(aor, written, kept);
      if (swapped === undefined) return 'lost';
      written = swapped;
      const effect = effects.find((each) => each.do === 'send');
      if (effect === undefined) {
        this.#account(aor, before, kept);
        return kept;
      }
      if (this.#deps.precise() - asked > sendWithinMs) return 'lost';
      event = await this.#sender.send(aor, account, one, effect);
    }
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
    const { accounts, clock, wayOf } = this.#deps;
    for await (const [aor, { owner, one, leaving }] of this.#kept.all()) {
      if (owner !== dead) continue;
      if (leaving || !accounts.has(aor)) await this.#put(aor, clock.now());
      if (one.state === 'stopped' || one.contact === undefined) continue;
      const here = wayOf(aor)?.edgeHost;
      if (here !== undefined && !one.contact.endsWith(`@${here}`)) await this.#put(aor, clock.now());
    }
  }

  async #leaveAll(): Promise<void> {
    const { accounts, clock, node, log } = this.#deps;
    try {
      for await (const [aor, kept, version] of this.#kept.all()) {
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
}

/** Ms; half of the time that is left at most, so that a node that is too busy loses it before the PBX forgets it. */
function patienceWith({ nextAt, expiresAt }: OutboundRegistration): number {
  if (nextAt === undefined || expiresAt === undefined) return 0;
  return Math.min(patienceMs, (expiresAt - nextAt) / 2);
}
