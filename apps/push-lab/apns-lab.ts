/** An APNs stand-in over HTTP/2 and TLS with its own CA: verifies every push strictly, remembers it, and fails as told. Tests, demo and bench use it in process, others by `main.ts`. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { checkPush, deviceTokenOf, type LabPush, type Refusal } from './apns-check.ts';
import { Counts, type LabStats } from './apns-counts.ts';
import { faultText, type Sighting } from './activity.ts';
import { makeServerIdentity, type ServerIdentity } from './certificate.ts';
import { ProviderTokenCheck } from './provider-token-check.ts';
import { Relay } from './relay.ts';
import { delayHandshakes } from './slow-tls.ts';
import { type Fault, type GoawayMode, RuleBook, resetCodes } from './rules.ts';

export interface ApnsLabOptions {
  /** 127.0.0.1 when absent */
  readonly host?: string;
  /** any free port when absent */
  readonly port?: number;
  /** made anew for localhost, 127.0.0.1, ::1 and `host` when absent */
  readonly tls?: ServerIdentity;
  /** made anew when absent */
  readonly credentials?: LabCredentials;
  /** the allowed topics; any when absent */
  readonly topics?: readonly string[];
  /** time from the whole request to the answer; 0 when absent */
  readonly latencyMs?: number;
  /** MAX_CONCURRENT_STREAMS after the first accepted push (1 before); 1000 when absent */
  readonly streamLimit?: number;
  /** let connections go silent on demand; costs a TCP relay in front */
  readonly stallable?: boolean;
  /** how many pushes to remember; the newest 20,000 when absent */
  readonly keep?: number;
  /** the lab's clock, ms since the epoch */
  readonly now?: () => number;
  /** is told of each request, refused ones too */
  readonly onSeen?: (one: Sighting) => void;
}

export interface LabCredentials {
  readonly teamId: string;
  readonly keyId: string;
  /** PEM text of a .p8 file */
  readonly privateKey: string;
}

export interface ApnsLab {
  readonly host: string;
  readonly port: number;
  /** `https://host:port` */
  readonly endpoint: string;
  /** PEM text */
  readonly ca: string;
  readonly credentials: LabCredentials;
  readonly rules: RuleBook;
  /** the pushes accepted, oldest first */
  pushes(): readonly LabPush[];
  /** Forgets pushes and counts; sessions stay. */
  clear(): void;
  stats(): LabStats;
  /** Called for each accepted push; the returned function ends it. */
  onPush(listener: (push: LabPush) => void): () => void;
  /** These four act on all open connections and tell how many there were. */
  goaway(mode: GoawayMode, reason?: string): number;
  drop(when: 'before' | 'after'): number;
  stall(): number;
  setStreamLimit(limit: number): number;
  /** Every provider token seen so far is answered with ExpiredProviderToken; tells how many. */
  expireProviderTokens(): number;
  /** TLS handshakes wait for so long from now on; 0 ends it. */
  slowTls(ms: number): void;
  /** Cuts all connections and refuses new ones for this time. */
  outage(ms: number): Promise<void>;
  close(): Promise<void>;
}

interface Session {
  readonly number: number;
  readonly socket: TLSSocket | undefined;
  readonly http2: ServerHttp2Session;
  /** the key its first good push was signed with: APNs binds a connection to it */
  keyId: string | undefined;
  /** waiting for their answer */
  readonly pending: Set<Exchange>;
  /** streams above it are not looked at any more: a GOAWAY said so */
  lastStream: number;
}

interface Exchange {
  readonly session: Session;
  readonly stream: ServerHttp2Stream;
  readonly push: Omit<LabPush, 'at' | 'session'>;
  timer: NodeJS.Timeout | undefined;
}

const { HTTP2_HEADER_STATUS: STATUS } = constants;
const empty = Buffer.alloc(0);

export function makeLabCredentials(
  teamId = 'LABTEAM001',
  keyId = randomBytes(5).toString('hex').toUpperCase(),
): LabCredentials {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { teamId, keyId, privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

class Lab implements ApnsLab {
  readonly host: string;
  readonly ca: string;
  readonly credentials: LabCredentials;
  readonly rules: RuleBook;
  port = 0;

  readonly #options: ApnsLabOptions;
  readonly #identity: ServerIdentity;
  readonly #tokens: ProviderTokenCheck;
  readonly #topics: ReadonlySet<string> | undefined;
  readonly #now: () => number;
  readonly #keep: number;
  readonly #sessions = new Set<Session>();
  readonly #listeners = new Set<(push: LabPush) => void>();
  readonly #counts = new Counts();
  #server: Http2SecureServer | undefined;
  #relay: Relay | undefined;
  #pushes: LabPush[] = [];
  #streamLimit: number;
  #limitsSent = new WeakMap<ServerHttp2Session, number>();
  #delayTls: (ms: number) => void = () => undefined;
  #slowTlsMs = 0;
  #closed = false;

  constructor(options: ApnsLabOptions) {
    this.#options = options;
    this.host = options.host ?? '127.0.0.1';
    this.#identity =
      options.tls ??
      makeServerIdentity({
        hosts: ['localhost'],
        addresses: [...new Set(['127.0.0.1', '::1', ...(/^[\d.]+$|:/.test(this.host) ? [this.host] : [])])],
      });
    this.ca = this.#identity.ca;
    this.credentials = options.credentials ?? makeLabCredentials();
    const { teamId, keyId, privateKey } = this.credentials;
    this.#tokens = new ProviderTokenCheck([{ teamId, keyId, key: privateKey }]);
    this.#topics = options.topics === undefined ? undefined : new Set(options.topics);
    this.#now = options.now ?? Date.now;
    this.rules = new RuleBook(this.#now);
    this.#keep = options.keep ?? 20_000;
    this.#streamLimit = options.streamLimit ?? 1000;
  }

  get endpoint(): string {
    return `https://${this.host.includes(':') ? `[${this.host}]` : this.host}:${this.port}`;
  }

  async start(port: number): Promise<void> {
    const server = createSecureServer({
      key: this.#identity.key,
      cert: this.#identity.certificate,
      settings: { maxConcurrentStreams: 1, enablePush: false },
    });
    this.#delayTls = delayHandshakes(server);
    this.#delayTls(this.#slowTlsMs);
    // a session comes right after its socket, and only the socket can really be cut
    let arriving: TLSSocket | undefined;
    server.prependListener('secureConnection', (socket) => {
      arriving = socket;
    });
    server.on('session', (http2) => this.#opened(http2, arriving));
    // a client that gives up its handshake is its own affair
    server.on('sessionError', () => undefined).on('tlsClientError', () => undefined);
    const behindRelay = this.#options.stallable === true;
    await new Promise<void>((done, fail) => {
      server.once('error', fail);
      server.listen(behindRelay ? 0 : port, behindRelay ? '127.0.0.1' : this.host, () => {
        server.off('error', fail);
        done();
      });
    });
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    if (behindRelay) {
      this.#relay = new Relay({ host: '127.0.0.1', port: this.port });
      this.port = await this.#relay.listen(this.host, port);
    }
  }

  pushes(): readonly LabPush[] {
    return this.#pushes.slice(-this.#keep);
  }

  clear(): void {
    this.#pushes = [];
    this.#counts.clear();
  }

  stats(): LabStats {
    return this.#counts.stats(this.#sessions.size, this.#tokens.seen);
  }

  onPush(listener: (push: LabPush) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  goaway(mode: GoawayMode, reason?: string): number {
    for (const session of this.#sessions) this.#sendGoaway(session, mode, reason);
    return this.#sessions.size;
  }

  drop(when: 'before' | 'after'): number {
    const count = this.#sessions.size;
    for (const session of [...this.#sessions]) this.#cut(session, when);
    return count;
  }

  stall(): number {
    if (this.#relay === undefined) throw new Error('the lab was not started as stallable');
    return this.#relay.stall();
  }

  setStreamLimit(limit: number): number {
    this.#streamLimit = limit;
    for (const { http2 } of this.#sessions) this.#raiseLimit(http2);
    return this.#sessions.size;
  }

  expireProviderTokens(): number {
    return this.#tokens.expireAll();
  }

  slowTls(ms: number): void {
    this.#slowTlsMs = ms;
    this.#delayTls(ms);
  }

  async outage(ms: number): Promise<void> {
    // a second one while nobody listens would start two servers
    if (this.#server === undefined) return;
    const { port } = this;
    await this.#shut();
    await new Promise((done) => setTimeout(done, ms));
    if (!this.#closed) await this.start(port);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    await this.#shut();
  }

  async #shut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await this.#relay?.close();
    this.#relay = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((done) => server.close(() => done()));
    this.drop('before');
    await closed;
  }

  #opened(http2: ServerHttp2Session, socket: TLSSocket | undefined): void {
    if (this.#server === undefined) {
      http2.destroy();
      return;
    }
    this.#counts.sessionsOpened += 1;
    const session: Session = {
      number: this.#counts.sessionsOpened,
      socket,
      http2,
      keyId: undefined,
      pending: new Set(),
      lastStream: Number.POSITIVE_INFINITY,
    };
    this.#sessions.add(session);
    http2.on('stream', (stream, headers) => this.#request(session, stream, headers));
    http2.on('error', () => undefined);
    http2.on('close', () => {
      this.#sessions.delete(session);
      for (const exchange of session.pending) clearTimeout(exchange.timer);
      session.pending.clear();
    });
  }

  #request(session: Session, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    this.#counts.streamOpened();
    let body: Buffer = empty;
    stream.on('data', (chunk: Buffer) => {
      // one frame as a rule; what is far too large is not collected
      if (body.length < 65_536) body = body.length === 0 ? chunk : Buffer.concat([body, chunk]);
    });
    stream.on('end', () => this.#complete(session, stream, headers, body));
    stream.on('error', () => undefined);
    stream.on('close', () => this.#counts.streamClosed());
  }

  #complete(session: Session, stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer): void {
    if (stream.destroyed || stream.closed || (stream.id ?? 0) > session.lastStream) return;
    const push = this.#check(session, headers, body);
    if ('reason' in push) {
      this.#refuse(stream, headers, push);
      const token = /^\/3\/device\/([0-9a-fA-F]+)$/.exec(headers[':path'] ?? '')?.[1] ?? '';
      const kind = String(headers['apns-push-type'] ?? '').slice(0, 40);
      const why = `${push.reason}${push.detail === undefined ? '' : `: ${push.detail}`}`;
      const outcome = push.isCheck === true ? 'check' : 'refused';
      this.#options.onSeen?.({ service: 'apns', token, class: kind, outcome, status: push.status, why });
      return;
    }
    const fault = this.rules.take(push.token, push.topic);
    const exchange: Exchange = { session, stream, push, timer: undefined };
    if (fault === undefined) this.#acceptLater(exchange, this.#options.latencyMs ?? 0);
    else this.#fail(exchange, fault, headers);
  }

  #check(session: Session, headers: IncomingHttpHeaders, body: Buffer): Omit<LabPush, 'at' | 'session'> | Refusal {
    const token = deviceTokenOf(headers);
    if (typeof token !== 'string') return token;
    const verdict = this.#tokens.check(headers.authorization, this.#now());
    if (!verdict.good) return { status: 403, reason: verdict.reason, detail: verdict.detail };
    if (session.keyId !== undefined && session.keyId !== verdict.keyId) {
      const detail = `this connection belongs to key ${session.keyId}`;
      return { status: 403, reason: 'UnrelatedKeyIdInToken', detail };
    }
    const push = checkPush(token, headers, body, this.#topics);
    if (!('reason' in push)) session.keyId = verdict.keyId;
    return push;
  }

  #refuse(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    refusal: Refusal & { readonly timestamp?: number; readonly retryAfter?: number; readonly html?: boolean },
  ): void {
    if (stream.destroyed || stream.closed) return;
    this.#counts.refused(refusal.reason);
    const id = headers['apns-id'];
    const { detail, html = false, reason, retryAfter, timestamp } = refusal;
    stream.respond({
      [STATUS]: refusal.status,
      'content-type': html ? 'text/html' : 'application/json',
      ...(typeof id === 'string' ? { 'apns-id': id } : {}),
      ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
    });
    stream.end(
      html
        ? '<html><body><h1>Bad Gateway</h1></body></html>'
        : JSON.stringify({
            reason,
            ...(timestamp === undefined ? {} : { timestamp }),
            ...(detail === undefined ? {} : { detail }),
          }),
    );
  }

  #acceptLater(exchange: Exchange, ms: number): void {
    if (ms === 0) {
      exchange.session.pending.delete(exchange);
      this.#accept(exchange);
      return;
    }
    exchange.session.pending.add(exchange);
    exchange.timer = setTimeout(() => {
      exchange.session.pending.delete(exchange);
      this.#accept(exchange);
    }, ms);
  }

  /** Takes the push over, unless its stream is gone: then it was never processed. */
  #accept(exchange: Exchange): void {
    const { session, stream } = exchange;
    if (stream.destroyed || stream.closed) return;
    this.#told(exchange, 'accepted', 200);
    this.#remember(exchange);
    // the limit goes up before the answer, so that the client knows it by then
    this.#raiseLimit(session.http2);
    stream.respond({ [STATUS]: 200, 'apns-id': exchange.push.id }, { endStream: true });
  }

  #remember({ push, session }: Exchange): void {
    const seen: LabPush = { ...push, at: this.#now(), session: session.number };
    this.#counts.accepted(push.id);
    this.#pushes.push(seen);
    if (this.#pushes.length >= 2 * this.#keep) this.#pushes = this.#pushes.slice(-this.#keep);
    for (const listener of this.#listeners) listener(seen);
  }

  #raiseLimit(http2: ServerHttp2Session): void {
    if (http2.destroyed || http2.closed || this.#limitsSent.get(http2) === this.#streamLimit) return;
    this.#limitsSent.set(http2, this.#streamLimit);
    http2.settings({ maxConcurrentStreams: this.#streamLimit });
  }

  #fail(exchange: Exchange, fault: Fault, headers: IncomingHttpHeaders): void {
    this.#counts.faults += 1;
    const { session, stream } = exchange;
    this.#told(exchange, 'fault', fault.do === 'answer' ? fault.status : undefined, faultText(fault));
    switch (fault.do) {
      case 'answer':
        this.#answerLater(exchange, fault, headers);
        return;
      case 'duplicate':
        this.#remember(exchange);
        this.#accept(exchange);
        return;
      case 'hang':
        return;
      case 'slow':
        this.#acceptLater(exchange, fault.ms);
        return;
      case 'reset':
        stream.close(resetCodes[fault.code]);
        return;
      case 'goaway':
        session.pending.add(exchange);
        this.#sendGoaway(session, fault.mode, undefined);
        // unless the GOAWAY left it out
        if (session.pending.has(exchange)) this.#acceptLater(exchange, this.#options.latencyMs ?? 0);
        return;
      case 'drop':
        session.pending.add(exchange);
        this.#cut(session, fault.when);
        return;
      case 'stall':
        if (this.#relay !== undefined) this.#relay.stall(session.http2.socket.remotePort);
        return;
      default:
        fault satisfies never;
    }
  }

  #answerLater({ stream }: Exchange, fault: Fault & { readonly do: 'answer' }, headers: IncomingHttpHeaders): void {
    const answer = (): void =>
      this.#refuse(stream, headers, { ...fault, reason: fault.reason ?? 'InternalServerError' });
    if (fault.delay === undefined) return answer();
    const timer = setTimeout(answer, fault.delay);
    stream.on('close', () => clearTimeout(timer));
  }

  #told({ push }: Exchange, outcome: Sighting['outcome'], status?: number, why?: string): void {
    const { token, pushType } = push;
    this.#options.onSeen?.({
      ...{ service: 'apns', token, class: pushType, outcome },
      ...(status === undefined ? {} : { status }),
      ...(why === undefined ? {} : { why }),
    });
  }

  #sendGoaway(session: Session, mode: GoawayMode, reason: string | undefined): void {
    const { http2 } = session;
    if (http2.destroyed || http2.closed) return;
    const data = reason === undefined ? undefined : Buffer.from(JSON.stringify({ reason }));
    switch (mode) {
      case 'graceful':
        http2.goaway(constants.NGHTTP2_NO_ERROR, undefined, data);
        http2.close();
        return;
      case 'immediate':
        this.#forget(session, 0);
        http2.goaway(constants.NGHTTP2_NO_ERROR, undefined, data);
        setImmediate(() => this.#cut(session, 'before'));
        return;
      case 'low': {
        const ids = [...session.pending].flatMap(({ stream }) => stream.id ?? []).sort((a, b) => a - b);
        // 0 is no id to node, so the first stream of a session always counts as processed
        const last = ids[Math.floor(ids.length / 2) - 1] ?? Math.max(1, (ids[0] ?? 3) - 2);
        this.#forget(session, last);
        http2.goaway(constants.NGHTTP2_NO_ERROR, last, data);
        // closing sends a GOAWAY of its own; only once this one is on the wire is it held to the same last stream
        setTimeout(() => http2.close(), 5);
        return;
      }
      default:
        mode satisfies never;
    }
  }

  /** Streams above `last` will not be processed: decided before the frame is on the wire. */
  #forget(session: Session, last: number): void {
    session.lastStream = last;
    for (const exchange of session.pending) {
      if ((exchange.stream.id ?? 0) <= last) continue;
      clearTimeout(exchange.timer);
      session.pending.delete(exchange);
    }
  }

  /** `after`: what waits for its answer has been taken over, and nobody hears of it. */
  #cut(session: Session, when: 'before' | 'after'): void {
    for (const exchange of session.pending) {
      clearTimeout(exchange.timer);
      if (when === 'after') this.#remember(exchange);
    }
    session.pending.clear();
    this.#sessions.delete(session);
    session.http2.destroy();
    session.socket?.destroy();
  }
}

/** Starts the stand-in; resolves when it listens. */
export async function startApnsLab(options: ApnsLabOptions = {}): Promise<ApnsLab> {
  const lab = new Lab(options);
  await lab.start(options.port ?? 0);
  return lab;
}
