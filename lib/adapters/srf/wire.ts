/**
 * Where the engine is and how to get there again: TCP, TLS, a Unix socket or memory, with pauses that grow until the engine has accepted
 * us. The library's own way loses TLS at the first reconnect (the secret would go out in clear), and begins its pauses anew with
 * each connection that stands, so that a wrong secret is sent four times a second for ever.
 */
import { randomUUID } from 'node:crypto';
import { connect as connectTcp, Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import WireProtocol from 'drachtio-srf/lib/wire-protocol.js';
import type { EngineSocket } from './engine-socket.ts';
import { frame, toOctets } from './frames.ts';

export interface EngineAt {
  readonly host: string;
  readonly port: number;
  /** a Unix socket instead; one whose name begins with NUL is no file (Linux) */
  readonly path?: string;
  readonly tls?: EngineTls;
  /** The engine is in this thread: gives a new connection to it, which tells `connect` later. Host, port and path do not count then. */
  readonly inMemory?: () => EngineSocket;
}

export interface EngineTls {
  /** PEM certificates to trust instead of those Node knows */
  readonly ca?: string;
  /** the name in the engine's certificate, when it is not the host */
  readonly serverName?: string;
  /** a pre-shared key instead of certificates (RFC 4279), 64 hexadecimal digits */
  readonly psk?: string;
}

/** From the attempt to the engine's OK. */
const acceptWithinMs = 10_000;
const firstPauseMs = 250;
const growth = 1.7;
/** while the engine cannot be reached */
const longestPauseMs = 2000;
/** while it refuses our secret */
const longestRefusedPauseMs = 30_000;

export class Wire extends WireProtocol {
  readonly #at: EngineAt;
  #socket: EngineSocket | undefined;
  /** connections in memory, by what the library takes for them */
  readonly #inMemory = new WeakMap<Socket, EngineSocket>();
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = firstPauseMs;
  #refused = false;
  #closing = false;

  constructor(at: EngineAt) {
    super({});
    this.#at = at;
  }

  /** Begins, and goes on until `stop`. */
  override connect(options: { readonly enablePing?: boolean }): void {
    this._evalPingOpts(options);
    this.#open();
  }

  /** The engine has taken the secret. */
  accepted(): void {
    clearTimeout(this.#timer);
    this.#pauseMs = firstPauseMs;
    this.#refused = false;
  }

  /** The engine does not know the secret. */
  refused(): void {
    this.#refused = true;
    this.#socket?.end();
  }

  /** No connection any more after this one; gives the one that is not accepted yet, or stands. */
  stop(): EngineSocket | undefined {
    this.#closing = true;
    clearTimeout(this.#timer);
    return this.#socket;
  }

  /** What goes over the connection the library knows by this socket. */
  behind(known: Socket): EngineSocket {
    return this.#inMemory.get(known) ?? known;
  }

  override send(known: Socket, payload: string): string {
    const socket = this.#inMemory.get(known);
    if (socket === undefined) return super.send(known, payload);
    const id = randomUUID();
    socket.write(frame(toOctets(`${id}|${payload}`)), 'latin1');
    return id;
  }

  #open(): void {
    const { path, tls, inMemory } = this.#at;
    const socket = inMemory === undefined ? connect(this.#at) : inMemory();
    this.#socket = socket;
    // the library refuses what is no socket of Node: one that is never opened stands for it there
    const known = socket instanceof Socket ? socket : new Socket();
    if (known !== socket) this.#inMemory.set(known, socket);
    this.#timer = setTimeout(() => socket.destroy(new Error('no answer in time')), acceptWithinMs);
    socket.on('error', (error) => this.emit('error', error, known));
    // not before the engine's certificate was looked at: the secret is the first thing we say
    socket.once(tls === undefined || path !== undefined || inMemory !== undefined ? 'connect' : 'secureConnect', () =>
      this.emit('connect', known),
    );
    socket.once('close', () => {
      clearTimeout(this.#timer);
      this.#socket = undefined;
      this._stopPinging(known);
      this.emit('close', known);
      this.#again();
    });
  }

  #again(): void {
    if (this.#closing) return;
    this.#timer = setTimeout(() => this.#open(), this.#pauseMs);
    const longest = this.#refused ? longestRefusedPauseMs : longestPauseMs;
    this.#pauseMs = Math.min(longest, this.#pauseMs * growth);
  }
}

function connect({ host, port, path, tls }: EngineAt): EngineSocket {
  const socket =
    path !== undefined
      ? connectTcp({ path })
      : tls === undefined
        ? connectTcp({ host, port })
        : connectTls({
            host,
            port,
            ...(tls.psk === undefined ? certified(tls) : keyed(tls.psk)),
          });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 45_000);
  return socket;
}

function certified({ ca, serverName }: EngineTls): ConnectionOptions {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    minVersion: 'TLSv1.2',
  };
}

/** Only who has the key can answer, so there is no certificate to look at. TLS 1.2, because Node knows such keys in no other version. */
function keyed(psk: string): ConnectionOptions {
  const key = Buffer.from(psk, 'hex');
  return {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
    ciphers: 'ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:PSK-AES256-GCM-SHA384',
    pskCallback: () => ({ psk: key, identity: 'edge' }),
    checkServerIdentity: () => undefined,
  };
}
