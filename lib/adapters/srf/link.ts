/**
 * The connection to the engine: drachtio-srf's agent connects, authenticates, announces the routes, pings and connects
 * again; frames that carry SIP are read and written here, because the library parses every message three times and keeps
 * CANCELs by Call-ID only (measured: 140 us a relayed REGISTER through srf's objects, 55 this way).
 */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import DrachtioAgent from 'drachtio-srf/lib/drachtio-agent.js';
import { FrameReader, frame } from './frames.ts';

/** What the engine said to one frame of ours. `fields` start with OK, NOK or NO; `text` is the SIP message after it. */
export interface Reply {
  readonly ok: boolean;
  readonly fields: readonly string[];
  readonly text: () => string;
}

/** The connection went down before the engine answered. */
export const lost: Reply = { ok: false, fields: ['NOK', 'control connection lost'], text: () => '' };

/** One connection from its authentication to its end. Objects made on one line die with it. */
export class Line {
  readonly socket: Socket;
  alive = true;
  /** authenticated */
  up = false;
  readonly #waiting = new Map<string, (reply: Reply) => void>();
  #out = '';

  constructor(socket: Socket) {
    this.socket = socket;
  }

  /** Frames sent and not yet answered. */
  get unanswered(): number {
    return this.#waiting.size;
  }

  /** Sends one payload (an octet string without message id); `reply` is called exactly once, never before this returns. */
  send(payload: string, reply: (reply: Reply) => void): void {
    if (!this.alive) {
      queueMicrotask(() => reply(lost));
      return;
    }
    const id = randomUUID();
    this.#waiting.set(id, reply);
    // all frames of one turn of the event loop leave in one write
    if (this.#out === '') setImmediate(this.#flush);
    this.#out += frame(`${id}|${payload}`);
  }

  readonly #flush = (): void => {
    const out = this.#out;
    this.#out = '';
    if (out !== '' && this.alive && !this.socket.destroyed) this.socket.write(out, 'latin1');
  };

  /** What was sent goes out, then nothing more: every held INVITE has its answer here when we stop. */
  finish(): void {
    this.#flush();
    this.socket.end();
  }

  /** True when the frame answered one of ours. */
  answer(id: string, fields: readonly string[], text: () => string): boolean {
    const reply = this.#waiting.get(id);
    if (reply === undefined) return false;
    this.#waiting.delete(id);
    reply({ ok: fields[0] === 'OK', fields, text });
    return true;
  }

  /** Ends the line: everything that waits hears `lost`. */
  end(): void {
    if (!this.alive) return;
    this.alive = false;
    this.#out = '';
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const reply of waiting) reply(lost);
  }
}

export interface LinkEvents {
  /** authenticated, routes announced */
  up(line: Line, hostports: readonly string[]): void;
  /** this line is gone; the library is already trying again */
  down(line: Line): void;
  /** a `sip` frame; `text` is the SIP message with its head read as UTF-8 and its body as octets */
  sip(line: Line, tokens: readonly string[], text: string): void;
  /** cannot connect or was refused; the library tries again */
  failed(why: string): void;
  /** an exception while a frame was handled; the frame is lost, the link goes on */
  fault(error: unknown): void;
}

export class Link extends DrachtioAgent {
  readonly #events: LinkEvents;
  readonly #lines = new Map<Socket, Line>();

  constructor(methods: readonly string[], events: LinkEvents) {
    super(() => {
      // every request is taken in #take; the library never sees one
    });
    this.#events = events;
    for (const method of methods) this.route(method.toLowerCase());
    this.on('error', (error: unknown) => events.failed(error instanceof Error ? error.message : String(error)));
    this.on('connect', (error: Error | null) => {
      if (error) events.failed(error.message);
    });
  }

  override _onConnect(socket: Socket): void {
    socket.setNoDelay(true); // the library forgets it on a reconnect
    const line = new Line(socket);
    this.#lines.set(socket, line);
    // our reader instead of the library's, which turns octets that are not UTF-8 into replacement characters
    const reader = new FrameReader();
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => {
      const understood = reader.read(chunk, (payload, octets) => {
        try {
          this.#take(line, payload, octets);
        } catch (error) {
          this.#events.fault(error);
        }
      });
      if (!understood) socket.destroy();
    });
    super._onConnect(socket);
  }

  override _onClose(socket: Socket): void {
    super._onClose(socket);
    const line = this.#lines.get(socket);
    if (line === undefined) return;
    this.#lines.delete(socket);
    line.end();
    this.#events.down(line);
  }

  /** Ends for good: no reconnect, and everything that waits hears `lost`. */
  close(): void {
    this.wp.closing = true;
    if (this.wp.reconnectVars.retryTimer) clearTimeout(this.wp.reconnectVars.retryTimer);
    for (const [socket, line] of this.#lines) {
      this.wp._stopPinging(socket);
      line.finish();
    }
    this.wp.socket?.destroySoon();
  }

  /** The library has read the answer to `authenticate`: before the first request, not a turn later as its event would be. */
  #ready(line: Line): void {
    const server = this.mapServer.get(line.socket);
    if (line.up || server?.ready !== true) return;
    line.up = true;
    const all = `${server.hostport ?? ''},${server.localHostports ?? ''}`.split(',');
    this.#events.up(line, [...new Set(all.filter((text) => text !== ''))]);
  }

  #take(line: Line, payload: string, octets: Buffer): void {
    const end = payload.indexOf('\r\n');
    const tokens = (end < 0 ? payload : payload.slice(0, end)).split('|');
    switch (tokens[1]) {
      case 'sip':
        if (end >= 0) this.#events.sip(line, tokens, messageText(payload, octets, end + 2));
        return;
      case 'response': {
        const text = (): string => (end < 0 ? '' : messageText(payload, octets, end + 2));
        if (line.answer(tokens[2] ?? '', tokens.slice(3), text)) return;
        this._onMsg(line.socket, payload);
        this.#ready(line);
        return;
      }
      default:
      // cdr events are never asked for; anything newer than this protocol is not for us
    }
  }
}

/** Head as UTF-8, body as octets. Nearly every message is ASCII and costs nothing here. */
function messageText(payload: string, octets: Buffer, from: number): string {
  const endOfHead = payload.indexOf('\r\n\r\n', from);
  const to = endOfHead < 0 ? octets.length : endOfHead;
  const head = payload.slice(from, to);
  if (!hasHighOctet.test(head)) return payload.slice(from);
  return octets.toString('utf8', from, to) + payload.slice(to);
}

const hasHighOctet = /[\u0080-\u00ff]/;
