/**
 * Client and server transactions of a plain user agent (RFC 3261 17, 13.3.1.4, RFC 6026): retransmission over UDP, ACK for
 * failures, CANCEL. Timers have the values of the RFC. No proxy behaviour, no timers A to K by name: what a phone needs.
 */
import { randomBytes } from 'node:crypto';
import { Headers } from '../../lib/sip/headers.ts';
import {
  request as aRequest,
  response as aResponse,
  type SipRequest,
  type SipResponse,
} from '../../lib/sip/message.ts';
import { parseNameAddr, tagOf } from '../../lib/sip/name-addr.ts';
import { Mailbox } from './mailbox.ts';
import type { Remote } from './wire.ts';

export const t1 = 500;
const t2 = 4000;

/** How a transaction reaches the other side; `copy`: sent before. */
export type Send = (message: SipRequest | SipResponse, to: Remote, copy: boolean) => void;

/** Repeats at T1, 2 T1, ... up to T2 between two, until stopped or 64 T1 are over. */
class Repeats {
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  start(again: () => void, onEnd: () => void, repeat: boolean, ceiling = t2): void {
    const endAt = performance.now() + 64 * t1;
    const wait = (interval: number): void => {
      const left = endAt - performance.now();
      this.#timer = setTimeout(
        () => {
          if (this.#stopped) return;
          if (performance.now() >= endAt - 1) return onEnd();
          if (repeat) again();
          wait(Math.min(interval * 2, ceiling));
        },
        Math.max(0, repeat ? Math.min(interval, left) : left),
      );
      this.#timer.unref();
    };
    wait(t1);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}

export class ClientTransaction {
  readonly request: SipRequest;
  readonly branch: string;
  readonly remote: Remote;
  readonly responses: SipResponse[] = [];
  readonly #mailbox = new Mailbox<SipResponse>();
  readonly #send: Send;
  readonly #repeats = new Repeats();
  #final: SipResponse | undefined;
  #ack: SipRequest | undefined;

  constructor(request: SipRequest, branch: string, remote: Remote, send: Send) {
    this.request = request;
    this.branch = branch;
    this.remote = remote;
    this.#send = send;
    send(request, remote, false);
    this.#repeats.start(
      () => send(request, remote, true),
      () => undefined,
      remote.transport === 'udp',
      request.method === 'INVITE' ? 64 * t1 : t2,
    );
  }

  get final(): SipResponse | undefined {
    return this.#final;
  }

  /** The first response that matches, also one that is here already and was not taken. */
  next(matches: (response: SipResponse) => boolean, withinMs = 10_000, what = 'a response'): Promise<SipResponse> {
    return this.#mailbox.next(matches, withinMs, `${what} to ${this.request.method}`);
  }

  provisional(status: number, withinMs = 10_000): Promise<SipResponse> {
    return this.next((response) => response.status === status, withinMs, String(status));
  }

  async answer(withinMs = 35_000): Promise<SipResponse> {
    return this.#final ?? this.next((response) => response.status >= 200, withinMs, 'a final response');
  }

  /** RFC 3261 9.1; the caller waits for a provisional response before, as the RFC wants it. */
  cancel(extra?: Headers): ClientTransaction {
    const headers = echoed(this.request.headers, ['Via', 'Route', 'From', 'To', 'Call-ID', 'Max-Forwards']);
    headers.set('CSeq', `${cseqOf(this.request).number} CANCEL`).set('Content-Length', '0');
    for (const [name, value] of extra?.entries() ?? []) headers.add(name, value);
    this.cancelled = new ClientTransaction(
      aRequest('CANCEL', this.request.uri, headers),
      this.branch,
      this.remote,
      this.#send,
    );
    return this.cancelled;
  }

  cancelled: ClientTransaction | undefined;

  /** Sends the ACK for a 2xx and repeats it with each repeated 2xx (RFC 3261 13.2.2.4). */
  ack(ack: SipRequest, to: Remote): void {
    this.#ack = ack;
    this.#ackTo = to;
    this.#send(ack, to, false);
  }
  #ackTo: Remote | undefined;

  receive(response: SipResponse, copy: boolean): void {
    if (response.status >= 200) this.#repeats.stop();
    // a provisional ends the repetition of an INVITE, not of others (17.1.2.2)
    else if (this.request.method === 'INVITE') this.#repeats.stop();
    if (this.request.method === 'INVITE' && response.status >= 300) this.#ackFailure(response, copy);
    if (this.#final !== undefined) {
      if (this.#ack !== undefined && this.#ackTo !== undefined && response.status < 300)
        this.#send(this.#ack, this.#ackTo, true);
      return;
    }
    this.responses.push(response);
    if (response.status >= 200) this.#final = response;
    this.#mailbox.put(response);
  }

  #ackFailure(response: SipResponse, copy: boolean): void {
    const headers = echoed(this.request.headers, ['Via', 'Route', 'From', 'Call-ID', 'Max-Forwards']);
    headers
      .set('To', response.headers.get('To') ?? '')
      .set('CSeq', `${cseqOf(this.request).number} ACK`)
      .set('Content-Length', '0');
    this.#send(aRequest('ACK', this.request.uri, headers), this.remote, copy);
  }

  stop(): void {
    this.#repeats.stop();
    this.cancelled?.stop();
  }
}

export interface Reply {
  readonly reason?: string;
  readonly headers?: Headers;
  readonly body?: string;
}

export class ServerTransaction {
  readonly request: SipRequest;
  readonly remote: Remote;
  /** our tag in To, the same in every answer */
  readonly localTag: string;
  readonly answers: SipResponse[] = [];
  readonly #send: Send;
  readonly #repeats = new Repeats();
  readonly #events = new Mailbox<{ readonly is: 'ack' | 'cancel'; readonly request: SipRequest }>();
  #final: SipResponse | undefined;
  acked = false;
  cancelled = false;

  constructor(request: SipRequest, remote: Remote, send: Send) {
    this.request = request;
    this.remote = remote;
    this.localTag = tagOf(request.headers.get('To') ?? '') ?? randomBytes(5).toString('hex');
    this.#send = send;
  }

  get final(): SipResponse | undefined {
    return this.#final;
  }

  respond(status: number, { reason, headers, body = '' }: Reply = {}): SipResponse {
    const own = echoed(this.request.headers, ['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Record-Route']);
    const to = own.get('To') ?? '';
    if (status > 100 && tagOf(to) === undefined) own.set('To', withTag(to, this.localTag));
    for (const [name, value] of headers?.entries() ?? []) own.add(name, value);
    own.set('Content-Length', String(body.length));
    const answer = aResponse(status, reason ?? reasons[status] ?? 'OK', own, body);
    if (this.#final !== undefined) return this.#final;
    this.answers.push(answer);
    this.#send(answer, this.remote, false);
    if (status >= 200) {
      this.#final = answer;
      // a 2xx is repeated over every transport, because only the far end acknowledges it (13.3.1.4)
      const repeat = this.request.method === 'INVITE' && (status < 300 || this.remote.transport === 'udp');
      if (repeat)
        this.#repeats.start(
          () => this.#send(answer, this.remote, true),
          () => undefined,
          true,
        );
    }
    return answer;
  }

  /** The ACK of our final answer. */
  async ack(withinMs = 10_000): Promise<SipRequest> {
    return (await this.#events.next((event) => event.is === 'ack', withinMs, 'an ACK')).request;
  }

  /** The CANCEL; it has been answered, and this INVITE with 487. */
  async cancel(withinMs = 10_000): Promise<SipRequest> {
    return (await this.#events.next((event) => event.is === 'cancel', withinMs, 'a CANCEL')).request;
  }

  receiveCopy(): void {
    const last = this.answers.at(-1);
    if (last !== undefined) this.#send(last, this.remote, true);
  }

  receiveAck(request: SipRequest): void {
    this.#repeats.stop();
    if (this.acked) return;
    this.acked = true;
    this.#events.put({ is: 'ack', request });
  }

  receiveCancel(request: SipRequest): void {
    this.cancelled = true;
    if (this.#final === undefined) this.respond(487);
    this.#events.put({ is: 'cancel', request });
  }

  stop(): void {
    this.#repeats.stop();
  }
}

export function cseqOf(message: SipRequest | SipResponse): { readonly number: number; readonly method: string } {
  const [number = '0', method = ''] = (message.headers.get('CSeq') ?? '').split(/\s+/);
  return { number: Number(number), method };
}

/** The branch of the topmost Via; '' when there is none. */
export function branchOf(message: SipRequest | SipResponse): string {
  return /;\s*branch=([^;,\s]+)/i.exec(message.headers.list('Via')[0] ?? '')?.[1] ?? '';
}

export function withTag(value: string, tag: string): string {
  return parseNameAddr(value)?.uri !== undefined && !value.includes('<')
    ? `<${value}>;tag=${tag}`
    : `${value};tag=${tag}`;
}

/** Copies these fields, every line of each, in the order of the message. */
function echoed(from: Headers, names: readonly string[]): Headers {
  const wanted = new Set(names.map((name) => name.toLowerCase()));
  const headers = Headers.empty();
  for (const [name, value, key] of from.entries()) if (wanted.has(key)) headers.add(name, value);
  return headers;
}

export const reasons: Readonly<Record<number, string>> = {
  100: 'Trying',
  180: 'Ringing',
  181: 'Call Is Being Forwarded',
  183: 'Session Progress',
  200: 'OK',
  202: 'Accepted',
  302: 'Moved Temporarily',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  415: 'Unsupported Media Type',
  423: 'Interval Too Brief',
  480: 'Temporarily Unavailable',
  481: 'Call/Transaction Does Not Exist',
  486: 'Busy Here',
  487: 'Request Terminated',
  488: 'Not Acceptable Here',
  491: 'Request Pending',
  500: 'Server Internal Error',
  503: 'Service Unavailable',
  600: 'Busy Everywhere',
  603: 'Decline',
};
