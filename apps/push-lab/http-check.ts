/** What FCM, its token endpoint, a Web Push service and a webhook demand of a request; each check gives the push or a refusal. */
import { createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { decryptPush, type PhoneKeys } from './webpush-decrypt.ts';

/** A push one of the stand-ins has taken over. */
export interface HttpPush {
  readonly service: 'fcm' | 'webpush' | 'webhook';
  /** registration token, subscription path, or the token in the body */
  readonly token: string;
  /** ms since the epoch */
  readonly at: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** FCM: the message; webhook: the body; Web Push: nothing */
  readonly content: Readonly<Record<string, unknown>>;
}

export interface HttpRefusal {
  readonly status: number;
  /** FCM: errorCode; others: a word */
  readonly reason: string;
  readonly field?: string;
  /** what was expected and what was found; real ones tell less */
  readonly detail?: string;
}

export type HttpChecked = Pick<HttpPush, 'token' | 'content'> | HttpRefusal;

type Json = Readonly<Record<string, unknown>>;

export function isRefusal(checked: HttpChecked): checked is HttpRefusal {
  return 'status' in checked;
}

const messagingScope = 'https://www.googleapis.com/auth/firebase.messaging';

/** The assertion of a JWT-bearer grant (RFC 7523 3). `publicKey`: PEM. Gives undefined when it is good. */
export function checkAssertion(
  form: string,
  publicKey: string,
  clientEmail: string,
  audiences: readonly string[],
  now: number,
): HttpRefusal | undefined {
  const fields = new URLSearchParams(form);
  if (fields.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer')
    return { status: 400, reason: 'unsupported_grant_type', detail: 'grant_type: expected that of RFC 7523' };
  const claims = readJwt(fields.get('assertion') ?? '', 'RS256', (signed, signature) =>
    verify('RSA-SHA256', signed, publicKey, signature),
  );
  const seconds = Math.floor(now / 1000);
  const wrong = (detail: string): HttpRefusal => ({ status: 400, reason: 'invalid_grant', detail });
  if (claims === undefined)
    return wrong('assertion: expected a JWT signed by RS256 with the key of the service account');
  if (claims['iss'] !== clientEmail) return wrong(`iss: expected ${clientEmail}`);
  if (!audiences.includes(String(claims['aud']))) return wrong(`aud: expected one of ${audiences.join(', ')}`);
  if (!String(claims['scope']).split(' ').includes(messagingScope)) return wrong(`scope: expected ${messagingScope}`);
  const { iat, exp } = claims;
  if (typeof iat !== 'number' || iat > seconds + 300) return wrong('iat: expected Unix seconds, not in the future');
  if (typeof exp !== 'number' || exp <= seconds || exp > seconds + 3660)
    return wrong('exp: expected Unix seconds within the next hour');
  return undefined;
}

/** messages:send of FCM HTTP v1; every value of `data` has to be a text. */
export function checkFcm(body: string): HttpChecked {
  const wrong = (field: string, detail: string): HttpRefusal => ({
    ...{ status: 400, reason: 'INVALID_ARGUMENT', field },
    detail: `${field}: ${detail}`,
  });
  const parsed = readJson(body);
  const message = parsed?.['message'] as Json | undefined;
  if (typeof message !== 'object' || message === null) return wrong('message', 'expected an object');
  const { token, data, android } = message as { token?: unknown; data?: unknown; android?: unknown };
  if (typeof token !== 'string' || token.length < 20) return wrong('message.token', 'expected a registration token');
  if (data !== undefined && !isObject(data)) return wrong('message.data', 'expected an object');
  if (android !== undefined && !isObject(android)) return wrong('message.android', 'expected an object');
  for (const [key, value] of Object.entries((data ?? {}) as Json)) {
    if (typeof value !== 'string') return wrong(`message.data[${key}]`, `expected text, found a ${typeof value}`);
    if (['from', 'message_type', 'collapse_key'].includes(key) || /^(?:google|gcm)/.test(key))
      return wrong('message.data', `${key} is a reserved word`);
  }
  if (Buffer.byteLength(JSON.stringify(data ?? {})) > 4096)
    return wrong('message.data', 'expected at most 4096 octets');
  const { priority, ttl } = (android ?? {}) as Json;
  if (priority !== 'HIGH' && priority !== 'NORMAL') return wrong('message.android.priority', 'expected HIGH or NORMAL');
  if (typeof ttl !== 'string' || !/^\d{1,7}s$/.test(ttl) || Number.parseInt(ttl, 10) > 2_419_200)
    return wrong('message.android.ttl', 'expected whole seconds up to 28 days, such as 30s');
  return { token, content: message };
}

/** RFC 8030 5 and RFC 8292. RFC 8291 for a payload. `publicKey` undefined: any VAPID key. */
export function checkWebPush(
  origin: string,
  path: string,
  headers: IncomingHttpHeaders,
  body: Buffer,
  publicKey: string | undefined,
  phone: PhoneKeys,
  now: number,
): HttpChecked {
  const { ttl, urgency, topic, authorization = '' } = headers;
  if (typeof ttl !== 'string' || !/^\d{1,8}$/.test(ttl))
    return { status: 400, reason: 'ttl', detail: 'ttl: expected whole seconds' };
  if (urgency !== undefined && !['very-low', 'low', 'normal', 'high'].includes(String(urgency)))
    return { status: 400, reason: 'urgency', detail: 'urgency: expected very-low, low, normal or high' };
  if (topic !== undefined && !/^[\w-]{1,32}$/.test(String(topic)))
    return { status: 400, reason: 'topic', detail: 'topic: expected up to 32 characters of base64url' };
  const content = contentOf(body, headers['content-encoding'], phone);
  if (content === undefined) return { status: 400, reason: 'payload that this phone cannot read' };
  const [, jwt = '', key = ''] = /^vapid t=([^,\s]+), ?k=([\w-]+)$/.exec(authorization) ?? [];
  if (jwt === '') return { status: 401, reason: 'vapid missing', detail: 'authorization: expected vapid t=JWT, k=KEY' };
  if (publicKey !== undefined && key !== publicKey)
    return { status: 403, reason: 'another VAPID key', detail: 'k: expected the key the subscription was made with' };
  const claims = readJwt(jwt, 'ES256', (signed, signature) =>
    verify('sha256', signed, { key: pointToKey(key), dsaEncoding: 'ieee-p1363' }, signature),
  );
  const seconds = Math.floor(now / 1000);
  const exp = Number(claims?.['exp']);
  const wrong = (detail: string): HttpRefusal => ({ status: 403, reason: 'BadJwtToken', detail });
  if (claims === undefined) return wrong('t: expected a JWT signed by ES256 with the key in k');
  if (claims['aud'] !== origin) return wrong(`aud: expected ${origin}`);
  if (!(exp > seconds && exp <= seconds + 86_400)) return wrong('exp: expected Unix seconds within the next 24 hours');
  if (!/^(?:mailto:[^@\s]+@|https:\/\/(?!localhost))/.test(String(claims['sub'])))
    return wrong('sub: expected mailto: or https:, and no localhost');
  return { token: path, content };
}

/** What a phone reads of an encrypted push (RFC 8291); nothing for an empty one. */
function contentOf(body: Buffer, encoding: string | string[] | undefined, phone: PhoneKeys): Json | undefined {
  if (body.length === 0) return encoding === undefined ? {} : undefined;
  const text = encoding === 'aes128gcm' ? decryptPush(body, phone) : undefined;
  return text === undefined ? undefined : readJson(text.toString());
}

/** The webhook of docs/webhook.md. */
export function checkWebhook(headers: IncomingHttpHeaders, body: string, secret: string, now: number): HttpChecked {
  const timestamp = String(headers['reveille-timestamp']);
  const given = Buffer.from(String(headers['reveille-signature']));
  const wanted = Buffer.from(`v1=${createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')}`);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    return {
      status: 401,
      reason: 'signature',
      detail: 'reveille-signature: expected v1= and the HMAC of timestamp and body',
    };
  if (!(Math.abs(now / 1000 - Number(timestamp)) <= 300))
    return {
      status: 401,
      reason: 'timestamp',
      detail: 'reveille-timestamp: expected Unix seconds of the last 5 minutes',
    };
  const content = readJson(body);
  if (content?.['type'] === 'ping' && content['id'] === headers['reveille-push-id']) return { token: '', content };
  if (content === undefined || typeof content['token'] !== 'string')
    return { status: 400, reason: 'body', detail: 'body: expected a JSON object with a token' };
  if (content['id'] !== headers['reveille-push-id'])
    return { status: 400, reason: 'id', detail: 'reveille-push-id: expected the id of the body' };
  return { token: content['token'], content };
}

function readJwt(
  text: string,
  algorithm: string,
  isGood: (signed: Buffer, signature: Buffer) => boolean,
): Json | undefined {
  const [header = '', claims = '', signature = ''] = text.split('.');
  try {
    if (readJson(Buffer.from(header, 'base64url').toString())?.['alg'] !== algorithm) return undefined;
    if (!isGood(Buffer.from(`${header}.${claims}`), Buffer.from(signature, 'base64url'))) return undefined;
    return readJson(Buffer.from(claims, 'base64url').toString());
  } catch {
    return undefined;
  }
}

/** An uncompressed point on P-256, base64url. */
function pointToKey(point: string) {
  const octets = Buffer.from(point, 'base64url');
  const [x, y] = [octets.subarray(1, 33), octets.subarray(33, 65)].map((half) => half.toString('base64url'));
  return createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: x ?? '', y: y ?? '' }, format: 'jwk' });
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readJson(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}
