/**
 * The control port: drachtio-srf connects here (drachtio-protocol A, D). Reads frames, guards everything behind a
 * successful `authenticate` (the original did not), keeps routes, and hands SIP frames on. Knows nothing about SIP.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import type { Counters } from '../counters.ts';
import type { Limits } from '../options.ts';
import { AppLink } from './app-link.ts';
import { BadFrame, FrameReader, parsePayload } from './frames.ts';
import type { Routes } from './routes.ts';

/** The version we claim: srf sends pings from 0.8.2 on. */
const version = 'v0.9.5-rc3';
const authenticateWithinMs = 10_000;

export interface SipFrames {
  /** `sip|<txn>|` with a response */
  onResponse(app: AppLink, msgId: string, txn: string, message: string): void;
  /** `sip|<txn>|` with a CANCEL */
  onCancel(app: AppLink, msgId: string, txn: string, message: string): void;
  /** `sip||<dialog id>` */
  onInDialog(app: AppLink, msgId: string, dialogId: string, message: string): void;
  /** `sip|||<next hop>`; the next hop is '' when there is none */
  onRequest(app: AppLink, msgId: string, nextHop: string, message: string): void;
  knowsTransaction(txn: string): boolean;
  onAppGone(app: AppLink): void;
}

export interface ControlOptions {
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  readonly limits: Limits;
  readonly counters: Counters;
  readonly hostports: () => { readonly told: string; readonly bound: string };
  readonly routes: Routes<AppLink>;
  readonly frames: SipFrames;
}

export class ControlServer {
  readonly #options: ControlOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #secret: Buffer;
  #port = 0;

  private constructor(options: ControlOptions) {
    this.#options = options;
    this.#secret = digest(options.secret);
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 45_000 }, (socket) =>
      this.#accept(socket),
    );
  }

  static open(options: ControlOptions): Promise<ControlServer> {
    const control = new ControlServer(options);
    const server = control.#server;
    return new Promise((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const why =
          cause.code === 'EADDRINUSE' ? 'the port is taken by another process' : `the system refused (${cause.code})`;
        reject(new Error(`cannot listen on control ${options.host}:${options.port}: ${why}`, { cause }));
      });
      server.listen({ host: options.host, port: options.port, exclusive: true }, () => {
        server.removeAllListeners('error');
        server.on('error', () => {});
        const bound = server.address();
        control.#port = typeof bound === 'object' && bound !== null ? bound.port : options.port;
        resolve(control);
      });
    });
  }

  get port(): number {
    return this.#port;
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const { limits, counters, frames } = this.#options;
    const app = new AppLink(socket, limits.appBacklogBytes);
    // nobody who has not shown the secret may make us hold a large frame
    const reader = new FrameReader(4096);
    let authenticated = false;
    this.#sockets.add(socket);
    const deadline = setTimeout(() => socket.destroy(), authenticateWithinMs);
    socket.on('error', () => {});
    socket.once('close', () => {
      clearTimeout(deadline);
      this.#sockets.delete(socket);
      app.markClosed();
      this.#options.routes.removeAll(app);
      if (!authenticated) return;
      counters.apps--;
      frames.onAppGone(app);
    });
    socket.on('data', (octets: Buffer) => {
      if (!app.open) return;
      try {
        reader.push(octets);
        for (let payload = reader.next(); payload !== undefined && app.open; payload = reader.next()) {
          if (authenticated) this.#onFrame(app, payload);
          else if (this.#authenticate(app, payload)) {
            authenticated = true;
            reader.maxBytes = limits.frameBytes;
            clearTimeout(deadline);
            counters.apps++;
          } else counters.controlRefused++;
        }
      } catch (fault) {
        if (fault instanceof BadFrame) counters.controlRefused++;
        else counters.faults++;
        socket.destroy();
      }
    });
  }

  #authenticate(app: AppLink, payload: string): boolean {
    const { tokens } = parsePayload(payload);
    const [msgId = '', type, secret = ''] = tokens;
    if (type !== 'authenticate') {
      app.refuse(msgId, 'authentication required');
      return false;
    }
    if (!timingSafeEqual(digest(Buffer.from(secret, 'latin1').toString('utf8')), this.#secret)) {
      app.refuse(msgId, 'incorrect secret');
      return false;
    }
    this.#welcome(app, msgId);
    return true;
  }

  #welcome(app: AppLink, msgId: string): void {
    const { told, bound } = this.#options.hostports();
    app.ok(msgId, told, version, bound);
  }

  #onFrame(app: AppLink, payload: string): void {
    const { tokens, message } = parsePayload(payload);
    const [msgId = '', type, third = '', fourth = '', fifth = ''] = tokens;
    switch (type) {
      case 'sip':
        this.#onSip(app, msgId, third, fourth, fifth, message);
        return;
      case 'ping':
        app.ok(msgId, 'pong');
        return;
      case 'route':
        if (third === '') app.refuse(msgId, 'Invalid message format');
        else {
          this.#options.routes.add(third, app);
          app.ok(msgId);
        }
        return;
      case 'remove_route':
        // the original forgets every route of the connection; an app must not see anything else here
        this.#options.routes.removeAll(app);
        app.ok(msgId);
        return;
      case 'proxy':
        this.#onProxy(app, msgId, third, tokens);
        return;
      case 'authenticate':
        this.#welcome(app, msgId);
        return;
      default:
        app.refuse(msgId, 'Unknown message type');
    }
  }

  /** We bridge calls and never proxy them (see README); the answers are those of a proxy attempt that failed. */
  #onProxy(app: AppLink, msgId: string, txn: string, tokens: readonly string[]): void {
    if (tokens.length < 10) app.refuse(msgId, 'Invalid proxy request: not enough information provided');
    else if (this.#options.frames.knowsTransaction(txn)) app.notOk(msgId, 'error proxying request to ');
    else app.notOk(msgId, `Unknown transaction id: ${txn}`);
  }

  #onSip(app: AppLink, msgId: string, txn: string, dialogId: string, nextHop: string, message: string): void {
    const { frames } = this.#options;
    if (message === '') {
      app.refuse(msgId, 'Invalid message format');
      return;
    }
    if (message.startsWith('SIP/')) {
      if (txn === '') app.refuse(msgId, 'transaction id missing');
      else frames.onResponse(app, msgId, txn, message);
    } else if (dialogId !== '') frames.onInDialog(app, msgId, dialogId, message);
    else if (txn !== '') frames.onCancel(app, msgId, txn, message);
    else frames.onRequest(app, msgId, nextHop, message);
  }
}

/** Compared by hash, so that neither length nor prefix of the secret shows in the time it takes. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
