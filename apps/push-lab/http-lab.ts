/**
 * FCM with its token endpoint, a Web Push service and a webhook in one HTTPS server (HTTP/2 and 1.1) with its own CA: each request
 * is checked strictly, remembered, and answered as the fault script says. Its rules name the service as `topic`: `fcm`,
 * `fcm-token`, `webpush` or `webhook`.
 */
import { createECDH, createPublicKey, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import {
  constants,
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { faultText, type Sighting } from './activity.ts';
import { makeServerIdentity, type ServerIdentity } from './certificate.ts';
import {
  checkAssertion,
  checkFcm,
  checkWebhook,
  checkWebPush,
  type HttpChecked,
  type HttpPush,
  type HttpRefusal,
  isRefusal,
} from './http-check.ts';
import { Relay } from './relay.ts';
import { type Fault, type GoawayMode, RuleBook, resetCodes } from './rules.ts';
import { delayHandshakes } from './slow-tls.ts';

export interface HttpLabOptions {
  /** 127.0.0.1 when absent */
  readonly host?: string;
  /** any free port when absent */
  readonly port?: number;
  /** VAPID public key the subscriptions were made for; any when absent */
  readonly vapidKey?: string;
  /** life of an access token, seconds; 3600 when absent */
  readonly tokenSeconds?: number;
  /** the lab's clock, ms since the epoch */
  readonly now?: () => number;
  /** made anew for localhost, 127.0.0.1 and `host` when absent */
  readonly tls?: ServerIdentity;
  /** PKCS #8 PEM of the service account; made anew when absent */
  readonly accountKey?: string;
  /** made anew when absent */
  readonly webhookSecret?: string;
  /** let connections go silent on demand; costs a TCP relay in front */
  readonly stallable?: boolean;
  /** is told of each request, refused ones too */
  readonly onSeen?: (one: Sighting) => void;
}

export interface HttpLab {
  /** `https://host:port` */
  readonly endpoint: string;
  /** PEM text */
  readonly ca: string;
  readonly rules: RuleBook;
  /** the JSON file of a service account of this lab */
  readonly serviceAccount: string;
  readonly webhookSecret: string;
  pushes(): readonly HttpPush[];
  /** Forgets what was accepted. */
  clear(): void;
  /** access tokens given out so far */
  readonly accessTokens: number;
  /** Called for each accepted push; the returned function ends it. */
  onPush(listener: (push: HttpPush) => void): () => void;
  /** Access tokens given out so far are answered with 401. */
  expireAccessTokens(): void;
  /** A subscription URL of the Web Push service. */
  subscription(): string;
  /** What its phones send as pn-p256dh and pn-auth; the lab reads what is encrypted for them. */
  readonly subscriptionKeys: { readonly p256dh: string; readonly auth: string };
  /** These three act on all open connections and tell how many there were. */
  goaway(mode: GoawayMode): number;
  drop(): number;
  stall(): number;
  /** TLS handshakes wait for so long from now on; 0 ends it. */
  slowTls(ms: number): void;
  /** Cuts all connections and refuses new ones for this time. */
  outage(ms: number): Promise<void>;
  close(): Promise<void>;
}

const projectId = 'lab-project';
const clientEmail = `reveille@${projectId}.iam.gserviceaccount.example`;
const googleTokenUrl = 'https://oauth2.googleapis.com/token';
const kept = 20_000;
const longestBody = 65_536;

type Service = HttpPush['service'] | 'fcm-token';
type Good = Exclude<HttpChecked, HttpRefusal>;

/** The private key of a service account, PKCS #8 PEM. */
export function makeAccountKey(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

export async function startHttpLab(options: HttpLabOptions = {}): Promise<HttpLab> {
  const host = options.host ?? '127.0.0.1';
  const now = options.now ?? Date.now;
  const identity =
    options.tls ?? makeServerIdentity({ hosts: ['localhost'], addresses: [...new Set(['127.0.0.1', host])] });
  const accountKey = options.accountKey ?? makeAccountKey();
  const verifyKey = createPublicKey(accountKey).export({ type: 'spki', format: 'pem' }).toString();
  const webhookSecret = options.webhookSecret ?? randomBytes(16).toString('hex');
  const rules = new RuleBook(now);
  const listeners = new Set<(push: HttpPush) => void>();
  const sockets = new Set<Socket>();
  const ecdh = createECDH('prime256v1');
  const p256dh = ecdh.generateKeys().toString('base64url');
  const phone = { privateKey: ecdh.getPrivateKey(), auth: randomBytes(16) };
  let pushes: HttpPush[] = [];
  const good = new Map<string, number>();
  let accessTokens = 0;

  const server = createSecureServer({ key: identity.key, cert: identity.certificate, allowHTTP1: true });
  const slowTls = delayHandshakes(server);
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session)).on('error', () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
  });
  server.on('sessionError', () => undefined);

  const check = (service: Service, request: Http2ServerRequest, path: string, octets: Buffer): HttpChecked => {
    const body = octets.toString();
    const { authorization = '' } = request.headers;
    if (service === 'fcm-token')
      return (
        checkAssertion(body, verifyKey, clientEmail, [`${endpoint()}/token`, googleTokenUrl], now()) ?? {
          token: '',
          content: {},
        }
      );
    if (service === 'fcm') {
      const until = good.get(authorization.replace(/^Bearer /, ''));
      if (until === undefined || until <= now())
        return {
          status: 401,
          reason: 'UNAUTHENTICATED',
          detail: 'authorization: expected a token of /token that has not ended',
        };
      if (path !== `/v1/projects/${projectId}/messages:send`)
        return { status: 404, reason: 'NOT_FOUND', detail: `expected the project ${projectId}` };
      if (!/^application\/json\b/.test(String(request.headers['content-type'])))
        return { status: 400, reason: 'INVALID_ARGUMENT', detail: 'content-type: expected application/json' };
      return checkFcm(body);
    }
    if (service === 'webpush')
      return checkWebPush(endpoint(), path, request.headers, octets, options.vapidKey, phone, now());
    return checkWebhook(request.headers, body, webhookSecret, now());
  };

  const seen = (one: Sighting): void => options.onSeen?.(one);

  const giveToken = (response: Http2ServerResponse): void => {
    seen({ service: 'fcm-token', token: '', class: '', outcome: 'accepted', status: 200 });
    accessTokens += 1;
    const token = `lab.${randomBytes(24).toString('base64url')}`;
    const seconds = options.tokenSeconds ?? 3600;
    good.set(token, now() + seconds * 1000);
    return reply(response, 200, { access_token: token, expires_in: seconds, token_type: 'Bearer' });
  };

  /** `silent`: taken over, and nobody is told. */
  const accept = (
    service: Service,
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    checked: Good,
    body: Buffer,
    silent = false,
  ): void => {
    if (service === 'fcm-token') return giveToken(response);
    const kind = classOf(service, request, body.toString());
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join() : value]),
    );
    const push: HttpPush = { service, at: now(), headers, ...checked };
    const isCheck = /^\{"validate_only":true[,}]/.test(body.toString()) || push.content['type'] === 'ping';
    if (isCheck) seen({ service, token: push.token, class: kind, outcome: 'check', status: 200 });
    if (isCheck) return reply(response, 200, service === 'fcm' ? { name: `projects/${projectId}/messages/fake` } : {});
    pushes.push(push);
    if (pushes.length > kept) pushes = pushes.slice(-kept);
    const status = service === 'webpush' ? 201 : 200;
    if (!silent) seen({ service, token: push.token, class: kind, outcome: 'accepted', status });
    for (const listener of listeners) listener(push);
    if (silent) return;
    if (service === 'webpush') response.setHeader('location', `${endpoint()}/m/${randomUUID()}`);
    return reply(response, status, service === 'fcm' ? { name: `projects/${projectId}/messages/${randomUUID()}` } : {});
  };

  /** The connection itself; what HTTP/2 calls the socket of a request ends no more than its stream. */
  const cut = (request: Http2ServerRequest): void => {
    const { remotePort } = request.socket;
    for (const socket of sockets) if (socket.remotePort === remotePort) socket.destroy();
  };

  server.on('request', (request, response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > longestBody) cut(request);
      else chunks.push(chunk);
    });
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const service = serviceOf(request.url);
      if (service === undefined) return reply(response, 404, { error: 'no such path' });
      const token = tokenOf(service, request.url, body.toString());
      const kind = classOf(service, request, body.toString());
      const checked = check(service, request, request.url, body);
      if (isRefusal(checked)) {
        seen({ service, token, class: kind, outcome: 'refused', ...whyOf(checked) });
        return refuse(service, response, checked);
      }
      const fault = rules.take(token, service);
      if (fault === undefined) return accept(service, request, response, checked, body);
      seen({
        ...{ service, token, class: kind, outcome: 'fault' },
        why: faultText(fault),
        ...(fault.do === 'answer' ? { status: fault.status } : {}),
      });
      return misbehave(fault, service, request, response, {
        accept: (silent) => accept(service, request, response, checked, body, silent),
        stall: () => relay?.stall(request.socket.remotePort),
        cut: () => cut(request),
      });
    });
  });
  const behindRelay = options.stallable === true;
  const listen = async (at: number): Promise<number> => {
    server.listen(behindRelay ? 0 : at, behindRelay ? '127.0.0.1' : host);
    await once(server, 'listening');
    const inner = (server.address() as AddressInfo).port;
    if (!behindRelay) return inner;
    relay = new Relay({ host: '127.0.0.1', port: inner });
    return relay.listen(host, at);
  };
  const shut = async (): Promise<void> => {
    await relay?.close();
    relay = undefined;
    if (!server.listening) return;
    const shutDown = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await shutDown;
  };
  let relay: Relay | undefined;
  let closed = false;
  const port = await listen(options.port ?? 0);
  const endpoint = (): string => `https://${host.includes(':') ? `[${host}]` : host}:${port}`;

  return {
    endpoint: endpoint(),
    ca: identity.ca,
    rules,
    webhookSecret,
    subscriptionKeys: { p256dh, auth: phone.auth.toString('base64url') },
    serviceAccount: JSON.stringify({
      type: 'service_account',
      project_id: projectId,
      client_email: clientEmail,
      private_key: accountKey,
      token_uri: `${endpoint()}/token`,
    }),
    pushes: () => pushes,
    clear: () => {
      pushes = [];
    },
    get accessTokens() {
      return accessTokens;
    },
    onPush: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    expireAccessTokens: () => good.clear(),
    subscription: () => `${endpoint()}/wp/${randomBytes(24).toString('base64url')}`,
    goaway: (mode) => {
      const count = sessions.size;
      for (const session of sessions) goAway(session, mode);
      return count;
    },
    drop: () => {
      const count = sockets.size;
      for (const socket of sockets) socket.destroy();
      return count;
    },
    stall: () => {
      if (relay === undefined) throw new Error('the lab was not started as stallable');
      return relay.stall();
    },
    slowTls,
    outage: async (ms) => {
      if (!server.listening) return;
      await shut();
      await pause(ms);
      if (!closed) await listen(port);
    },
    close: async () => {
      closed = true;
      await shut();
    },
  };
}

function whyOf({ status, reason, detail }: HttpRefusal): { readonly status: number; readonly why: string } {
  return { status, why: detail === undefined ? reason : `${reason}: ${detail}` };
}

/** How urgent it says it is, or what kind, in the words of the service. */
function classOf(service: Service, request: Http2ServerRequest, body: string): string {
  if (service === 'webpush') return String(request.headers['urgency'] ?? '').slice(0, 40);
  const name = service === 'fcm' ? 'priority' : 'type';
  return new RegExp(`"${name}":"([\\w-]{1,40})"`).exec(body)?.[1] ?? '';
}

function goAway(session: ServerHttp2Session, mode: GoawayMode): void {
  if (session.destroyed || session.closed) return;
  session.goaway(constants.NGHTTP2_NO_ERROR);
  if (mode === 'graceful') session.close();
  else setImmediate(() => session.destroy());
}

function serviceOf(path: string): Service | undefined {
  if (path === '/token') return 'fcm-token';
  if (path.startsWith('/v1/projects/')) return 'fcm';
  if (path.startsWith('/wp/')) return 'webpush';
  return path.startsWith('/hook') ? 'webhook' : undefined;
}

/** What the rules know a push by. */
function tokenOf(service: Service, path: string, body: string): string {
  if (service === 'webpush') return path;
  return /"token":"([^"]*)"/.exec(body)?.[1] ?? '';
}

function reply(response: Http2ServerResponse, status: number, body: unknown): void {
  // a fault may have been there first
  if (response.headersSent) return;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function refuse(service: Service, response: Http2ServerResponse, { status, reason, field, detail }: HttpRefusal): void {
  if (service === 'fcm-token') return reply(response, status, { error: reason, error_description: detail });
  if (service !== 'fcm') return reply(response, status, { error: reason, detail });
  const details = [
    { '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode: reason },
    ...(field === undefined
      ? []
      : [{ '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: [{ field }] }]),
  ];
  return reply(response, status, { error: { code: status, status: reason, message: detail ?? reason, details } });
}

function misbehave(
  fault: Fault,
  service: Service,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  { accept, stall, cut }: { accept(silent: boolean): void; stall(): void; cut(): void },
): void {
  const session = request.httpVersionMajor === 2 ? (request.stream.session as ServerHttp2Session) : undefined;
  switch (fault.do) {
    case 'answer':
      if (fault.delay !== undefined) {
        const { delay, ...rest } = fault;
        const timer = setTimeout(() => misbehave(rest, service, request, response, { accept, stall, cut }), delay);
        response.on('close', () => clearTimeout(timer));
        return;
      }
      if (fault.retryAfter !== undefined) response.setHeader('retry-after', String(fault.retryAfter));
      if (fault.html === true) {
        response.writeHead(fault.status, { 'content-type': 'text/html' });
        response.end('<html><body>Bad Gateway</body></html>');
        return;
      }
      refuse(service, response, { status: fault.status, reason: fault.reason ?? 'INTERNAL' });
      return;
    case 'slow':
      // who went away meanwhile was never processed
      setTimeout(() => {
        if (!response.closed && !request.socket.destroyed) accept(false);
      }, fault.ms);
      return;
    case 'duplicate':
      accept(true);
      accept(false);
      return;
    case 'goaway':
      // with `graceful` the answer still comes, and then the connection goes
      if (fault.mode === 'graceful') accept(false);
      if (session !== undefined) goAway(session, fault.mode);
      else if (fault.mode === 'graceful') response.on('finish', cut);
      else cut();
      return;
    case 'reset':
      // HTTP/1.1 has no streams that could be reset
      if (session === undefined) cut();
      else request.stream.close(resetCodes[fault.code]);
      return;
    case 'drop':
      if (fault.when === 'after') accept(true);
      cut();
      return;
    case 'stall':
      stall();
      return;
    case 'hang':
      return;
    default:
      fault satisfies never;
  }
}
