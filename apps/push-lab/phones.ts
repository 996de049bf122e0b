/**
 * Virtual phones: SIP phones that register through an edge with tokens of the lab, fall asleep, and do what phones do when they are
 * pushed: wake at once, late, with a burst of REGISTERs, from another address, or never. They take every call that comes.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { IncomingCall } from '../demo/calls.ts';
import { Media } from '../demo/media.ts';
import { Phone, type PushIdentity } from '../demo/phone.ts';
import type { Remote } from '../demo/wire.ts';
import type { PhoneMark } from './feed.ts';

export const behaviours = ['sleep', 'late', 'three-times', 'moves', 'never'] as const;
export type Behaviour = (typeof behaviours)[number];

export interface PhonesOptions {
  readonly count: number;
  readonly edge: Remote;
  readonly domain: string;
  /** users are this and a number from 1 */
  readonly userPrefix: string;
  /** of all users; none when absent */
  readonly password?: string;
  /** dealt out in turn */
  readonly behaviours: readonly Behaviour[];
  /** pn-provider, pn-param and pn-prid of the next phone */
  readonly identity: () => PushIdentity;
  readonly address: string;
  /** how long `late` phones sleep on after a push; 3000 when absent */
  readonly lateMs?: number;
  /** how long it rings before it is answered; 200 when absent */
  readonly ringMs?: number;
  /** how long a woken phone stays awake without a call; 10,000 when absent */
  readonly awakeMs?: number;
  /** how long until a REGISTER that failed is tried again; 1000 when absent */
  readonly retryMs?: number;
  readonly onChange?: (token: string, mark: PhoneMark) => void;
}

/** Times are ms since the epoch, of the last push. */
export interface PhoneReport {
  readonly user: string;
  readonly behaviour: Behaviour;
  readonly state: string;
  readonly pushes: number;
  readonly pushedAt?: number;
  readonly registeredAt?: number;
  readonly pushToRegisterMs?: number;
  readonly invites: number;
  readonly answered: number;
  readonly cancelled: number;
  /** the last thing that went wrong */
  readonly trouble?: string;
}

/** a call whose BYE was lost does not keep a phone awake for good */
const longestCallMs = 600_000;

class VirtualPhone {
  readonly phone: Phone;
  readonly behaviour: Behaviour;
  readonly #options: PhonesOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  #state = 'new';
  #pushes = 0;
  #pushedAt: number | undefined;
  #registeredAt: number | undefined;
  #latencyMs: number | undefined;
  #invites = 0;
  #answered = 0;
  #cancelled = 0;
  #trouble: string | undefined;
  #busy = false;
  #away = false;
  #closed = false;

  constructor(options: PhonesOptions, number: number, behaviour: Behaviour) {
    this.#options = options;
    this.behaviour = behaviour;
    const { password } = options;
    this.phone = new Phone({
      user: `${options.userPrefix}${number}`,
      domain: options.domain,
      ...(password === undefined ? {} : { password }),
      address: options.address,
      edge: options.edge,
      push: options.identity(),
      instanceId: `urn:uuid:${randomUUID()}`,
    });
  }

  get token(): string {
    return this.phone.push?.prid ?? '';
  }

  report(): PhoneReport {
    return {
      user: this.phone.options.user,
      behaviour: this.behaviour,
      state: this.#state,
      pushes: this.#pushes,
      ...(this.#pushedAt === undefined ? {} : { pushedAt: this.#pushedAt }),
      ...(this.#registeredAt === undefined ? {} : { registeredAt: this.#registeredAt }),
      ...(this.#latencyMs === undefined ? {} : { pushToRegisterMs: this.#latencyMs }),
      invites: this.#invites,
      answered: this.#answered,
      cancelled: this.#cancelled,
      ...(this.#trouble === undefined ? {} : { trouble: this.#trouble }),
    };
  }

  /** Registers, as often as it takes, and falls asleep. */
  async start(): Promise<void> {
    while (!this.#closed) {
      this.#become('registering');
      try {
        const answer = await this.phone.register();
        if (answer.status === 200) break;
        this.#trouble = `REGISTER was answered ${answer.status} ${answer.reason}`;
      } catch (cause) {
        this.#trouble = textOf(cause);
      }
      await this.phone.sleep();
      this.#become('waiting for the edge');
      await this.#pause(this.#options.retryMs ?? 1000);
    }
    this.#trouble = undefined;
    await this.#sleep();
  }

  /** The push service has delivered. */
  pushed(): void {
    this.#pushes += 1;
    // awake, or on its way: the app gets it and has nothing to do
    if (this.#busy || this.#closed) return;
    this.#pushedAt = Date.now();
    this.#registeredAt = undefined;
    this.#latencyMs = undefined;
    this.#become('pushed');
    if (this.behaviour === 'never') return;
    this.#busy = true;
    this.#wake()
      .catch((cause: unknown) => {
        this.#trouble = textOf(cause);
      })
      .then(() => this.#sleep())
      .catch(() => undefined)
      .finally(() => {
        this.#busy = false;
      });
  }

  async #wake(): Promise<void> {
    const { phone, behaviour } = this;
    const pushedAt = this.#pushedAt ?? 0;
    if (behaviour === 'late') await this.#pause(this.#options.lateMs ?? 3000);
    if (this.#closed) return;
    this.#become('registering');
    this.#away = behaviour === 'moves' && !this.#away;
    const answers = await phone.wake({
      restarted: true,
      callIds: behaviour === 'three-times' ? 3 : 1,
      ...(this.#away ? { address: otherAddress(this.#options.address) } : {}),
    });
    const good = answers.some(({ status }) => status === 200);
    if (!good) throw new Error(`REGISTER was answered ${answers.at(-1)?.status} ${answers.at(-1)?.reason}`);
    this.#registeredAt = Date.now();
    this.#latencyMs = this.#registeredAt - pushedAt;
    this.#become('registered');
    for (;;) {
      const call = await phone.nextCall(this.#options.awakeMs ?? 10_000).catch(() => undefined);
      if (call === undefined || this.#closed) return;
      await this.#take(call);
    }
  }

  async #take(call: IncomingCall): Promise<void> {
    this.#invites += 1;
    const media = await Media.open(this.#options.address);
    try {
      call.ring();
      this.#become('ringing');
      await this.#pause(this.#options.ringMs ?? 200);
      if (call.transaction.cancelled || this.#closed) {
        this.#cancelled += 1;
        this.#become('call was cancelled');
        return;
      }
      call.answer(media.sdp());
      await call.transaction.ack();
      this.#answered += 1;
      this.#become('in a call');
      media.talkTo(call.request.body);
      await this.#within(longestCallMs, call.dialog.ended);
      this.#become('registered');
    } finally {
      media.close();
    }
  }

  async #sleep(): Promise<void> {
    await this.phone.sleep();
    // what it has seen is of no use any more, and a lab may run for weeks
    this.phone.crossings.length = 0;
    this.phone.invites.length = 0;
    this.#become(this.#closed ? 'closed' : 'asleep');
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await this.phone.sleep();
  }

  #become(state: string): void {
    this.#state = state;
    const { user } = this.phone.options;
    const latencyMs = this.#latencyMs;
    this.#options.onChange?.(this.token, { user, state, ...(latencyMs === undefined ? {} : { latencyMs }) });
  }

  #within(ms: number, end: Promise<unknown>): Promise<void> {
    return new Promise((done) => {
      const over = (): void => {
        clearTimeout(timer);
        this.#timers.delete(timer);
        done();
      };
      const timer = setTimeout(over, ms);
      this.#timers.add(timer);
      void end.then(over);
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        done();
      }, ms);
      this.#timers.add(timer);
    });
  }
}

/** REGISTERs that are under way at once when the lab starts */
const mostAtOnce = 20;

export class VirtualPhones {
  readonly #phones: readonly VirtualPhone[];
  readonly #byToken: ReadonlyMap<string, VirtualPhone>;
  /** All have registered once and sleep. */
  readonly asleep: Promise<void>;

  constructor(options: PhonesOptions) {
    const { behaviours: dealt } = options;
    this.#phones = Array.from(
      { length: options.count },
      (_, index) => new VirtualPhone(options, index + 1, dealt[index % dealt.length] ?? 'sleep'),
    );
    this.#byToken = new Map(this.#phones.map((phone) => [phone.token, phone]));
    const queue = [...this.#phones];
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await next.start();
    };
    this.asleep = Promise.all(Array.from({ length: mostAtOnce }, worker)).then(() => undefined);
  }

  /** A push for this token was accepted; whose it is not one of ours is left alone. */
  pushed(token: string): void {
    this.#byToken.get(token)?.pushed();
  }

  report(): readonly PhoneReport[] {
    return this.#phones.map((phone) => phone.report());
  }

  async close(): Promise<void> {
    await Promise.all(this.#phones.map((phone) => phone.close()));
  }
}

/** A device token as APNs has them. */
export function aDeviceToken(): string {
  return randomBytes(32).toString('hex');
}

/** What phones print at the end, a line each. */
export function reportText(report: readonly PhoneReport[]): string {
  const time = (at: number | undefined): string => (at === undefined ? '-' : new Date(at).toISOString().slice(11, 23));
  const head = ['phone', 'behaviour', 'state', 'pushes', 'pushed at', 'registered at', 'ms', 'INVITEs', 'answered'];
  const rows = report.map((one) => [
    one.user,
    one.behaviour,
    one.trouble === undefined ? one.state : `${one.state} (${one.trouble})`,
    String(one.pushes),
    time(one.pushedAt),
    time(one.registeredAt),
    String(one.pushToRegisterMs ?? '-'),
    String(one.invites),
    String(one.answered),
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  const lines = [head, ...rows].map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

/** Where a phone at this address has moved to; only loopback has more addresses to be at. */
export function otherAddress(address: string): string {
  const parts = address.split('.').map(Number);
  if (parts[0] !== 127 || parts.length !== 4) return address;
  const last = parts[3] ?? 1;
  return [...parts.slice(0, 3), last < 254 ? last + 1 : 1].join('.');
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
