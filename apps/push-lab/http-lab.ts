/**
 * FCM with its token endpoint, a Web Push service and a webhook in one HTTPS server (HTTP/2 and 1.1) with its own CA: each request
 * is checked strictly, remembered, and answered as the fault script says. Its rules name the service as `topic`: `fcm`,
 * `fcm-token`, `webpush` or `webhook`.
 */
import { createECDH, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { makeServerIdentity } from './certificate.ts';
import {
  checkAssertion,
  checkFcm,
  checkWebhook,
  checkWebPush,
  type HttpChecked,
  type HttpPush,
  isRefusal,
} from './http-check.ts';
import { type Fault, RuleBook } from './rules.ts';

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
  close(): Promise<void>;
}

const projectId = 'lab-project';
const clientEmail = `reveille@${projectId}.iam.gserviceaccount.example`;
const googleTokenUrl = 'https://oauth2.googleapis.com/token';
const kept = 20_000;
const longestBody = 65_536;

type Service = HttpPush['service'] | 'fcm-token';

export async function startHttpLab(options: HttpLabOptions = {}): Promise<HttpLab> {
  const host = options.host ?? '127.0.0.1';
  const now = options.now ?? Date.now;
  const identity = makeServerIdentity({ hosts: ['localhost'], addresses: [...new Set(['127.0.0.1', host])] });
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const verifyKey = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const webhookSecret = randomBytes(16).toString('hex');
  const rules = new RuleBook();
  const listeners = new Set<(push: HttpPush) => void>();
  const sockets = new Set<Socket>();
  const ecdh = createECDH('prime256v1');
  const p256dh = ecdh.generateKeys().toString('base64url');
  const phone = { privateKey: ecdh.getPrivateKey(), auth: randomBytes(16) };
  let pushes: HttpPush[] = [];
  const good = new Map<string, number>();
  let accessTokens = 0;

  const server = createSecureServer({ key: identity.key, cert: identity.certificate, allowHTTP1: true });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
  });
  server.on('sessionError', () => undefined);

  const check = (service: Service, request: Http2ServerRequest, path: string, octets: Buffer): HttpChecked => {
    const body = octets.toString();
    const { authorization = '' } = request.headers;
    if (service === 'fcm') {
      const until = good.get(authorization.replace(/^Bearer /, ''));
      if (until === undefined || until <= now()) return { status: 401, reason: 'UNAUTHENTICATED' };
      return path === `/v1/projects/${projectId}/messages:send` ? checkFcm(body) : { status: 404, reason: 'NOT_FOUND' };
    }
    if (service === 'webpush')
      return checkWebPush(endpoint(), path, request.headers, octets, options.vapidKey, phone, now());
    return checkWebhook(request.headers, body, webhookSecret, now());
  };

  const giveToken = (response: Http2ServerResponse, body: string): void => {
    const refused = checkAssertion(body, verifyKey, clientEmail, [`${endpoint()}/token`, googleTokenUrl], now());
    if (refused !== undefined) return reply(response, refused.status, { error: refused.reason });
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
    body: Buffer,
    silent = false,
  ): void => {
    if (service === 'fcm-token') return giveToken(response, body.toString());
    const path = request.url;
    const checked = check(service, request, path, body);
    if (isRefusal(checked)) return refuse(service, response, checked);
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join() : value]),
    );
    const push: HttpPush = { service, at: now(), headers, ...checked };
    const isCheck = /^\{"validate_only":true[,}]/.test(body.toString()) || push.content['type'] === 'ping';
    if (isCheck) return reply(response, 200, service === 'fcm' ? { name: `projects/${projectId}/messages/fake` } : {});
    pushes.push(push);
    if (pushes.length > kept) pushes = pushes.slice(-kept);
    for (const listener of listeners) listener(push);
    if (silent) return;
    if (service === 'webpush') response.setHeader('location', `${endpoint()}/m/${randomUUID()}`);
    return reply(
      response,
      service === 'webpush' ? 201 : 200,
      service === 'fcm' ? { name: `projects/${projectId}/messages/${randomUUID()}` } : {},
    );
  };

  server.on('request', (request, response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > longestBody) request.socket.destroy();
      else chunks.push(chunk);
    });
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const service = serviceOf(request.url);
      if (service === undefined) return reply(response, 404, { error: 'no such path' });
      const fault = rules.take(tokenOf(service, request.url, body.toString()), service);
      if (fault === undefined) return accept(service, request, response, body);
      return misbehave(fault, service, request, response, (silent) => accept(service, request, response, body, silent));
    });
  });
  server.listen(options.port ?? 0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
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
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
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
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
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
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function refuse(
  service: Service,
  response: Http2ServerResponse,
  { status, reason, field }: { readonly status: number; readonly reason: string; readonly field?: string },
): void {
  if (service !== 'fcm') return reply(response, status, { error: reason });
  const details = [
    { '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode: reason },
    ...(field === undefined
      ? []
      : [{ '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: [{ field }] }]),
  ];
  return reply(response, status, { error: { code: status, status: reason, message: reason, details } });
}

function misbehave(
  fault: Fault,
  service: Service,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  accept: (silent: boolean) => void,
): void {
  switch (fault.do) {
    case 'answer':
      if (fault.retryAfter !== undefined) response.setHeader('retry-after', String(fault.retryAfter));
      if (fault.html === true) {
        response.writeHead(fault.status, { 'content-type': 'text/html' });
        response.end('<html><body>Bad Gateway</body></html>');
        return;
      }
      refuse(service, response, { status: fault.status, reason: fault.reason ?? 'INTERNAL' });
      return;
    case 'slow':
      setTimeout(() => accept(false), fault.ms);
      return;
    case 'goaway':
      // the answer still comes, and then the connection goes
      accept(false);
      request.stream?.session?.goaway(0);
      return;
    case 'reset':
    case 'drop':
      if (fault.do === 'drop' && fault.when === 'after') accept(true);
      request.socket.destroy();
      return;
    case 'hang':
    case 'stall':
      return;
    default:
      fault satisfies never;
  }
}
