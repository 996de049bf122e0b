/**
 * The notifier of the reg event package (RFC 3680) where the edge is the registrar: a user may watch his own registrations. Whole
 * documents, not more than one in five seconds (RFC 3680 4.10), the last one when the subscription ends.
 */
import type { Aor, Binding } from '../core/binding.ts';
import { liveBindings } from '../core/binding-set.ts';
import { type Ended, printRegInfo, regInfoKey } from '../core/reg-info.ts';
import type { Subscriptions } from '../call/subscriptions.ts';
import type { Clock } from '../ports/clock.ts';
import type { Dialog } from '../ports/dialog.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { Log } from '../ports/log.ts';
import type { NodeBus } from '../ports/node-bus.ts';
import type { DialogTransaction, ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';

export interface RegEventDeps {
  readonly store: LocationStore;
  readonly bus: NodeBus;
  readonly clock: Clock;
  readonly log: Log;
  readonly subscriptions: Subscriptions;
  readonly gruuKey: Buffer;
}

const contentType = 'application/reginfo+xml';
/** RFC 3680 4.4 */
const usualSeconds = 3761;
const longestSeconds = 86_400;
const shortestSeconds = 60;
const betweenMs = 5000;
/** Whoever refreshes a little late still finds the subscription. */
const graceMs = 35_000;

/** True when the SUBSCRIBE is for this package. */
export function asksForRegEvent(headers: Headers): boolean {
  return /^\s*reg\s*(?:;|$)/i.test(headers.get('Event') ?? '');
}

/** Answers exactly once. `wakeful`: the subscriber's dialog, made one that wakes his phone. Never rejects. */
export async function serveRegEvent(
  transaction: DialogTransaction,
  aor: Aor,
  wakeful: (subscriber: Dialog) => Dialog,
  deps: RegEventDeps,
): Promise<void> {
  const { headers } = transaction.request;
  const accept = headers.list('Accept').map((one) => one.split(';', 1)[0]?.trim().toLowerCase());
  if (accept.length > 0 && !accept.some((one) => one === contentType || one === '*/*' || one === 'application/*'))
    return void (await transaction.respond({ status: 406, headers: Headers.of([['Accept', contentType]]) }));
  const seconds = granted(headers);
  if (seconds === undefined) return void (await transaction.respond(tooBrief));
  const release = deps.subscriptions.ask();
  if (release === undefined) return void (await transaction.respond({ status: 503 }));
  const dialog = await transaction.accept({ status: 200, headers: Headers.of([['Expires', String(seconds)]]) });
  release();
  if (dialog === undefined) return;
  const event = headers.get('Event') ?? 'reg';
  await new Watch(wakeful(dialog), aor, { event, callId: headers.get('Call-ID') ?? '' }, deps).begin(seconds);
}

const tooBrief = { status: 423, headers: Headers.of([['Min-Expires', String(shortestSeconds)]]) };

/** Seconds; 0 asks for one document only; undefined: too short. */
function granted(headers: Headers): number | undefined {
  const text = headers.get('Expires')?.trim() ?? '';
  const asked = /^\d{1,9}$/.test(text) ? Number(text) : usualSeconds;
  if (asked > 0 && asked < shortestSeconds) return undefined;
  return Math.min(asked, longestSeconds);
}

interface Names {
  /** as the subscriber wrote it */
  readonly event: string;
  readonly callId: string;
}

class Watch {
  readonly #dialog: Dialog;
  readonly #aor: Aor;
  readonly #names: Names;
  readonly #deps: RegEventDeps;
  #version = 0;
  #endsAt = 0;
  #last: readonly Binding[] = [];
  #lastKey = '';
  #toldAt = Number.NEGATIVE_INFINITY;
  /** one look at a time; true: and another one behind it */
  #looking: boolean | undefined;
  #over = false;
  #stopTimer: (() => void) | undefined;
  #stopWaiting: (() => void) | undefined;
  #unsubscribe: (() => void) | undefined;
  #leave: (() => void) | undefined;

  constructor(dialog: Dialog, aor: Aor, names: Names, deps: RegEventDeps) {
    this.#dialog = dialog;
    this.#aor = aor;
    this.#names = names;
    this.#deps = deps;
  }

  async begin(seconds: number): Promise<void> {
    const { bus, subscriptions, log, clock } = this.#deps;
    this.#leave = subscriptions.add(() => void this.#end('deactivated'));
    this.#dialog.onEnd(() => this.#close('lost'));
    this.#dialog.onRequest((transaction) => void this.#requested(transaction));
    this.#endsAt = clock.now() + seconds * 1000;
    log.info({ callId: this.#names.callId, aor: this.#aor, kind: 'reg', seconds }, 'subscription begun');
    if (seconds === 0) return this.#end('timeout');
    const unsubscribe = await bus.subscribe(this.#aor, () => void this.#look(false));
    if (this.#over) return unsubscribe();
    this.#unsubscribe = unsubscribe;
    await this.#look(true);
  }

  async #requested(transaction: ServerTransaction): Promise<void> {
    const { method, headers } = transaction.request;
    if (method !== 'SUBSCRIBE' || this.#over)
      return void (await transaction.respond({ status: this.#over ? 481 : 403 }));
    const seconds = granted(headers);
    if (seconds === undefined) return void (await transaction.respond(tooBrief));
    this.#endsAt = this.#deps.clock.now() + seconds * 1000;
    await transaction.respond({ status: 200, headers: Headers.of([['Expires', String(seconds)]]) });
    if (seconds === 0) await this.#end('timeout');
    else await this.#look(true);
  }

  /** `asked`: the subscriber is told whatever there is; else only what is new, and not too often. */
  async #look(asked: boolean): Promise<void> {
    const { clock, log } = this.#deps;
    if (this.#over) return;
    if (this.#looking !== undefined) {
      this.#looking = true;
      return;
    }
    const soon = this.#toldAt + betweenMs - clock.now();
    if (!asked && soon > 0) {
      this.#stopWaiting ??= clock.after(soon, () => {
        this.#stopWaiting = undefined;
        void this.#look(false);
      });
      return;
    }
    this.#looking = false;
    try {
      await this.#tell(asked);
    } catch (err) {
      log.warn({ aor: this.#aor, err }, 'registrations not told');
    }
    const again = this.#looking as boolean;
    this.#looking = undefined;
    if (again) await this.#look(false);
  }

  async #tell(asked: boolean): Promise<void> {
    const { store, clock } = this.#deps;
    const bindings = liveBindings((await store.read(this.#aor)).bindings, clock.now());
    const key = regInfoKey(bindings);
    if (this.#over) return;
    if (asked || key !== this.#lastKey) {
      const seconds = Math.max(0, Math.ceil((this.#endsAt - clock.now()) / 1000));
      await this.#notify(bindings, `active;expires=${seconds}`);
    }
    this.#watchTime(bindings);
  }

  async #notify(bindings: readonly Binding[], state: string): Promise<void> {
    const { clock, gruuKey } = this.#deps;
    const now = clock.now();
    const there = new Set(bindings.map(({ id }) => id));
    const ended = this.#last
      .filter(({ id }) => !there.has(id))
      .map((binding): Ended => ({ binding, event: binding.expiresAt <= now ? 'expired' : 'unregistered' }));
    const known = new Set(this.#last.map(({ id }) => id));
    const body = printRegInfo({ aor: this.#aor, version: this.#version, bindings, ended, known }, gruuKey, now);
    this.#version += 1;
    this.#last = bindings;
    this.#lastKey = regInfoKey(bindings);
    this.#toldAt = now;
    const headers = Headers.of([
      ['Event', this.#names.event],
      ['Subscription-State', state],
      ['Content-Type', contentType],
    ]);
    const { response, local } = await this.#dialog.request({ method: 'NOTIFY', headers, body });
    // what we say ourselves in place of a phone that sleeps on must not end what it still has (PN-PURR-13)
    const isLost = local ? response.status === 481 : response.status >= 300 && !response.headers.has('Retry-After');
    if (isLost) this.#close('refused');
  }

  /** The next moment at which something ends by itself. */
  #watchTime(bindings: readonly Binding[]): void {
    if (this.#over) return;
    const { clock } = this.#deps;
    const now = clock.now();
    const ends = Math.min(this.#endsAt + graceMs, ...bindings.map(({ expiresAt }) => expiresAt));
    this.#stopTimer?.();
    // a timer holds some 24 days at most
    this.#stopTimer = clock.after(Math.min(Math.max(ends - now, 100), 86_400_000), () => {
      if (clock.now() >= this.#endsAt + graceMs) void this.#end('timeout');
      else void this.#look(false).then(() => this.#watchTime(this.#last));
    });
  }

  /** Tells the subscriber for the last time. */
  async #end(reason: 'timeout' | 'deactivated'): Promise<void> {
    if (this.#over) return;
    this.#stop();
    const { store, clock, log } = this.#deps;
    try {
      const bindings = liveBindings((await store.read(this.#aor)).bindings, clock.now());
      await this.#notify(bindings, `terminated;reason=${reason}`);
    } catch (err) {
      log.warn({ aor: this.#aor, err }, 'registrations not told');
    }
    this.#dialog.close();
    this.#finish(reason);
  }

  #close(why: string): void {
    if (this.#over) return;
    this.#stop();
    this.#dialog.close();
    this.#finish(why);
  }

  #stop(): void {
    this.#over = true;
    this.#stopTimer?.();
    this.#stopWaiting?.();
    this.#unsubscribe?.();
  }

  #finish(ending: string): void {
    this.#leave?.();
    this.#deps.log.info({ callId: this.#names.callId, kind: 'reg', ending }, 'subscription over');
  }
}
