/**
 * REGISTERs from many phones: a closed loop with so many in flight, or a fixed rate. Every phone has an AOR, an instance-id and
 * a push resource of its own and refreshes in turn. Counts what came back; who answers is not its business.
 */
import { performance } from 'node:perf_hooks';
import { Samples, type Spread } from '../figures.ts';
import { authorizationLine, credentialsFrom, type Credentials } from './digest.ts';
import { benchDomain, contactLine, identityLines, phoneIdentity, type PhoneIdentity } from './phone-identity.ts';
import { openWire, type HostPort, type Transport, type Wire } from './wire.ts';

export interface RegisterPlan {
  readonly transport: Transport;
  readonly server: HostPort;
  readonly localHost: string;
  /** phones, each with an AOR of its own */
  readonly phones: number;
  /** sockets or connections they share */
  readonly wires: number;
  readonly inFlight: number;
  /** REGISTERs a second; undefined: as fast as answers come */
  readonly rate: number | undefined;
  readonly seconds: number;
  /** team in pn-param; undefined: no push parameters */
  readonly team: string | undefined;
}

export interface RegisterFigures {
  /** accepted registrations a second */
  readonly rate: number;
  readonly accepted: number;
  /** answers that were neither 200 nor 401 */
  readonly refused: number;
  readonly challenges: number;
  readonly retransmissions: number;
  /** no answer after 8 s */
  readonly lost: number;
  /** from the first sending to the 200, ms */
  readonly latencyMs: Spread | null;
  /** CPU of the load for one registration, microseconds: far below that of the server, or the load was measured */
  readonly loadMicros: number;
}

interface Slot {
  phone: Phone | undefined;
  /** tells the answer to this request from one to an earlier request of the slot */
  sequence: number;
  startedAt: number;
  sentAt: number;
  interval: number;
  text: string;
}

interface Phone {
  readonly identity: PhoneIdentity;
  readonly wire: Wire;
  readonly lines: string;
  cseq: number;
  credentials: Credentials | undefined;
}

const t1 = 500;
const giveUpMs = 8000;

export class RegisterLoad {
  readonly #plan: RegisterPlan;
  readonly #wires: Wire[] = [];
  readonly #phones: Phone[] = [];
  readonly #slots: Slot[] = [];
  readonly #free: number[] = [];
  #next = 0;
  #running = false;
  #oneRound = false;
  #latency = new Samples();
  #accepted = 0;
  #refused = 0;
  #challenges = 0;
  #retransmissions = 0;
  #lost = 0;
  #roundDone: (() => void) | undefined;
  #sweeper: NodeJS.Timeout | undefined;

  private constructor(plan: RegisterPlan) {
    this.#plan = plan;
  }

  static async open(plan: RegisterPlan): Promise<RegisterLoad> {
    const load = new RegisterLoad(plan);
    for (let n = 0; n < Math.min(plan.wires, plan.phones); n++) {
      load.#wires.push(await openWire(plan.transport, plan.localHost, plan.server, (text) => load.#onResponse(text)));
    }
    for (let n = 0; n < plan.phones; n++) {
      const identity = phoneIdentity(n);
      const wire = load.#wires[n % load.#wires.length] as Wire;
      const lines = `Max-Forwards: 70\r\n${identityLines(identity)}${contactLine(identity, wire.local, plan.transport, plan.team)}Expires: 3600\r\nUser-Agent: bench\r\n`;
      load.#phones.push({ identity, wire, lines, cseq: 0, credentials: undefined });
    }
    const slots = plan.rate === undefined ? plan.inFlight : 8192;
    for (let n = 0; n < slots; n++) {
      load.#slots.push({ phone: undefined, sequence: 0, startedAt: 0, sentAt: 0, interval: 0, text: '' });
      load.#free.push(slots - 1 - n);
    }
    load.#sweeper = setInterval(() => load.#sweep(), 100);
    return load;
  }

  get accepted(): number {
    return this.#accepted;
  }

  /** Every phone once, closed loop: what comes later are refreshes, and code and caches are warm. */
  async registerAll(): Promise<void> {
    this.#oneRound = true;
    this.#running = true;
    this.#next = 0;
    const done = new Promise<void>((resolve) => {
      this.#roundDone = resolve;
    });
    for (let n = Math.min(this.#plan.inFlight, this.#free.length); n > 0; n--) this.#startNext();
    await done;
    this.#oneRound = false;
    this.#next = 0;
  }

  /** Runs for the planned time; `onWindow` is called at its very begin and end. */
  async run(onWindow: (at: 'begin' | 'end') => void): Promise<RegisterFigures> {
    this.#running = true;
    if (this.#plan.rate === undefined) for (let n = this.#free.length; n > 0; n--) this.#startNext();
    const pacer = this.#plan.rate === undefined ? undefined : this.#pace(this.#plan.rate);
    await timeout(1000);
    this.#reset();
    onWindow('begin');
    const cpu = process.cpuUsage();
    const from = performance.now();
    await timeout(this.#plan.seconds * 1000);
    const seconds = (performance.now() - from) / 1000;
    const spent = process.cpuUsage(cpu);
    onWindow('end');
    const figures = {
      rate: Math.round(this.#accepted / seconds),
      accepted: this.#accepted,
      refused: this.#refused,
      challenges: this.#challenges,
      retransmissions: this.#retransmissions,
      lost: this.#lost,
      latencyMs: this.#latency.spread(),
      loadMicros: Math.round(((spent.user + spent.system) / Math.max(1, this.#accepted)) * 10) / 10,
    };
    this.#running = false;
    clearInterval(pacer);
    return figures;
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const wire of this.#wires) wire.close();
  }

  #reset(): void {
    this.#latency = new Samples();
    this.#accepted = 0;
    this.#refused = 0;
    this.#challenges = 0;
    this.#retransmissions = 0;
    this.#lost = 0;
  }

  #pace(rate: number): NodeJS.Timeout {
    const from = performance.now();
    let started = 0;
    return setInterval(() => {
      const due = Math.floor(((performance.now() - from) * rate) / 1000);
      for (; started < due; started++) this.#startNext();
    }, 1);
  }

  #startNext(): void {
    if (this.#oneRound && this.#next >= this.#phones.length) {
      if (this.#free.length === this.#slots.length) this.#roundDone?.();
      return;
    }
    const at = this.#free.pop();
    if (at === undefined) return;
    const phone = this.#phones[this.#next % this.#phones.length] as Phone;
    this.#next += 1;
    this.#send(at, phone, performance.now());
  }

  #send(at: number, phone: Phone, startedAt: number): void {
    const slot = this.#slots[at] as Slot;
    slot.phone = phone;
    slot.sequence += 1;
    slot.startedAt = startedAt;
    slot.sentAt = startedAt;
    slot.interval = t1;
    phone.cseq += 1;
    const auth = phone.credentials === undefined ? '' : authorizationLine(phone.identity.user, phone.credentials);
    slot.text = `REGISTER sip:${benchDomain} SIP/2.0\r\nVia: ${phone.wire.via};rport;branch=z9hG4bK${at}.${slot.sequence}.${phone.cseq}\r\n${phone.lines}CSeq: ${phone.cseq} REGISTER\r\n${auth}Content-Length: 0\r\n\r\n`;
    phone.wire.send(slot.text);
  }

  #onResponse(text: string): void {
    const status = Number(text.slice(8, 11));
    const from = text.indexOf('z9hG4bK') + 7;
    const dot = text.indexOf('.', from);
    const at = Number(text.slice(from, dot));
    const slot = this.#slots[at];
    if (slot?.phone === undefined || Number.parseInt(text.slice(dot + 1, dot + 12), 10) !== slot.sequence) return;
    const { phone } = slot;
    if (status < 200) {
      slot.interval = 4000;
      return;
    }
    if (status === 401) {
      this.#challenges += 1;
      const credentials = credentialsFrom(text, phone.identity.user);
      if (credentials !== undefined) {
        phone.credentials = credentials;
        this.#send(at, phone, slot.startedAt);
        return;
      }
    }
    if (status === 200) {
      this.#accepted += 1;
      this.#latency.add(performance.now() - slot.startedAt);
    } else {
      this.#refused += 1;
    }
    this.#release(at, slot);
  }

  #release(at: number, slot: Slot): void {
    slot.phone = undefined;
    this.#free.push(at);
    if (this.#running && (this.#oneRound || this.#plan.rate === undefined)) this.#startNext();
  }

  #sweep(): void {
    const now = performance.now();
    for (const [at, slot] of this.#slots.entries()) {
      if (slot.phone === undefined) continue;
      if (now - slot.startedAt > giveUpMs) {
        this.#lost += 1;
        this.#release(at, slot);
      } else if (slot.phone.wire.transport === 'udp' && now - slot.sentAt > slot.interval) {
        slot.sentAt = now;
        slot.interval = Math.min(4000, slot.interval * 2);
        this.#retransmissions += 1;
        slot.phone.wire.send(slot.text);
      }
    }
  }
}

function timeout(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
