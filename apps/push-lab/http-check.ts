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
}

export type HttpChecked = Pick<HttpPush, 'token' | 'content'> | HttpRefusal;

type Json = Readonly<Record<string, unknown>>;

export function isRefusal(checked: HttpChecked): checked is HttpRefusal {
  return 'status' in checked;
}

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
    return { status: 400, reason: 'unsupported_grant_type' };
  const claims = readJwt(fields.get('assertion') ?? '', 'RS256', (signed, signature) =>
    verify('RSA-SHA256', signed, publicKey, signature),
  );
  const seconds = Math.floor(now / 1000);
  const good =
    claims !== undefined &&
    claims['iss'] === clientEmail &&
    audiences.includes(String(claims['aud'])) &&
    String(claims['scope']).split(' ').includes('https://www.googleapis.com/auth/firebase.messaging') &&
    Number(claims['exp']) > seconds &&
    Number(claims['exp']) <= seconds + 3660;
  return good ? undefined : { status: 400, reason: 'invalid_grant' };
}

/** messages:send of FCM HTTP v1; every value of `data` has to be a text. */
export function checkFcm(body: string): HttpChecked {
  const wrong = (field: string): HttpRefusal => ({ status: 400, reason: 'INVALID_ARGUMENT', field });
  const parsed = readJson(body);
  const message = parsed?.['message'] as Json | undefined;
  if (typeof message !== 'object' || message === null) return wrong('message');
  const { token, data, android } = message as { token?: unknown; data?: unknown; android?: unknown };
  if (typeof token !== 'string' || token.length < 20) return wrong('message.token');
  for (const [key, value] of Object.entries((data ?? {}) as Json)) {
    if (typeof value !== 'string') return wrong(`message.data[${key}]`);
    if (['from', 'message_type', 'collapse_key'].includes(key) || /^(?:google|gcm)/.test(key))
      return wrong('message.data');
  }
  if (Buffer.byteLength(JSON.stringify(data ?? {})) > 4096) return wrong('message.data');
  const { priority, ttl } = (android ?? {}) as Json;
  if (priority !== 'HIGH' && priority !== 'NORMAL') return wrong('message.android.priority');
  if (typeof ttl !== 'string' || !/^\d{1,7}s$/.test(ttl) || Number.parseInt(ttl, 10) > 2_419_200)
    return wrong('message.android.ttl');
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
  if (typeof ttl !== 'string' || !/^\d{1,8}$/.test(ttl)) return { status: 400, reason: 'ttl' };
  if (urgency !== undefined && !['very-low', 'low', 'normal', 'high'].includes(String(urgency)))
    return { status: 400, reason: 'urgency' };
  if (topic !== undefined && !/^[\w-]{1,32}$/.test(String(topic))) return { status: 400, reason: 'topic' };
  const content = contentOf(body, headers['content-encoding'], phone);
  if (content === undefined) return { status: 400, reason: 'payload that this phone cannot read' };
  const [, jwt = '', key = ''] = /^vapid t=([^,\s]+), ?k=([\w-]+)$/.exec(authorization) ?? [];
  if (jwt === '') return { status: 401, reason: 'vapid missing' };
  if (publicKey !== undefined && key !== publicKey) return { status: 403, reason: 'another VAPID key' };
  const claims = readJwt(jwt, 'ES256', (signed, signature) =>
    verify('sha256', signed, { key: pointToKey(key), dsaEncoding: 'ieee-p1363' }, signature),
  );
  const seconds = Math.floor(now / 1000);
  const exp = Number(claims?.['exp']);
  if (claims === undefined || claims['aud'] !== origin || !(exp > seconds && exp <= seconds + 86_400))
    return { status: 403, reason: 'BadJwtToken' };
  if (!/^(?:mailto:[^@\s]+@|https:\/\/(?!localhost))/.test(String(claims['sub'])))
    return { status: 403, reason: 'BadJwtToken' };
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
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return { status: 401, reason: 'signature' };
  if (Math.abs(now / 1000 - Number(timestamp)) > 300) return { status: 401, reason: 'timestamp' };
  const content = readJson(body);
  if (content?.['type'] === 'ping' && content['id'] === headers['reveille-push-id']) return { token: '', content };
  if (content === undefined || typeof content['token'] !== 'string') return { status: 400, reason: 'body' };
  if (content['id'] !== headers['reveille-push-id']) return { status: 400, reason: 'id' };
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

function readJson(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}
