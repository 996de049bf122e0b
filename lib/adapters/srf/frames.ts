/**
 * The drachtio control protocol on the wire: `<length>#<payload>`, length in octets. Payloads are octet strings: one
 * character per octet, so that no body is ever changed by a character set.
 */

/** Cuts a stream into payloads. Anything that is no frame is a fault of the engine and ends the connection. */
export class FrameReader {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #held = 0;
  /** octets needed before it is worth looking again: a large frame in many chunks is put together once */
  #wanted = 1;

  /** `maxBytes`: longest payload */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Calls `take` for every payload completed by this chunk, which is a text where it comes from memory; false when the stream
   * cannot be understood any more.
   */
  read(from: Buffer | string, take: (payload: string) => void): boolean {
    if (typeof from === 'string' && this.#held === 0) {
      const payload = payloadOf(from, this.#maxBytes);
      if (payload !== undefined) {
        take(payload);
        return true;
      }
    }
    const chunk = typeof from === 'string' ? Buffer.from(from, 'latin1') : from;
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    if (this.#held < this.#wanted) return true;
    const data = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#held);
    let at = 0;
    this.#wanted = 1;
    while (at < data.length) {
      const hash = data.indexOf(35, at);
      const digits = hash < 0 ? data.length - at : hash - at;
      if (digits > 9) return false;
      const length = decimal(data, at, at + digits);
      if (length < 0 || length > this.#maxBytes || (hash >= 0 && digits === 0)) return false;
      if (hash < 0 || hash + 1 + length > data.length) {
        this.#wanted = hash < 0 ? data.length - at + 1 : hash + 1 + length - at;
        break;
      }
      if (length > 0) take(data.toString('latin1', hash + 1, hash + 1 + length));
      at = hash + 1 + length;
    }
    this.#held = data.length - at;
    // a copy, so that a few octets do not keep a whole chunk alive
    this.#chunks = this.#held === 0 ? [] : [at === 0 ? data : Buffer.from(data.subarray(at))];
    return true;
  }
}

function decimal(data: Buffer, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = (data[at] as number) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** The payload of a text that is one frame and nothing else. */
function payloadOf(text: string, maxBytes: number): string | undefined {
  const hash = text.indexOf('#');
  const length = text.length - hash - 1;
  return length > 0 && length <= maxBytes && text.slice(0, hash) === String(length) ? text.slice(hash + 1) : undefined;
}

/** One frame as an octet string. */
export function frame(payload: string): string {
  return `${payload.length}#${payload}`;
}

/** The UTF-8 octets of a text, one character each. Text within ASCII is returned as it is. */
export function toOctets(text: string): string {
  return Buffer.byteLength(text) === text.length ? text : Buffer.from(text, 'utf8').toString('latin1');
}
