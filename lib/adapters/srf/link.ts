/**
 * The connection to the engine: drachtio-srf's agent authenticates, announces the routes and pings, over the connections of
 * wire.ts; frames that carry SIP are read and written here, because the library parses every message three times and keeps
 * CANCELs by Call-ID only (measured: 140 us a relayed REGISTER through srf's objects, 55 this way).
 */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import DrachtioAgent from 'drachtio-srf/lib/drachtio-agent.js';
import type { SipMessage } from '../../sip/message.ts';
import type { EngineSocket, WholeFrame } from './engine-socket.ts';
import { FrameReader, frame } from './frames.ts';
import { type EngineAt, Wire } from './wire.ts';

/** What the engine said to one frame of ours. `fields` start with OK, NOK or NO; `text` is the SIP message after it. */
export interface Reply {
  readonly ok: boolean;
  readonly fields: readonly string[];
  readonly text: () => string;
}

/** Longest frame taken from the engine: its largest message, and room to spare. */
const maxFrame = 4 * 1_048_576;
/** Octets the engine has not read yet before its connection is given up. */
const maxBacklog = 64 * 1_048_576;
/** It answers a ping each 15 s, so one that has been silent for so long is gone, whatever TCP says. */
const silentMs = 40_000;

/** The connection went down before the engine answered. */
export const lost: Reply = { ok: false, fields: ['NOK', 'control connection lost'], text: () => '' };

/** One connection from its authentication to its end. Objects made on one line die with it. */
export class Line {
  readonly socket: EngineSocket;
  /** what the library takes for it */
  readonly known: Socket;
  alive = true;
  /** authenticated */
  up = false;
  /** when the engine was heard last, by performance.now() */
  heard = performance.now();
  readonly #waiting = new Map<string, (reply: Reply) => void>();
  #out = '';
  /** message ids: a UUID's form, and no new random number for each frame */
  readonly #name = randomUUID().slice(0, 24);
  #sent = 0;

  constructor(socket: EngineSocket, known: Socket) {
    this.socket = socket;
    this.known = known;
  }

  /** Frames sent and not yet answered. */
  get unanswered(): number {
    return this.#waiting.size;
  }

  /**
   * Sends one frame: its first line without the message id, and the SIP message ('' when there is none), both octet strings. `reply` is called exactly once,
   * never before this returns.
   */
  send(meta: string, message: string, reply: (reply: Reply) => void): void {
    if (!this.alive) {
      queueMicrotask(() => reply(lost));
      return;
    }
    const id = `${this.#name}${String(++this.#sent).padStart(12, '0')}`;
    this.#waiting.set(id, reply);
    const { socket } = this;
    if (socket.writeFrame !== undefined) {
      if (socket.writableLength + message.length > maxBacklog) this.#giveUp();
      else socket.writeFrame(`${id}|${meta}`, message);
      return;
    }
    // all frames of one turn of the event loop leave in one write, where a write is a system call
    if (this.#out === '') setImmediate(this.#flush);
    this.#out += frame(message === '' ? `${id}|${meta}` : `${id}|${meta}\r\n${message}`);
  }

  #giveUp(): void {
    this.socket.destroy(new Error(`it did not read ${maxBacklog} octets`));
  }

  readonly #flush = (): void => {
    const out = this.#out;
    this.#out = '';
    if (out === '' || !this.alive || this.socket.destroyed) return;
    if (this.socket.writableLength + out.length > maxBacklog) this.#giveUp();
    else this.socket.write(out, 'latin1');
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
  /** this line is gone; another one is tried for */
  down(line: Line): void;
  /** a `sip` frame; `text` is the SIP message with its head read as UTF-8 and its body as octets, `parsed` what is known to be in it */
  sip(line: Line, tokens: readonly string[], text: string, parsed?: SipMessage): void;
  /** cannot connect or was refused; it is tried again. The words are the same for the same reason. */
  failed(why: string): void;
  /** an exception while a frame was handled; the frame is lost, the link goes on */
  fault(error: unknown): void;
}

export class Link extends DrachtioAgent {
  readonly #events: LinkEvents;
  readonly #lines = new Map<Socket, Line>();
  readonly #wire: Wire;
  /** it was told why this attempt failed */
  #failed = false;

  constructor(methods: readonly string[], at: EngineAt & { readonly secret: string }, events: LinkEvents) {
    super(() => {
      // every request is taken in #take; the library never sees one
    });
    this.#events = events;
    for (const method of methods) this.route(method.toLowerCase());
    this.secret = at.secret;
    this.tags = [];
    const wire = new Wire(at);
    this.#wire = wire;
    this.wp = wire;
    // an error of several addresses at once has no message
    wire.on('error', (error: NodeJS.ErrnoException) => this.#fail(error.message || (error.code ?? 'unknown error')));
    wire.on('connect', (socket: Socket) => this._onConnect(socket));
    wire.on('close', (socket: Socket) => this._onClose(socket));
    wire.on('ping', ({ socket }: { readonly socket: Socket }) => {
      const line = this.#lines.get(socket);
      if (line !== undefined && performance.now() - line.heard > silentMs)
        line.socket.destroy(new Error('it is silent'));
    });
    this.on('connect', (error: Error | null) => {
      if (!error) return;
      wire.refused();
      this.#fail('it does not know our secret');
    });
  }

  #fail(why: string): void {
    this.#failed = true;
    this.#events.failed(why);
  }

  /** Begins, and connects again whenever the connection is lost. */
  start(): void {
    this.#wire.connect({ enablePing: true });
  }

  override _onConnect(known: Socket): void {
    this.#failed = false;
    const socket = this.#wire.behind(known);
    const line = new Line(socket, known);
    this.#lines.set(known, line);
    // the library's reader turns octets that are not UTF-8 into replacement characters
    const reader = new FrameReader(maxFrame);
    socket.on('data', (chunk) => {
      line.heard = performance.now();
      const understood = reader.read(chunk, (payload) => {
        try {
          this.#take(line, payload);
        } catch (error) {
          this.#events.fault(error);
        }
      });
      if (!understood) socket.destroy(new Error('it says what cannot be understood'));
    });
    if (socket.writeFrame !== undefined) socket.on('frame', (whole) => this.#takeWhole(line, whole));
    super._onConnect(known);
  }

  #takeWhole(line: Line, { meta, message, parsed }: WholeFrame): void {
    line.heard = performance.now();
    try {
      const tokens = meta.split('|');
      if (tokens[1] === 'sip') {
        const text = messageText(message, 0);
        // with letters beyond ASCII the engine has read octets where we read UTF-8
        this.#events.sip(line, tokens, text, text === message ? parsed : undefined);
      } else if (!line.answer(tokens[2] ?? '', tokens.slice(3), () => messageText(message, 0)))
        this.#take(line, `${meta}\r\n${message}`);
    } catch (error) {
      this.#events.fault(error);
    }
  }

  override _onClose(socket: Socket): void {
    super._onClose(socket);
    const line = this.#lines.get(socket);
    if (line === undefined) return;
    this.#lines.delete(socket);
    if (!line.up && !this.#failed) this.#fail('it closes the connection');
    line.end();
    this.#events.down(line);
  }

  /** Ends for good: no reconnect, and everything that waits hears `lost`. */
  close(): void {
    const socket = this.#wire.stop();
    let accepted = false;
    for (const [known, line] of this.#lines) {
      accepted ||= line.socket === socket && line.up;
      this.#wire._stopPinging(known);
      line.finish();
    }
    // one that was not accepted has nothing to say; the others end when the engine has read all
    if (!accepted) socket?.destroy();
  }

  /** The library has read the answer to `authenticate`: before the first request, not a turn later as its event would be. */
  #ready(line: Line): void {
    const server = this.mapServer.get(line.known);
    if (line.up || server?.ready !== true) return;
    line.up = true;
    this.#wire.accepted();
    const all = `${server.hostport ?? ''},${server.localHostports ?? ''}`.split(',');
    this.#events.up(line, [...new Set(all.filter((text) => text !== ''))]);
  }

  #take(line: Line, payload: string): void {
    const end = payload.indexOf('\r\n');
    const tokens = (end < 0 ? payload : payload.slice(0, end)).split('|');
    switch (tokens[1]) {
      case 'sip':
        if (end >= 0) this.#events.sip(line, tokens, messageText(payload, end + 2));
        return;
      case 'response': {
        const text = (): string => (end < 0 ? '' : messageText(payload, end + 2));
        if (line.answer(tokens[2] ?? '', tokens.slice(3), text)) return;
        this._onMsg(line.known, payload);
        this.#ready(line);
        return;
      }
      default:
      // cdr events are never asked for; anything newer than this protocol is not for us
    }
  }
}

/** Head as UTF-8, body as octets. Nearly every message is ASCII and costs nothing here. */
function messageText(payload: string, from: number): string {
  const endOfHead = payload.indexOf('\r\n\r\n', from);
  const to = endOfHead < 0 ? payload.length : endOfHead;
  const head = payload.slice(from, to);
  if (!hasHighOctet.test(head)) return payload.slice(from);
  return Buffer.from(head, 'latin1').toString('utf8') + payload.slice(to);
}

const hasHighOctet = /[\u0080-\u00ff]/;
