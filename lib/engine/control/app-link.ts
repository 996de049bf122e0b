/**
 * One connected app: writes what the engine has to tell it, with the token positions drachtio-srf reads (drachtio-protocol
 * A.3, A.5). Frames of one turn of the event loop leave in one write where a write is a system call.
 */
import type { Counters } from '../counters.ts';
import type { Limits } from '../options.ts';
import { timeOfDay, uuid } from '../ids.ts';
import type { AppSocket } from './app-socket.ts';
import type { SipMessage } from '../../sip/message.ts';
import { frame, textOf } from './frames.ts';

/** Where a message came from or went to, as the meta line names it. */
export interface Peer {
  /** `udp`, `tcp`, `unknown` when no transport was chosen, '' where the protocol leaves it out */
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
}

export interface ReceivedOn {
  readonly host: string;
  readonly port: number;
}

type Bounds = Pick<Limits, 'appPauseBytes' | 'appBacklogBytes'>;

export class AppLink {
  readonly #socket: AppSocket;
  readonly #bounds: Bounds;
  readonly #counters: Counters;
  readonly #onLevel: () => void;
  /** came over the port for apps of other nodes */
  readonly isGuest: boolean;
  #waiting: string[] = [];
  #flushing = false;
  #open = true;
  /** when it fell behind, by performance.now(); 0 while it keeps up */
  #behindSince = 0;

  /** `onLevel` is called when `keepsUp` may have changed. */
  constructor(socket: AppSocket, bounds: Bounds, counters: Counters, onLevel: () => void, isGuest = false) {
    this.isGuest = isGuest;
    this.#socket = socket;
    this.#bounds = bounds;
    this.#counters = counters;
    this.#onLevel = onLevel;
  }

  get open(): boolean {
    return this.#open;
  }

  /** False from the moment much waits to be read by it until nothing does; such an app gets no new requests. */
  get keepsUp(): boolean {
    return this.#open && this.#behindSince === 0;
  }

  /** Octets it has not read yet, as far as we know. */
  get backlog(): number {
    return this.#socket.writableLength;
  }

  /** Milliseconds since it fell behind; 0 while it keeps up. */
  stalledFor(now: number): number {
    return this.#behindSince === 0 ? 0 : now - this.#behindSince;
  }

  markClosed(): void {
    this.#open = false;
    this.#waiting = [];
  }

  ok(to: string, ...fields: readonly string[]): void {
    this.#write(`${uuid()}|response|${to}|${['OK', ...fields].join('|')}`);
  }

  notOk(to: string, text: string): void {
    this.#write(`${uuid()}|response|${to}|NOK|${text}`);
  }

  /** Refuses the frame itself and ends the connection. */
  refuse(to: string, text: string): void {
    this.#write(`${uuid()}|response|${to}|NO|${text}`);
    this.#flush();
    this.#open = false;
    this.#socket.end();
    this.#socket.destroySoon();
  }

  requestSent(to: string, message: string, bytes: number, peer: Peer, txn: string): void {
    this.#writeMessage(
      `${uuid()}|response|${to}|OK|application|${bytes}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|${txn}|Msg sent:|`,
      message,
    );
  }

  responseSent(to: string, message: string, peer: Peer, txn: string, dialogId: string): void {
    this.#writeMessage(
      `${uuid()}|response|${to}|OK|application|${message.length}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|${txn}|${dialogId}||Msg sent:|`,
      message,
    );
  }

  newRequest(message: string, peer: Peer, txn: string, on: ReceivedOn, parsed?: SipMessage): void {
    this.#writeMessage(
      `${uuid()}|sip|network|${message.length}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|${txn}||${on.host}|${on.port}|`,
      message,
      parsed,
    );
  }

  /** A request in a dialog, an ACK or a CANCEL (`dialogId` may be ''), or a response. `bytes` 0 marks one made up locally. */
  received(message: string, bytes: number, peer: Peer, txn: string, dialogId: string, parsed?: SipMessage): void {
    this.#writeMessage(
      `${uuid()}|sip|network|${bytes}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|${txn}|${dialogId}|`,
      message,
      parsed,
    );
  }

  /** A BYE the engine sent on its own. */
  unsolicited(message: string, peer: Peer, dialogId: string): void {
    this.#writeMessage(
      `${uuid()}|sip|application|${message.length}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|unsolicited|${dialogId}|`,
      message,
    );
  }

  #writeMessage(meta: string, message: string, parsed?: SipMessage): void {
    const socket = this.#socket;
    if (socket.writeFrame === undefined) this.#write(textOf({ meta, message }));
    else if (this.#open) {
      const backlog = socket.writableLength + meta.length + 2 + message.length;
      if (!this.#mayGrowTo(backlog)) return;
      socket.writeFrame(meta, message, parsed);
      this.#lookBehind(backlog);
    }
  }

  #write(payload: string): void {
    if (!this.#open) return;
    this.#waiting.push(frame(payload));
    if (this.#socket.inMemory) {
      this.#flush();
      return;
    }
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    const text = this.#waiting.length === 1 ? (this.#waiting[0] as string) : this.#waiting.join('');
    this.#waiting = [];
    if (!this.#open) return;
    const backlog = this.#socket.writableLength + text.length;
    if (!this.#mayGrowTo(backlog)) return;
    this.#socket.write(text, 'latin1');
    this.#lookBehind(backlog);
  }

  /** False for an app that does not read and would otherwise fill our memory: its connection is closed. */
  #mayGrowTo(backlog: number): boolean {
    if (backlog <= this.#bounds.appBacklogBytes) return true;
    this.#open = false;
    this.#counters.appsClosed++;
    this.#socket.destroy();
    return false;
  }

  #lookBehind(backlog: number): void {
    if (backlog <= this.#bounds.appPauseBytes || this.#behindSince > 0 || this.#socket.writableLength === 0) return;
    this.#behindSince = performance.now();
    this.#counters.appsBehind++;
    this.#socket.once('drain', () => {
      this.#behindSince = 0;
      this.#onLevel();
    });
    this.#onLevel();
  }
}
