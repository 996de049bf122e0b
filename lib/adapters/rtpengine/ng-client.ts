/**
 * The ng control protocol of rtpengine: one datagram is a cookie, a blank and a bencoded dictionary; the answer has the same cookie.
 * A question is repeated under its cookie, so rtpengine does not do it twice. Knows one server's address at a time and no calls.
 */
import { createSocket, type Socket } from 'node:dgram';
import { randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { type Bencoded, decode, encode } from './bencode.ts';

export interface NgServer {
  /** name or address, IPv6 without brackets */
  readonly host: string;
  readonly port: number;
}

/** `silent`: no answer in time, or it cannot be reached; `refused`: an answer that is not ok, `why` is what it says of it. */
export type NgAnswer =
  | { readonly is: 'ok'; readonly fields: { readonly [key: string]: Bencoded } }
  | { readonly is: 'silent' }
  | { readonly is: 'refused'; readonly why: string };

export interface NgTimes {
  /** for all attempts together, ms */
  readonly timeoutMs: number;
  /** how often a question is sent within that time */
  readonly attempts: number;
}

/** More questions without an answer than this are not asked: rtpengine has a trouble that more of them make worse. */
const mostPending = 10_000;

interface Pending {
  readonly tell: (answer: NgAnswer) => void;
  readonly stop: () => void;
}

export class NgClient {
  readonly #times: NgTimes;
  readonly #sockets = new Map<'udp4' | 'udp6', Socket>();
  readonly #pending = new Map<string, Pending>();
  #closed = false;

  constructor(times: NgTimes) {
    this.#times = times;
  }

  /** Never rejects. */
  ask(server: NgServer, question: { readonly [key: string]: Bencoded }): Promise<NgAnswer> {
    if (this.#closed || this.#pending.size >= mostPending) return Promise.resolve({ is: 'silent' });
    const cookie = randomBytes(12).toString('hex');
    const datagram = Buffer.concat([Buffer.from(`${cookie} `, 'latin1'), encode(question)]);
    const { timeoutMs, attempts } = this.#times;
    return new Promise((done) => {
      let left = attempts;
      const send = (): void => {
        if (left === 0) return this.#over(cookie, { is: 'silent' });
        left -= 1;
        // an error of one attempt is the same as no answer: the next one may come through
        this.#socket(server.host).send(datagram, server.port, server.host, () => undefined);
      };
      const timer = setInterval(send, Math.max(1, timeoutMs / attempts)).unref();
      this.#pending.set(cookie, { tell: done, stop: () => clearInterval(timer) });
      send();
    });
  }

  close(): void {
    this.#closed = true;
    for (const cookie of [...this.#pending.keys()]) this.#over(cookie, { is: 'silent' });
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #socket(host: string): Socket {
    const family = isIPv6(host) ? 'udp6' : 'udp4';
    const known = this.#sockets.get(family);
    if (known !== undefined) return known;
    const socket = createSocket(family);
    socket.on('message', (datagram) => this.#heard(datagram));
    // what failed to be sent shows as silence
    socket.on('error', () => undefined);
    this.#sockets.set(family, socket.unref());
    return socket;
  }

  #heard(datagram: Buffer): void {
    const blank = datagram.subarray(0, 64).indexOf(' ');
    const cookie = blank < 0 ? '' : datagram.toString('latin1', 0, blank);
    if (!this.#pending.has(cookie)) return;
    const fields = decode(datagram.subarray(blank + 1));
    this.#over(cookie, read(fields));
  }

  #over(cookie: string, answer: NgAnswer): void {
    const pending = this.#pending.get(cookie);
    this.#pending.delete(cookie);
    pending?.stop();
    pending?.tell(answer);
  }
}

function read(fields: Bencoded | undefined): NgAnswer {
  if (fields === undefined || typeof fields !== 'object' || Array.isArray(fields))
    return { is: 'refused', why: 'an answer that cannot be read' };
  const said = fields as { readonly [key: string]: Bencoded };
  const { result } = said;
  if (result === 'ok' || result === 'pong') return { is: 'ok', fields: said };
  const why = said['error-reason'];
  return {
    is: 'refused',
    why: (typeof why === 'string' ? why : `result ${typeof result === 'string' ? result : 'that is none'}`).slice(
      0,
      200,
    ),
  };
}
