/**
 * A connection within one thread: two ends that behave as the ends of a connection between two sockets do, without the system
 * knowing of them. What is written arrives as it was written (texts stay texts, nothing is put together or cut), but not before
 * the next round of immediates: all datagrams of one turn are read by one side before the other works on any. Handed over at
 * once, a REGISTER cost a fifth more, because each ran through the code of both sides anew.
 */
import { EventEmitter } from 'node:events';
import type { SipMessage } from '../../sip/message.ts';
import { frame, textOf } from './frames.ts';

/** One frame of the control protocol in its parts, so that nobody puts a text together for somebody else to take apart. */
export interface MemoryFrame {
  /** the first line of the payload */
  readonly meta: string;
  /** the SIP message after it, as octets */
  readonly message: string;
  /** the same message as its writer has read it, and has no more use for; undefined where he has not, or read another text */
  readonly parsed: SipMessage | undefined;
}

export class MemorySocket extends EventEmitter {
  readonly inMemory = true;
  destroyed = false;
  #peer: MemorySocket;
  /** what the peer has written and nobody has taken yet */
  #inbox: (string | MemoryFrame)[] = [];
  #inboxOctets = 0;
  #paused = false;
  #due = false;
  /** nothing more is written here */
  #ended = false;
  #destroyedWhenTaken = false;

  private constructor(peer: MemorySocket | undefined) {
    super();
    this.#peer = peer ?? new MemorySocket(this);
  }

  /** Two ends that are connected; both tell `connect` once the current work is done. */
  static pair(): readonly [MemorySocket, MemorySocket] {
    const one = new MemorySocket(undefined);
    queueMicrotask(() => {
      for (const end of [one, one.#peer]) if (!end.destroyed) end.emit('connect');
    });
    return [one, one.#peer];
  }

  /** An end that leads nowhere: it fails as a connection does that is refused. */
  static refused(): MemorySocket {
    const [end] = MemorySocket.pair();
    end.destroy(new Error('nobody listens'));
    return end;
  }

  get writableLength(): number {
    return this.#peer.#inboxOctets;
  }

  /** An octet string; the encoding is there because sockets have one. False, and without effect, once this end or the other is over. */
  write(text: string, _encoding?: unknown): boolean {
    return this.#give(text);
  }

  /** As `write` with the frame as a text, which whoever does not listen to `frame` gets. */
  writeFrame(meta: string, message: string, parsed?: SipMessage): boolean {
    return this.#give({ meta, message, parsed });
  }

  #give(what: string | MemoryFrame): boolean {
    const peer = this.#peer;
    if (this.destroyed || this.#ended || peer.destroyed) return false;
    peer.#inbox.push(what);
    peer.#inboxOctets += octetsOf(what);
    peer.#soon();
    return true;
  }

  pause(): this {
    this.#paused = true;
    return this;
  }

  resume(): this {
    this.#paused = false;
    this.#soon();
    return this;
  }

  /** Nothing more is written. The other end takes what there is and ends too; then both are closed. */
  end(): this {
    this.#ended = true;
    this.#peer.#soon();
    return this;
  }

  /** Like `end`, and closed as soon as the other end has taken everything. */
  destroySoon(): void {
    this.#destroyedWhenTaken = true;
    this.end();
  }

  /** Closed at once. The other end still gets what was written, unless it does not read. */
  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.#inbox = [];
    this.#inboxOctets = 0;
    queueMicrotask(() => {
      if (error !== undefined) this.emit('error', error);
      this.emit('close');
    });
    this.#peer.#soon();
    return this;
  }

  #soon(): void {
    if (this.#due || this.destroyed) return;
    this.#due = true;
    setImmediate(this.#take);
  }

  readonly #take = (): void => {
    this.#due = false;
    const peer = this.#peer;
    while (!this.#paused && !this.destroyed) {
      const what = this.#inbox.shift();
      if (what === undefined) break;
      this.#inboxOctets -= octetsOf(what);
      if (typeof what === 'string') this.emit('data', what);
      else if (!this.emit('frame', what)) this.emit('data', frame(textOf(what)));
    }
    if (this.destroyed) return;
    if (peer.destroyed) {
      this.destroy();
      return;
    }
    if (this.#inbox.length > 0) return;
    if (peer.#destroyedWhenTaken) {
      peer.destroy();
      return;
    }
    peer.emit('drain');
    if (peer.#ended) this.#ended = true;
    if (this.#ended && peer.#ended && this.#inbox.length + peer.#inbox.length === 0) this.destroy();
    else if (this.#ended && peer.#ended) peer.#soon();
  };
}

function octetsOf(what: string | MemoryFrame): number {
  return typeof what === 'string' ? what.length : what.meta.length + 2 + what.message.length;
}
