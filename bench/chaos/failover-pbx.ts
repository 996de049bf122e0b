/**
 * A PBX that calls phones through several nodes as one with SRV records or a dispatcher list does: a node that says nothing at all
 * within two seconds, or 503, is left for the next; each node once. Half of the calls it hangs up, the phone the rest.
 */
import type { HostPort, Wire } from '../load/wire.ts';
import { openWire } from '../load/wire.ts';
import { benchDomain } from '../load/phone-identity.ts';
import { answer, field, methodOf, sdp, statusOf, uriIn } from '../load/sip-text.ts';
import type { Attempt, Call, Ledger } from './ledger.ts';

export interface PbxPlan {
  /** its addresses; calls go out from each in turn */
  readonly hosts: readonly string[];
  readonly nodes: readonly HostPort[];
  /** without any answer for so long, the next node is tried, ms */
  readonly silenceMs: number;
  /** without a final response for so long, the call is cancelled, ms */
  readonly patienceMs: number;
  readonly talkMs: (n: number) => number;
  readonly ledger: Ledger;
  /** ms since the run began */
  readonly now: () => number;
}

/** The header by which an INVITE at a phone is known to belong to an attempt. */
export const attemptField = 'X-Attempt';
/** Requests are repeated for so long, ms. */
const repeatForMs = 8000;
/** What comes for an attempt after its end is still answered for so long, ms. */
const lingerMs = 60_000;

interface Trying {
  readonly call: Call;
  readonly attempt: Attempt;
  readonly user: string;
  readonly wire: Wire;
  readonly invite: string;
  /** of the INVITE: when it goes out again, and after how long then */
  nextAt: number;
  interval: number;
  toHeader: string;
  remote: string;
  cancelledAt: number;
  cancelAnswered: boolean;
  cancelNextAt: number;
  byeSentAt: number;
  byeNextAt: number;
}

export class FailoverPbx {
  readonly #plan: PbxPlan;
  /** by host, then by node */
  readonly #wires: Wire[][] = [];
  readonly #tries = new Map<string, Trying>();
  #sweeper: NodeJS.Timeout | undefined;

  private constructor(plan: PbxPlan) {
    this.#plan = plan;
  }

  static async open(plan: PbxPlan): Promise<FailoverPbx> {
    const pbx = new FailoverPbx(plan);
    for (const host of plan.hosts)
      pbx.#wires.push(
        await Promise.all(plan.nodes.map((node) => openWire('udp', host, node, (text, wire) => pbx.#hear(text, wire)))),
      );
    pbx.#sweeper = setInterval(() => pbx.#sweep(), 50);
    return pbx;
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const wire of this.#wires.flat()) wire.close();
  }

  call(facts: {
    readonly n: number;
    readonly phone: number;
    readonly transport: 'udp' | 'tcp';
    readonly push: number;
  }): Call {
    const call = this.#plan.ledger.begin({ ...facts, at: this.#plan.now() });
    this.#try(call, facts.n % this.#plan.nodes.length);
    return call;
  }

  #try(call: Call, node: number): void {
    const now = this.#plan.now();
    const attempt = this.#plan.ledger.attempt(call, node, now);
    const wire = this.#wires[call.n % this.#wires.length]?.[node] as Wire;
    const user = `u${call.phone}`;
    const invite = `INVITE sip:${user}@${benchDomain} SIP/2.0\r\n${this.#lines(attempt.id, wire, `<sip:${user}@${benchDomain}>`, 'i', '1 INVITE')}Contact: <sip:caller@${wire.local}>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\n${attemptField}: ${attempt.id}\r\nContent-Type: application/sdp\r\nContent-Length: ${sdp.length}\r\n\r\n${sdp}`;
    this.#tries.set(callId(attempt.id), {
      call,
      attempt,
      user,
      wire,
      invite,
      nextAt: now + 500,
      interval: 1000,
      toHeader: '',
      remote: '',
      cancelledAt: Number.NaN,
      cancelAnswered: false,
      cancelNextAt: 0,
      byeSentAt: Number.NaN,
      byeNextAt: 0,
    });
    wire.send(invite);
  }

  /** The call is tried at the next node, or is over. */
  #next(trying: Trying): void {
    const { call, attempt } = trying;
    if (call.attempts.length < this.#plan.nodes.length) this.#try(call, (attempt.node + 1) % this.#plan.nodes.length);
    else this.#over(call);
  }

  #over(call: Call): void {
    if (Number.isNaN(call.overAt)) call.overAt = this.#plan.now();
  }

  #lines(id: string, wire: Wire, to: string, branch: string, cseq: string): string {
    return `Via: ${wire.via};rport;branch=z9hG4bK${branch}${id}\r\nMax-Forwards: 70\r\nFrom: "Caller" <sip:caller@${wire.local}>;tag=c${id}\r\nTo: ${to}\r\nCall-ID: ${callId(id)}\r\nCSeq: ${cseq}\r\n`;
  }

  #hear(text: string, wire: Wire): void {
    const status = statusOf(text);
    const trying = this.#tries.get(field(text, 'Call-ID'));
    if (status === 0) return this.#asked(text, wire, trying);
    if (trying === undefined) return;
    const cseq = field(text, 'CSeq');
    if (cseq.endsWith('INVITE')) this.#onInviteResponse(trying, status, text);
    else if (cseq.endsWith('CANCEL')) trying.cancelAnswered ||= status >= 200;
    else if (cseq.endsWith('BYE') && status >= 200 && trying.attempt.bye === '') {
      trying.attempt.byeStatus = status;
      this.#hungUp(trying, status < 300 ? 'confirmed' : 'refused');
    }
  }

  #asked(text: string, wire: Wire, trying: Trying | undefined): void {
    const method = methodOf(text);
    if (method === 'ACK') return;
    const known = trying !== undefined || field(text, 'To').indexOf(';tag=') < 0;
    wire.send(answer(text, known ? '200 OK' : '481 Call/Transaction Does Not Exist', 'pbx', ''));
    if (method !== 'BYE' || trying === undefined || trying.attempt.bye !== '') return;
    trying.attempt.reason = field(text, 'Reason');
    this.#hungUp(trying, 'received');
  }

  #hungUp(trying: Trying, how: Attempt['bye']): void {
    trying.attempt.bye = how;
    trying.attempt.byeAt = this.#plan.now();
    if (trying.attempt.abandoned === '') this.#over(trying.call);
  }

  #onInviteResponse(trying: Trying, status: number, text: string): void {
    const { attempt } = trying;
    const now = this.#plan.now();
    if (status < 200) {
      if (Number.isNaN(attempt.provisionalAt)) attempt.provisionalAt = now;
      trying.nextAt = Number.POSITIVE_INFINITY;
      // it may be cancelled only now (RFC 3261 9.1)
      if (attempt.abandoned !== '' && Number.isNaN(trying.cancelledAt)) this.#cancel(trying);
      return;
    }
    const isFirst = attempt.status === 0;
    trying.toHeader = field(text, 'To');
    trying.nextAt = Number.POSITIVE_INFINITY;
    if (isFirst) {
      attempt.status = status;
      attempt.finalAt = now;
      attempt.reason = field(text, 'Reason');
    }
    if (status >= 300) {
      trying.wire.send(
        `ACK sip:${trying.user}@${benchDomain} SIP/2.0\r\n${this.#lines(attempt.id, trying.wire, trying.toHeader, 'i', '1 ACK')}Content-Length: 0\r\n\r\n`,
      );
      if (!isFirst || attempt.abandoned !== '') return;
      if (status === 503) this.#next(trying);
      else this.#over(trying.call);
      return;
    }
    trying.remote = uriIn(field(text, 'Contact'));
    this.#inDialog(trying, 'ACK', 'a', '1 ACK');
    if (!isFirst) return;
    // nobody waits for it any more
    if (attempt.abandoned !== '') return this.#bye(trying);
    if (trying.call.n % 2 === 0) setTimeout(() => this.#bye(trying), this.#plan.talkMs(trying.call.n));
  }

  #bye(trying: Trying): void {
    if (trying.attempt.bye !== '') return;
    const now = this.#plan.now();
    trying.byeSentAt = now;
    trying.byeNextAt = now + 500;
    this.#inDialog(trying, 'BYE', 'b', '2 BYE');
  }

  #cancel(trying: Trying): void {
    const now = this.#plan.now();
    if (Number.isNaN(trying.cancelledAt)) trying.cancelledAt = now;
    trying.cancelNextAt = now + 500;
    const { attempt, user, wire } = trying;
    wire.send(
      `CANCEL sip:${user}@${benchDomain} SIP/2.0\r\n${this.#lines(attempt.id, wire, `<sip:${user}@${benchDomain}>`, 'i', '1 CANCEL')}Content-Length: 0\r\n\r\n`,
    );
  }

  #inDialog(trying: Trying, method: string, branch: string, cseq: string): void {
    const { attempt, wire, toHeader, remote } = trying;
    wire.send(
      `${method} ${remote} SIP/2.0\r\n${this.#lines(attempt.id, wire, toHeader, branch, cseq)}Content-Length: 0\r\n\r\n`,
    );
  }

  #sweep(): void {
    const now = this.#plan.now();
    for (const [id, trying] of this.#tries) {
      this.#waitFor(trying, now);
      const { attempt, call } = trying;
      if (now - Math.max(call.overAt, attempt.at) > lingerMs) this.#tries.delete(id);
    }
  }

  #waitFor(trying: Trying, now: number): void {
    const { attempt, call } = trying;
    if (attempt.status === 0 && attempt.abandoned === '') {
      const isSilent = Number.isNaN(attempt.provisionalAt);
      if (now - attempt.at > (isSilent ? this.#plan.silenceMs : this.#plan.patienceMs)) {
        attempt.abandoned = isSilent ? 'no-answer' : 'no-final';
        attempt.abandonedAt = now;
        if (isSilent) return this.#next(trying);
        this.#cancel(trying);
        return this.#over(call);
      }
      if (now >= trying.nextAt) {
        trying.nextAt = now + trying.interval;
        trying.interval *= 2;
        trying.wire.send(trying.invite);
      }
    }
    if (!Number.isNaN(trying.cancelledAt) && !trying.cancelAnswered && attempt.status === 0)
      if (now >= trying.cancelNextAt && now - trying.cancelledAt < repeatForMs) this.#cancel(trying);
    if (!Number.isNaN(trying.byeSentAt) && attempt.bye === '') {
      if (now - trying.byeSentAt > repeatForMs) this.#hungUp(trying, 'lost');
      else if (now >= trying.byeNextAt) {
        trying.byeNextAt = now + 1000;
        this.#inDialog(trying, 'BYE', 'b', '2 BYE');
      }
    }
    // the phone hangs up these; one that does not has lost its call
    const wasCut = attempt.status === 200 && attempt.bye === '' && Number.isNaN(trying.byeSentAt) && call.n % 2 === 1;
    if (wasCut && now - attempt.finalAt > this.#plan.talkMs(call.n) + repeatForMs * 2) this.#bye(trying);
  }
}

function callId(id: string): string {
  return `chaos-${id}@pbx`;
}

/** The attempt an INVITE at a phone belongs to; '' when it is none of ours. */
export function attemptOf(invite: string): string {
  return field(invite, attemptField);
}
