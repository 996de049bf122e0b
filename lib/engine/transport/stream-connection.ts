/** A connection over TCP or TLS: SIP messages one after the other in a stream (RFC 3261 18.3), and CRLF keep-alives (RFC 5626 5.4). */
import type { Socket } from 'node:net';
import { Connection, type Surroundings } from './connection.ts';
import type { Listener } from './flow.ts';
import { StreamFraming } from './stream-framing.ts';

export class StreamConnection extends Connection {
  readonly #socket: Socket;
  readonly #framing: StreamFraming;
  #corked = false;
  /** what is sent before the peer has shown who it is waits here; undefined: send at once */
  #waiting: string[] | undefined;
  #waitingBytes = 0;

  /** `waits`: nothing goes out before `ready`. */
  constructor(
    listener: Listener,
    socket: Socket,
    peer: { readonly address: string; readonly port: number; readonly name?: string },
    around: Surroundings,
    waits = false,
  ) {
    super(listener, peer, around);
    this.#socket = socket;
    this.#framing = new StreamFraming(around.limits.messageBytes);
    if (waits) this.#waiting = [];
    // an error is always followed by close, and close is all that matters here
    socket.on('error', () => {});
    socket.on('data', (octets: Buffer) => this.#onData(octets));
    socket.on('end', () => this.shut());
    socket.once('close', () => {
      this.#waiting = undefined;
      this.onClosed();
    });
  }

  /** The peer is who it should be. */
  ready(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const text of waiting) this.#write(text);
  }

  send(text: string): boolean {
    if (!this.open || this.isChoked(this.#socket.writableLength + this.#waitingBytes)) return false;
    this.around.counters.sent++;
    if (this.#waiting === undefined) this.#write(text);
    else {
      this.#waiting.push(text);
      this.#waitingBytes += text.length;
    }
    return true;
  }

  /** All of one turn of the event loop leaves in one write. */
  #write(text: string): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(text, 'latin1');
  }

  destroy(): void {
    this.shut();
    this.#socket.destroy();
  }

  end(): void {
    this.shut();
    this.#socket.end();
    this.#socket.destroySoon();
  }

  #onData(octets: Buffer): void {
    if (!this.open) return;
    this.heard();
    try {
      for (const event of this.#framing.push(octets.toString('latin1'))) {
        if (event.is === 'message') {
          this.noteSpoke();
          this.around.receiver.onMessage(event.text, this);
        } else if (event.is === 'ping') {
          this.noteSpoke();
          // who asks and never reads must not fill our memory either
          if (this.isChoked(this.#socket.writableLength)) return;
          this.#write('\r\n');
        } else {
          this.around.receiver.onBadFrame(event.head, this);
          this.end();
          return;
        }
        if (!this.open) return;
      }
    } catch {
      this.around.counters.faults++;
    }
    if (!this.#framing.pending) this.halfSince = undefined;
    else this.halfSince ??= this.lastHeard;
  }
}
