/**
 * A phone that has no socket while it sleeps. A push wakes it: it registers from a new port with its own node, or with the next one
 * when that says nothing or 503; rings, answers, talks, and sleeps again. What it sees goes into the ledger.
 */
import { authorizationLine, credentialsFrom, type Credentials } from '../load/digest.ts';
import { benchDomain, contactLine, identityLines, phoneIdentity, type PhoneIdentity } from '../load/phone-identity.ts';
import { answer, branchOf, field, methodOf, sdp, statusOf, uriIn, userIn } from '../load/sip-text.ts';
import { openWire, type HostPort, type Transport, type Wire } from '../load/wire.ts';
import { attemptOf } from './failover-pbx.ts';
import type { Leg, Ledger } from './ledger.ts';

export interface SleepyPlan {
  readonly nodes: readonly HostPort[];
  readonly host: string;
  readonly team: string;
  readonly ledger: Ledger;
  readonly now: () => number;
  readonly ringMs: (n: number) => number;
  readonly talkMs: (n: number) => number;
}

interface Ringing {
  readonly leg: Leg;
  readonly invite: string;
  readonly wire: Wire;
  response: string;
  state: 'ringing' | 'answered' | 'talking' | 'over';
  nextAt: number;
  interval: number;
  byeSentAt: number;
}

const silenceMs = 2000;
const roundPauseMs = 1000;
/** Awake for so long without a call, it sleeps again. */
const awakeMs = 18_000;
/** After a call it listens for what may still come. */
const lingerMs = 1500;
const ackWithinMs = 16_000;
const byeForMs = 8000;

export class SleepyPhone {
  readonly identity: PhoneIdentity;
  readonly transport: Transport;
  readonly home: number;
  registered = false;
  readonly #plan: SleepyPlan;
  #node: number;
  #tried = 0;
  #wire: Wire | undefined;
  #opening = false;
  #cseq = 0;
  #credentials: Credentials | undefined;
  #text = '';
  #askedAt = Number.NaN;
  #repeatAt = 0;
  #repeats = 0;
  #pauseUntil = 0;
  /** wants a 200 to a REGISTER */
  #wanting = false;
  #awakeUntil = 0;
  #calls: Ringing[] = [];
  /** wires it has left, with calls on them */
  #left: Wire[] = [];

  constructor(index: number, transport: Transport, home: number, plan: SleepyPlan) {
    this.identity = phoneIdentity(index);
    this.transport = transport;
    this.home = home;
    this.#node = home;
    this.#plan = plan;
  }

  get asleep(): boolean {
    return this.#wire === undefined && !this.#opening && !this.#wanting;
  }

  /** A push has come, or it is switched on. */
  wake(forMs = awakeMs): void {
    const now = this.#plan.now();
    this.#awakeUntil = Math.max(this.#awakeUntil, now + forMs);
    // a REGISTER is on its way already
    if (this.#wanting) return;
    this.#wanting = true;
    this.#tried = 0;
    this.#register();
  }

  /** Everything that is done by time; called every 50 ms while awake. */
  tick(now: number): void {
    if (this.#wanting) this.#waitForAnswer(now);
    for (const call of this.#calls) this.#tickCall(call, now);
    const talks = this.#calls.some(({ state }) => state !== 'over');
    if (talks || now < this.#awakeUntil) return;
    this.#sleep();
  }

  #sleep(): void {
    this.#wanting = false;
    this.#askedAt = Number.NaN;
    this.#calls = [];
    this.#drop();
    for (const wire of this.#left) wire.close();
    this.#left = [];
    this.#node = this.home;
  }

  /** Leaves its wire; one that still carries a call stays open until that is over. */
  #drop(): void {
    const wire = this.#wire;
    this.#wire = undefined;
    if (wire === undefined) return;
    delete wire.onBroken;
    if (this.#calls.some((call) => call.wire === wire && call.state !== 'over')) this.#left.push(wire);
    else wire.close();
  }

  #register(): void {
    if (this.#opening) return;
    if (this.#wire !== undefined) return this.#send(this.#wire, '');
    this.#opening = true;
    const node = this.#node;
    openWire(this.transport, this.#plan.host, this.#plan.nodes[node] as HostPort, (text, from) =>
      this.#hear(text, from, node),
    ).then(
      (wire) => {
        this.#opening = false;
        if (!this.#wanting || node !== this.#node) {
          wire.close();
          return;
        }
        this.#wire = wire;
        wire.onBroken = () => this.#broken(wire);
        this.#send(wire, '');
      },
      () => {
        this.#opening = false;
        this.#askedAt = this.#plan.now();
        if (this.#wanting) this.#failed(0);
      },
    );
  }

  #broken(wire: Wire): void {
    if (this.#wire !== wire) return;
    if (wire.transport === 'tcp') this.#drop();
    if (this.#wanting) {
      if (!Number.isNaN(this.#askedAt)) this.#failed(0);
    } else if (wire.transport === 'tcp') this.wake(0);
  }

  #send(wire: Wire, authorization: string): void {
    this.#cseq += 1;
    const { identity } = this;
    const authorized =
      authorization === '' && this.#credentials !== undefined
        ? authorizationLine(identity.user, this.#credentials)
        : authorization;
    this.#text = `REGISTER sip:${benchDomain} SIP/2.0\r\nVia: ${wire.via};rport;branch=z9hG4bKr${identity.index}.${this.#cseq}\r\nMax-Forwards: 70\r\n${identityLines(identity)}${contactLine(identity, wire.local, wire.transport, this.#plan.team)}Expires: 3600\r\nUser-Agent: chaos\r\nCSeq: ${this.#cseq} REGISTER\r\n${authorized}Content-Length: 0\r\n\r\n`;
    const now = this.#plan.now();
    this.#askedAt = now;
    this.#repeats = 0;
    this.#repeatAt = now + 500;
    wire.send(this.#text);
  }

  #waitForAnswer(now: number): void {
    if (Number.isNaN(this.#askedAt)) {
      if (now >= this.#pauseUntil) this.#register();
      return;
    }
    if (now - this.#askedAt > silenceMs) return this.#failed(0);
    if (this.transport === 'udp' && now >= this.#repeatAt && this.#wire !== undefined) {
      this.#repeats += 1;
      this.#repeatAt = now + 500 * 2 ** this.#repeats;
      this.#wire.send(this.#text);
    }
  }

  /** On to the next node; after a round of all of them it waits a little. */
  #failed(status: number): void {
    const now = this.#plan.now();
    this.#plan.ledger.registered(this.identity.index, { node: this.#node, at: this.#askedAt, status });
    this.#askedAt = Number.NaN;
    this.#drop();
    this.#tried += 1;
    this.#node = (this.#node + 1) % this.#plan.nodes.length;
    this.#pauseUntil = this.#tried % this.#plan.nodes.length === 0 ? now + roundPauseMs : now;
    if (this.#pauseUntil <= now) this.#register();
  }

  #hear(text: string, wire: Wire, node: number): void {
    const status = statusOf(text);
    if (status !== 0) {
      if (field(text, 'CSeq').endsWith('REGISTER')) this.#onRegisterResponse(text, status, wire);
      else if (field(text, 'CSeq').endsWith('BYE')) this.#onByeResponse(text, status);
      return;
    }
    switch (methodOf(text)) {
      case 'INVITE':
        return this.#onInvite(text, wire, node);
      case 'ACK':
        return this.#onAck(text);
      case 'CANCEL':
        return this.#onCancel(text, wire);
      case 'BYE':
        return this.#onBye(text, wire);
      default:
        wire.send(answer(text, '200 OK', 'p', ''));
    }
  }

  #onRegisterResponse(text: string, status: number, wire: Wire): void {
    if (!this.#wanting || wire !== this.#wire || status < 200) return;
    if (field(text, 'CSeq') !== `${this.#cseq} REGISTER`) return;
    if (status === 401) {
      const fresh = credentialsFrom(text, this.identity.user);
      if (fresh === undefined) return this.#failed(status);
      this.#credentials = fresh;
      return this.#send(wire, '');
    }
    if (status !== 200) return this.#failed(status);
    this.#wanting = false;
    // switched on and nothing else: it may sleep at once
    if (!this.registered) this.#awakeUntil = 0;
    this.registered = true;
    this.#plan.ledger.registered(this.identity.index, { node: this.#node, at: this.#askedAt, status });
    this.#askedAt = Number.NaN;
  }

  #onInvite(text: string, wire: Wire, node: number): void {
    const branch = branchOf(text);
    const known = this.#calls.find(({ leg }) => leg.branch === branch);
    if (known !== undefined) {
      if (known.state !== 'talking') wire.send(known.response);
      return;
    }
    // the port belonged to another phone before
    if (userIn(text) !== this.identity.user) return wire.send(answer(text, '404 Not Found', 'p', ''));
    const now = this.#plan.now();
    const leg = this.#plan.ledger.invited({ attempt: attemptOf(text), branch, node, at: now });
    if (leg === undefined) return wire.send(answer(text, '404 Not Found', 'p', ''));
    const call: Ringing = {
      leg,
      invite: text,
      wire,
      response: answer(text, '180 Ringing', 'p', this.#contact(wire)),
      state: 'ringing',
      nextAt: now + this.#plan.ringMs(Number.parseInt(leg.attempt, 10)),
      interval: 500,
      byeSentAt: Number.NaN,
    };
    this.#calls.push(call);
    wire.send(call.response);
  }

  #contact(wire: Wire): string {
    return `Contact: <sip:${this.identity.user}@${wire.local}${wire.transport === 'tcp' ? ';transport=tcp' : ''}>\r\n`;
  }

  #tickCall(call: Ringing, now: number): void {
    if (now < call.nextAt) return;
    switch (call.state) {
      case 'ringing': {
        call.state = 'answered';
        const lines = `${this.#contact(call.wire)}Content-Type: application/sdp\r\n`;
        call.response = answer(call.invite, '200 OK', 'p', lines, sdp);
        call.leg.answeredAt = now;
        call.nextAt = now + call.interval;
        return call.wire.send(call.response);
      }
      case 'answered':
        if (now - call.leg.answeredAt > ackWithinMs) return this.#end(call, 'never-acked');
        call.interval = Math.min(4000, call.interval * 2);
        call.nextAt = now + call.interval;
        return call.wire.send(call.response);
      case 'talking':
        if (Number.isNaN(call.byeSentAt)) call.byeSentAt = now;
        if (now - call.byeSentAt > byeForMs) return this.#end(call, 'bye-lost');
        call.nextAt = now + 1000;
        return this.#bye(call);
      case 'over':
        call.nextAt = Number.POSITIVE_INFINITY;
    }
  }

  #bye({ invite, wire, leg }: Ringing): void {
    const to = field(invite, 'To');
    wire.send(
      `BYE ${uriIn(field(invite, 'Contact'))} SIP/2.0\r\nVia: ${wire.via};rport;branch=z9hG4bKy${leg.branch}\r\nMax-Forwards: 70\r\nFrom: ${to.includes(';tag=') ? to : `${to};tag=p`}\r\nTo: ${field(invite, 'From')}\r\nCall-ID: ${field(invite, 'Call-ID')}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n`,
    );
  }

  #end(call: Ringing, how: Leg['end']): void {
    if (call.state === 'over') return;
    call.state = 'over';
    call.nextAt = Number.POSITIVE_INFINITY;
    call.leg.end = how;
    call.leg.endedAt = this.#plan.now();
    this.#awakeUntil = call.leg.endedAt + lingerMs;
  }

  #of(text: string, ...states: readonly Ringing['state'][]): Ringing | undefined {
    const id = field(text, 'Call-ID');
    return this.#calls.find(({ invite, state }) => states.includes(state) && field(invite, 'Call-ID') === id);
  }

  #onAck(text: string): void {
    const call = this.#of(text, 'answered');
    if (call === undefined) return;
    const now = this.#plan.now();
    call.state = 'talking';
    call.leg.ackedAt = now;
    const n = Number.parseInt(call.leg.attempt, 10);
    // of the other half the PBX hangs up; when it does not, the user does
    call.nextAt = now + this.#plan.talkMs(n) + (n % 2 === 1 ? 0 : byeForMs * 2);
  }

  #onCancel(text: string, wire: Wire): void {
    const branch = branchOf(text);
    const call = this.#calls.find(({ leg }) => leg.branch === branch);
    wire.send(answer(text, call === undefined ? '481 Call/Transaction Does Not Exist' : '200 OK', 'p', ''));
    if (call?.state !== 'ringing') return;
    call.response = answer(call.invite, '487 Request Terminated', 'p', '');
    wire.send(call.response);
    this.#end(call, 'cancelled');
  }

  #onBye(text: string, wire: Wire): void {
    const call = this.#of(text, 'answered', 'talking', 'over');
    wire.send(answer(text, call === undefined ? '481 Call/Transaction Does Not Exist' : '200 OK', '', ''));
    if (call !== undefined) this.#end(call, 'bye-received');
  }

  #onByeResponse(text: string, status: number): void {
    const call = this.#of(text, 'talking');
    if (call === undefined || status < 200 || Number.isNaN(call.byeSentAt)) return;
    this.#end(call, status < 300 ? 'bye-confirmed' : 'bye-refused');
  }
}
