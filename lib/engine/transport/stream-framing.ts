/**
 * Cuts a byte stream into SIP messages by Content-Length (RFC 3261 18.3, 7.5) and answers keep-alives (RFC 5626 5.4).
 * Anything that cannot be framed ends the stream: after it no boundary can be trusted.
 */

export type FrameEvent =
  | { readonly is: 'message'; readonly text: string }
  /** CRLFCRLF: answer with CRLF */
  | { readonly is: 'ping' }
  /** no boundary can be found any more; `head` is the message head when there was a whole one, else '' */
  | { readonly is: 'broken'; readonly head: string };

/** Head of a SIP message begins with a method or SIP/2.0; enough of the line to say no to anything else early. */
const startLine = /^(?:SIP\/2\.0 [1-6]\d\d|[A-Za-z0-9\-.!%*_+`'~]+ [^\r\n]+ SIP\/\d+\.\d+[ \t]*)(?: [^\r\n]*)?$/i;
const startOfLine = /^[A-Za-z0-9\-.!%*_+`'~/]*(?: [^\r\n]*)?\r?$/;
/** octets of a line without an end that are looked at */
const enoughOfLine = 128;
const contentLength = /\r\n(?:content-length|l)[ \t]*:[ \t]*([^\r\n]*(?:\r\n[ \t]+[^\r\n]*)*)/gi;

export class StreamFraming {
  readonly #maxBytes: number;
  #held = '';
  /** octets of `#held` already searched for the end of the head */
  #searched = 0;
  /** length of the message that begins `#held`, once its head is known */
  #wanted = 0;
  #lineSeen = false;
  #broken = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True while the beginning of a message waits for its rest. */
  get pending(): boolean {
    return this.#held.length > 3 || (this.#held !== '' && !/^[\r\n]+$/.test(this.#held));
  }

  /** Takes the next octets and gives what they complete, in order. After `broken` nothing more is taken. */
  push(octets: string): FrameEvent[] {
    const events: FrameEvent[] = [];
    if (this.#broken) return events;
    this.#held = this.#held === '' ? octets : this.#held + octets;
    for (;;) {
      const event = this.#next();
      if (event === undefined) return events;
      events.push(event);
      if (event.is === 'broken') {
        this.#broken = true;
        this.#held = '';
        return events;
      }
    }
  }

  #next(): FrameEvent | undefined {
    if (this.#wanted > 0) return this.#body();
    if (this.#held === '') return undefined;
    if (this.#held.charCodeAt(0) === 13 || this.#held.charCodeAt(0) === 10) return this.#keepAlive();
    const endOfHead = this.#held.indexOf('\r\n\r\n', Math.max(0, this.#searched - 3));
    const before = this.#searched;
    this.#searched = this.#held.length;
    if (!this.#lineSeen) {
      const line = this.#held.indexOf('\r\n');
      if (line >= 0) {
        if (!startLine.test(this.#held.slice(0, line))) return { is: 'broken', head: '' };
        this.#lineSeen = true;
      } else if (before < enoughOfLine && !startOfLine.test(this.#held.slice(0, enoughOfLine)))
        return { is: 'broken', head: '' };
    }
    // a head that is too long is broken whether its end has come in the same chunk or not
    if (endOfHead < 0 || endOfHead + 4 > this.#maxBytes)
      return this.#held.length > this.#maxBytes ? { is: 'broken', head: '' } : undefined;
    const head = this.#held.slice(0, endOfHead + 4);
    const length = lengthIn(head);
    if (length === undefined || head.length + length > this.#maxBytes) return { is: 'broken', head };
    this.#wanted = head.length + length;
    return this.#body();
  }

  #body(): FrameEvent | undefined {
    if (this.#held.length < this.#wanted) return undefined;
    const text = this.#held.slice(0, this.#wanted);
    this.#held = this.#held.length === this.#wanted ? '' : this.#held.slice(this.#wanted);
    this.#wanted = 0;
    this.#searched = 0;
    this.#lineSeen = false;
    return { is: 'message', text };
  }

  #keepAlive(): FrameEvent | undefined {
    if (this.#held.startsWith('\r\n\r\n')) {
      this.#held = this.#held.slice(4);
      return { is: 'ping' };
    }
    if (this.#held === '\r' || this.#held === '\r\n' || this.#held === '\r\n\r') return undefined;
    if (!this.#held.startsWith('\r\n')) return { is: 'broken', head: '' };
    this.#held = this.#held.slice(2);
    return this.#next();
  }
}

/** The one Content-Length of a head; undefined when it is missing, not a number or contradicts itself. */
export function lengthIn(head: string): number | undefined {
  contentLength.lastIndex = 0;
  const first = contentLength.exec(head);
  if (first === null) return undefined;
  const value = (first[1] as string).trim();
  if (!/^\d{1,9}$/.test(value)) return undefined;
  for (let more = contentLength.exec(head); more !== null; more = contentLength.exec(head)) {
    if ((more[1] as string).trim() !== value) return undefined;
  }
  return Number(value);
}
