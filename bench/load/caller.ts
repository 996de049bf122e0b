/**
 * The PBX's calls to phones: INVITE to the Contact the edge gave, ACK, CANCEL, BYE, with the repetitions UDP asks for. One `Caller`
 * per PBX; a call is found again by its Call-ID.
 */
import type { Pbx } from './pbx.ts';
import { answer, field, methodOf, sdp, statusOf, uriIn, wallMs } from './sip-text.ts';

export interface Call {
  readonly index: number;
  readonly uri: string;
  readonly invite: string;
  readonly invitedAt: number;
  sentAt: number;
  interval: number;
  /** a 100 came: the INVITE is not repeated any more */
  proceeding: boolean;
  ringing: boolean;
  /** of the INVITE; 0: none yet */
  final: number;
  toHeader: string;
  remote: string;
  /** 200 to our CANCEL */
  cancelAnswered: boolean;
  cancelledAt: number;
  /** the other side hung up, or answered our BYE */
  bye: 'none' | 'sent' | 'answered' | 'received';
}

export interface CallerEvents {
  onProceeding?(call: Call): void;
  onAnswered?(call: Call): void;
  onFailed?(call: Call): void;
  onBye?(call: Call): void;
}

export class Caller {
  /** INVITEs and CANCELs repeated because no answer came in time */
  repeated = 0;
  /** 200s that came again */
  answersAgain = 0;
  readonly calls = new Map<string, Call>();
  readonly #pbx: Pbx;
  readonly #events: CallerEvents;
  readonly #run: string;
  readonly #sweeper: NodeJS.Timeout;

  constructor(pbx: Pbx, run: string, events: CallerEvents) {
    this.#pbx = pbx;
    this.#run = run;
    this.#events = events;
    pbx.onCallMessage = (text) => this.#onMessage(text);
    this.#sweeper = setInterval(() => this.#sweep(), 100);
  }

  call(index: number, user: string): Call {
    const uri = this.#pbx.contacts.get(user);
    if (uri === undefined) throw new Error(`the PBX has no contact of ${user}`);
    const now = wallMs();
    const invite = `INVITE ${uri} SIP/2.0\r\n${this.#lines(index, `<${uri}>`, 'i', '1 INVITE')}Contact: <sip:caller@${this.#pbx.wire.local}>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\nContent-Type: application/sdp\r\nContent-Length: ${sdp.length}\r\n\r\n${sdp}`;
    const call: Call = {
      index,
      uri,
      invite,
      invitedAt: now,
      sentAt: now,
      interval: 500,
      proceeding: false,
      ringing: false,
      final: 0,
      toHeader: '',
      remote: uri,
      cancelAnswered: false,
      cancelledAt: 0,
      bye: 'none',
    };
    this.calls.set(this.#callId(index), call);
    this.#pbx.wire.send(invite);
    return call;
  }

  cancel(call: Call): void {
    call.cancelledAt = wallMs();
    this.#pbx.wire.send(
      `CANCEL ${call.uri} SIP/2.0\r\n${this.#lines(call.index, `<${call.uri}>`, 'i', '1 CANCEL')}Content-Length: 0\r\n\r\n`,
    );
  }

  hangUp(call: Call): void {
    call.bye = 'sent';
    this.#inDialog(call, 'BYE', 'b', '2 BYE');
  }

  close(): void {
    clearInterval(this.#sweeper);
  }

  #callId(index: number): string {
    return `call${index}-${this.#run}@pbx`;
  }

  #lines(index: number, to: string, branch: string, cseq: string): string {
    const { via } = this.#pbx.wire;
    return `Via: ${via};rport;branch=z9hG4bK${branch}${index}-${this.#run}\r\nMax-Forwards: 70\r\nFrom: "Caller" <sip:caller@${this.#pbx.wire.local}>;tag=c${index}\r\nTo: ${to}\r\nCall-ID: ${this.#callId(index)}\r\nCSeq: ${cseq}\r\n`;
  }

  #inDialog(call: Call, method: string, branch: string, cseq: string): void {
    this.#pbx.wire.send(
      `${method} ${call.remote} SIP/2.0\r\n${this.#lines(call.index, call.toHeader, branch, cseq)}Content-Length: 0\r\n\r\n`,
    );
  }

  #onMessage(text: string): void {
    const call = this.calls.get(field(text, 'Call-ID'));
    if (call === undefined) return;
    const status = statusOf(text);
    if (status === 0) {
      if (methodOf(text) !== 'ACK') this.#pbx.wire.send(answer(text, '200 OK', '', ''));
      if (methodOf(text) === 'BYE' && call.bye !== 'received') {
        call.bye = 'received';
        this.#events.onBye?.(call);
      }
      return;
    }
    const cseq = field(text, 'CSeq');
    if (cseq.endsWith('INVITE')) this.#onInviteResponse(call, status, text);
    else if (cseq.endsWith('CANCEL')) call.cancelAnswered = status === 200;
    else if (cseq.endsWith('BYE') && status >= 200 && call.bye === 'sent') {
      call.bye = 'answered';
      this.#events.onBye?.(call);
    }
  }

  #onInviteResponse(call: Call, status: number, text: string): void {
    if (status < 200) {
      if (status > 100) call.ringing = true;
      if (!call.proceeding) {
        call.proceeding = true;
        this.#events.onProceeding?.(call);
      }
      return;
    }
    call.toHeader = field(text, 'To');
    if (status < 300) {
      call.remote = uriIn(field(text, 'Contact'));
      this.#inDialog(call, 'ACK', 'a', '1 ACK');
      if (call.final !== 0) this.answersAgain += 1;
    } else {
      const { via } = this.#pbx.wire;
      this.#pbx.wire.send(
        `ACK ${call.uri} SIP/2.0\r\nVia: ${via};rport;branch=z9hG4bKi${call.index}-${this.#run}\r\nMax-Forwards: 70\r\nFrom: ${field(text, 'From')}\r\nTo: ${call.toHeader}\r\nCall-ID: ${this.#callId(call.index)}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n`,
      );
    }
    if (call.final !== 0) return;
    call.final = status;
    if (status < 300) this.#events.onAnswered?.(call);
    else this.#events.onFailed?.(call);
  }

  #sweep(): void {
    const now = wallMs();
    for (const call of this.calls.values()) {
      if (call.cancelledAt !== 0 && !call.cancelAnswered && now - call.cancelledAt > 500) {
        this.repeated += 1;
        this.cancel(call);
      }
      if (call.proceeding || call.final !== 0 || now - call.sentAt < call.interval) continue;
      call.sentAt = now;
      call.interval = Math.min(4000, call.interval * 2);
      this.repeated += 1;
      this.#pbx.wire.send(call.invite);
    }
  }
}
