/**
 * MediaRelay by rtpengine. Every leg is a call of its own there, under an id that says nothing about it. A call begins at the first
 * server that answers and stays there; when that one fails at an offer, a new offer begins it anew at another one. A server that is
 * silent is asked after the others for a while. No help is no fault of the call: it goes on without, is counted and logged.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { MediaEnd, MediaRelay, MediaSession } from '../../ports/media-relay.ts';
import type { Telemetry } from '../../ports/telemetry.ts';
import { type NgAnswer, NgClient, type NgServer, type NgTimes } from './ng-client.ts';

export interface RtpengineOptions extends NgTimes {
  /** in the order in which they are tried */
  readonly servers: readonly NgServer[];
  /** how long a silent one is asked last, ms */
  readonly restMs: number;
}

export interface RtpengineDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  readonly telemetry: Telemetry;
}

interface Server extends NgServer {
  restsUntil: number;
}

export function openRtpengine(options: RtpengineOptions, deps: RtpengineDeps): MediaRelay {
  const client = new NgClient(options);
  const servers = options.servers.map(({ host, port }) => ({ host, port, restsUntil: 0 }));
  return {
    open: () => new Session(client, servers, options.restMs, deps),
    close: () => client.close(),
  };
}

class Session implements MediaSession {
  readonly #client: NgClient;
  readonly #servers: readonly Server[];
  readonly #restMs: number;
  readonly #deps: RtpengineDeps;
  readonly #id = randomBytes(16).toString('hex');
  #server: Server | undefined;
  /** the other end of the last offer has its description from the relay */
  #offered = false;
  #over = false;

  constructor(client: NgClient, servers: readonly Server[], restMs: number, deps: RtpengineDeps) {
    this.#client = client;
    this.#servers = servers;
    this.#restMs = restMs;
    this.#deps = deps;
  }

  async offer(from: MediaEnd, sdp: string): Promise<string | undefined> {
    const known = this.#server;
    // the other end exists for rtpengine only where this call has been before
    for (const server of this.#order()) {
      if (this.#over) return undefined;
      const tags = server === known ? { 'from-tag': from, 'to-tag': other(from) } : { 'from-tag': from };
      const found = await this.#ask(server, 'offer', tags, sdp);
      if (found === undefined) continue;
      if (known !== undefined && server !== known) this.#delete(known);
      if (this.#over) this.#delete(server);
      else this.#server = server;
      this.#offered = true;
      return found;
    }
    this.#offered = false;
    return undefined;
  }

  async answer(from: MediaEnd, sdp: string): Promise<string | undefined> {
    const server = this.#server;
    if (server === undefined || !this.#offered || this.#over) return undefined;
    return this.#ask(server, 'answer', { 'from-tag': other(from), 'to-tag': from }, sdp);
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#server !== undefined) this.#delete(this.#server);
  }

  /** First where the call is, then who is not known to be silent. */
  #order(): readonly Server[] {
    const now = this.#deps.clock.now();
    const rank = (server: Server): number => (server.restsUntil > now ? 2 : server === this.#server ? 0 : 1);
    return [...this.#servers].sort((a, b) => rank(a) - rank(b));
  }

  async #ask(
    server: Server,
    command: 'offer' | 'answer',
    tags: Readonly<Record<string, string>>,
    sdp: string,
  ): Promise<string | undefined> {
    const answer = await this.#client.ask(server, { command, 'call-id': this.#id, ...tags, sdp });
    const found = answer.is === 'ok' ? answer.fields['sdp'] : undefined;
    if (typeof found === 'string' && found !== '') {
      server.restsUntil = 0;
      this.#deps.telemetry.count('mediaRelay', { command, outcome: 'ok' });
      return found;
    }
    this.#failed(server, command, answer);
    return undefined;
  }

  #delete(server: Server): void {
    void this.#client.ask(server, { command: 'delete', 'call-id': this.#id, 'delete-delay': 0 }).then((answer) => {
      if (answer.is === 'ok') this.#deps.telemetry.count('mediaRelay', { command: 'delete', outcome: 'ok' });
      else this.#failed(server, 'delete', answer);
    });
  }

  #failed(server: Server, command: 'offer' | 'answer' | 'delete', answer: NgAnswer): void {
    if (answer.is === 'silent') server.restsUntil = this.#deps.clock.now() + this.#restMs;
    const outcome = answer.is === 'silent' ? 'silent' : 'refused';
    this.#deps.telemetry.count('mediaRelay', { command, outcome });
    this.#deps.log.warn(
      {
        remote: `${server.host}:${server.port}`,
        kind: command,
        outcome,
        reason: answer.is === 'refused' ? answer.why : undefined,
      },
      'no help from rtpengine; the call goes on without',
    );
  }
}

function other(end: MediaEnd): MediaEnd {
  return end === 'caller' ? 'callee' : 'caller';
}
