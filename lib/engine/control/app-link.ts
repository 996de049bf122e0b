/**
 * One connected app: writes what the engine has to tell it, with the token positions drachtio-srf reads (drachtio-protocol
 * A.3, A.5). Frames of one turn of the event loop leave in one write.
 */
import type { Socket } from 'node:net';
import { timeOfDay, uuid } from '../ids.ts';
import { frame } from './frames.ts';

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

export class AppLink {
  readonly #socket: Socket;
  readonly #backlogBytes: number;
  #waiting: string[] = [];
  #flushing = false;
  #open = true;

  constructor(socket: Socket, backlogBytes: number) {
    this.#socket = socket;
    this.#backlogBytes = backlogBytes;
  }

  get open(): boolean {
    return this.#open;
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
    this.#write(
      `${uuid()}|response|${to}|OK|application|${bytes}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|${txn}|Msg sent:|\r\n${message}`,
    );
  }

  responseSent(to: string, message: string, peer: Peer, txn: string, dialogId: string): void {
    this.#write(
      `${uuid()}|response|${to}|OK|application|${message.length}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|${txn}|${dialogId}||Msg sent:|\r\n${message}`,
    );
  }

  newRequest(message: string, peer: Peer, txn: string, on: ReceivedOn): void {
    this.#write(
      `${uuid()}|sip|network|${message.length}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|${txn}||${on.host}|${on.port}|\r\n${message}`,
    );
  }

  /** A request in a dialog, an ACK or a CANCEL (`dialogId` may be ''), or a response. `bytes` 0 marks one made up locally. */
  received(message: string, bytes: number, peer: Peer, txn: string, dialogId: string): void {
    this.#write(
      `${uuid()}|sip|network|${bytes}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|${txn}|${dialogId}|\r\n${message}`,
    );
  }

  /** A BYE the engine sent on its own. */
  unsolicited(message: string, peer: Peer, dialogId: string): void {
    this.#write(
      `${uuid()}|sip|application|${message.length}|${peer.protocol}|${peer.address}|${peer.port}|${timeOfDay()}|unsolicited|${dialogId}|\r\n${message}`,
    );
  }

  #write(payload: string): void {
    if (!this.#open) return;
    this.#waiting.push(frame(payload));
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
    // an app that does not read would otherwise fill our memory
    if (this.#socket.writableLength + text.length > this.#backlogBytes) {
      this.#open = false;
      this.#socket.destroy();
      return;
    }
    this.#socket.write(text, 'latin1');
  }
}
