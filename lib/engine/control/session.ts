/**
 * One connection to the control port from its first octet to its end: nothing is done for it before it has shown the secret; an
 * app that writes faster than we work, or does not read what we write, is not read from until it is level again.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Counters } from '../counters.ts';
import type { Limits } from '../options.ts';
import { AppLink } from './app-link.ts';
import type { AppSocket } from './app-socket.ts';
import type { Commands } from './commands.ts';
import type { Door } from './door.ts';
import { BadFrame, FrameReader, parsePayload, type Payload } from './frames.ts';

const authenticateWithinMs = 10_000;
/** nobody who has not shown the secret may make us hold a large frame */
const firstFrameBytes = 4096;
/** After so many the sockets of phones get their turn: some 60 ms of work. Fewer, and a crowd of phones would be heard but not answered. */
const framesPerTurn = 2048;

export interface SessionParts {
  /** of the secret, see `digest` */
  readonly secret: Buffer;
  readonly limits: Limits;
  readonly counters: Counters;
  readonly door: Door;
  readonly commands: Commands;
  /** False when there are enough apps already. */
  hasRoom(): boolean;
}

export class Session {
  readonly app: AppLink;
  readonly #socket: AppSocket;
  readonly #address: string;
  readonly #parts: SessionParts;
  readonly #reader = new FrameReader(firstFrameBytes);
  #known = false;
  /** a wrong secret waits for its answer */
  #punished = false;
  #atDoor = true;
  #timer: NodeJS.Timeout;
  #budget = framesPerTurn;
  #paused = false;
  /** when the frame began whose rest is missing; 0 when none is */
  #halfSince = 0;

  /** The address has entered the door. */
  constructor(socket: AppSocket, address: string, parts: SessionParts, isGuest = false) {
    this.#socket = socket;
    this.#address = address;
    this.#parts = parts;
    this.app = new AppLink(socket, parts.limits, parts.counters, this.#level, isGuest);
    this.#timer = setTimeout(() => this.#drop(), authenticateWithinMs);
    socket.on('error', () => {});
    socket.once('close', this.#onClose);
    socket.on('data', (octets) => {
      if (!this.app.open || this.#punished) return;
      this.#reader.push(octets);
      this.#work();
    });
    if (socket.writeFrame === undefined) return;
    socket.on('frame', (frame) => {
      if (!this.app.open || this.#punished) return;
      this.#reader.pushFrame(frame);
      this.#work();
    });
  }

  /** Called now and then: ends what takes too long. `now` is performance.now(). */
  check(now: number): void {
    if (!this.app.open) return;
    const { limits } = this.#parts;
    const half = this.#halfSince > 0 && !this.#paused && now - this.#halfSince > limits.halfMessageMs;
    if (half || this.app.stalledFor(now) > limits.appStallMs) this.#close();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #work(): void {
    const begun = this.#budget;
    try {
      while (this.#budget > 0 && this.app.keepsUp) {
        const payload = this.#reader.next();
        if (payload === undefined) break;
        if (--this.#budget === 0) setImmediate(this.#nextTurn);
        if (this.#known) this.#parts.commands.perform(this.app, payload);
        else this.#authenticate(payload);
        if (!this.app.open || this.#punished) return;
      }
    } catch (fault) {
      if (fault instanceof BadFrame) this.#parts.counters.controlRefused++;
      else this.#parts.counters.faults++;
      this.#socket.destroy();
      return;
    }
    if (!this.#reader.partial) this.#halfSince = 0;
    else if (this.#halfSince === 0 || this.#budget < begun) this.#halfSince = performance.now();
    this.#level();
  }

  readonly #nextTurn = (): void => {
    this.#budget = framesPerTurn;
    if (this.app.open) this.#work();
  };

  /** Reads on, or not, as the app and we keep up. */
  readonly #level = (): void => {
    const pause = this.#budget === 0 || !this.app.keepsUp;
    if (pause === this.#paused || !this.app.open) return;
    this.#paused = pause;
    if (pause) this.#socket.pause();
    else {
      // what it had no chance to send is not late
      if (this.#halfSince > 0) this.#halfSince = performance.now();
      this.#socket.resume();
      // what had come before the pause: no octet may follow that would have us look at it
      if (this.#reader.partial) setImmediate(this.#goOn);
    }
  };

  readonly #goOn = (): void => {
    if (this.app.open && !this.#punished) this.#work();
  };

  #authenticate(payload: Payload): void {
    const { tokens } = parsePayload(payload);
    const [msgId = '', type, secret = ''] = tokens;
    const { counters, commands, limits, door } = this.#parts;
    if (type !== 'authenticate') {
      counters.controlRefused++;
      this.app.refuse(msgId, 'authentication required');
      return;
    }
    if (!timingSafeEqual(digest(Buffer.from(secret, 'latin1').toString('utf8')), this.#parts.secret)) {
      counters.controlRefused++;
      counters.wrongSecrets++;
      this.#punish(msgId, door.wrong(this.#address, performance.now()));
      return;
    }
    if (!this.#parts.hasRoom()) {
      counters.controlRefused++;
      this.app.refuse(msgId, 'too many connections');
      return;
    }
    this.#known = true;
    this.#reader.maxBytes = limits.frameBytes;
    clearTimeout(this.#timer);
    this.#leaveDoor();
    counters.apps++;
    commands.welcome(this.app, msgId);
  }

  #punish(msgId: string, ms: number): void {
    const tell = (): void => this.app.refuse(msgId, 'incorrect secret');
    if (ms === 0) {
      tell();
      return;
    }
    this.#punished = true;
    this.#socket.pause();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(tell, ms);
  }

  #leaveDoor(): void {
    if (!this.#atDoor) return;
    this.#atDoor = false;
    this.#parts.door.leave(this.#address);
  }

  #drop(): void {
    this.#parts.counters.controlRefused++;
    this.#socket.destroy();
  }

  /** An app that cannot be served any more. */
  #close(): void {
    this.#parts.counters.appsClosed++;
    this.app.markClosed();
    this.#socket.destroy();
  }

  readonly #onClose = (): void => {
    clearTimeout(this.#timer);
    this.#leaveDoor();
    this.app.markClosed();
    if (!this.#known) return;
    this.#parts.counters.apps--;
    this.#parts.commands.forget(this.app);
  };
}

/** Compared by hash, so that neither length nor prefix of the secret shows in the time it takes. */
export function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
