/**
 * Frames of the drachtio control protocol: `<length>#<payload>`, length in octets (drachtio-protocol A.1).
 * Text is octets (latin1), so a body of any bytes passes unharmed. The same code reads both directions.
 */

/** A frame that cannot be read; the connection has lost its place and must be closed. */
export class BadFrame extends Error {
  override readonly name = 'BadFrame';
}

export class FrameReader {
  /** longest payload taken from now on */
  maxBytes: number;
  #chunks: Buffer[] = [];
  #held = 0;
  #octets: Buffer = empty;
  #at = 0;
  /** octets needed before it is worth looking again */
  #wanted = 1;
  /** small chunks at the end of the list */
  #crumbs = 0;
  /** payloads that came in a text of their own, before everything else that waits */
  #whole: Payload[] = [];

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Takes the next octets, as a text where they come from memory; ask `next` until it has nothing more. */
  push(octets: Buffer | string): void {
    if (typeof octets === 'string' && !this.#hasOctets) {
      const payload = payloadOf(octets, this.maxBytes);
      if (payload !== undefined) {
        this.#whole.push(payload);
        return;
      }
    }
    const chunk = typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets;
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    this.#crumbs = chunk.length < crumb ? this.#crumbs + 1 : 0;
    // a frame that comes octet by octet must not cost a buffer for each
    if (this.#crumbs === crumbsKept) {
      this.#crumbs = 0;
      this.#chunks.push(Buffer.concat(this.#chunks.splice(-crumbsKept)));
    }
  }

  /** Takes a frame that came in its parts. */
  pushFrame(payload: Exclude<Payload, string>): void {
    if (this.#hasOctets || payload.meta.length + 2 + payload.message.length > this.maxBytes)
      this.push(Buffer.from(frame(textOf(payload)), 'latin1'));
    else this.#whole.push(payload);
  }

  /** True when the rest of a frame is missing; to be asked after `next` gave undefined. */
  get partial(): boolean {
    return this.#hasOctets || this.#whole.length > 0;
  }

  get #hasOctets(): boolean {
    return this.#octets.length - this.#at + this.#held > 0;
  }

  /** The next whole payload, undefined when octets are missing. Throws BadFrame once the stream makes no sense. */
  next(): Payload | undefined {
    if (this.#whole.length > 0) return this.#whole.shift();
    const left = this.#octets.length - this.#at;
    if (left + this.#held < this.#wanted) return undefined;
    if (this.#held > 0) this.#join(left);
    const octets = this.#octets;
    while (this.#at < octets.length) {
      const at = this.#at;
      let length = 0;
      let digit = at;
      let code = octets[digit];
      while (code !== undefined && code >= 48 && code <= 57) {
        length = length * 10 + code - 48;
        if (length > this.maxBytes) throw new BadFrame(`a frame is longer than ${this.maxBytes} octets`);
        code = octets[++digit];
        // zeros in front, so many that they would keep us reading
        if (digit - at > longestLength) throw new BadFrame('a frame length is too long');
      }
      if (code === undefined) {
        this.#wanted = octets.length - at + 1;
        return undefined;
      }
      if (code !== 35 || digit === at) throw new BadFrame('a frame does not begin with its length');
      const start = digit + 1;
      if (octets.length - start < length) {
        this.#wanted = start - at + length;
        return undefined;
      }
      this.#at = start + length;
      if (length > 0) return octets.toString('latin1', start, this.#at);
    }
    this.#octets = empty;
    this.#at = 0;
    this.#wanted = 1;
    return undefined;
  }

  #join(left: number): void {
    if (left > 0) this.#chunks.unshift(this.#octets.subarray(this.#at));
    this.#octets =
      this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks, left + this.#held);
    this.#at = 0;
    this.#held = 0;
    this.#chunks = [];
    this.#crumbs = 0;
    this.#wanted = 1;
  }
}

const empty = Buffer.alloc(0);
/** digits; the app's reader (adapters/srf/frames.ts) takes no more either */
const longestLength = 9;
const crumb = 1024;
const crumbsKept = 64;

/** The payload of a text that is one frame and nothing else. */
function payloadOf(text: string, maxBytes: number): string | undefined {
  const hash = text.indexOf('#');
  const length = text.length - hash - 1;
  return length > 0 && length <= maxBytes && text.slice(0, hash) === String(length) ? text.slice(hash + 1) : undefined;
}

/** One frame as octets in a string. */
export function frame(payload: string): string {
  return `${payload.length}#${payload}`;
}

/** A payload as one text, or its first line and the message after it. */
export type Payload = string | { readonly meta: string; readonly message: string };

export function textOf(payload: Payload): string {
  return typeof payload === 'string' ? payload : `${payload.meta}\r\n${payload.message}`;
}

/** The meta line split at every `|`, and the SIP message after the first CRLF ('' when there is none). */
export function parsePayload(payload: Payload): { readonly tokens: readonly string[]; readonly message: string } {
  if (typeof payload !== 'string') return { tokens: payload.meta.split('|'), message: payload.message };
  const end = payload.indexOf('\r\n');
  return end < 0
    ? { tokens: payload.split('|'), message: '' }
    : { tokens: payload.slice(0, end).split('|'), message: payload.slice(end + 2) };
}
