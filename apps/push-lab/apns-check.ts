/** What APNs demands of one push besides its provider token: path, headers, payload and their agreement. Stricter than APNs where a silent default would hide a mistake. */
import type { IncomingHttpHeaders } from 'node:http2';

export interface LabPush {
  /** ms since the epoch, by the lab's clock */
  readonly at: number;
  readonly token: string;
  readonly topic: string;
  readonly pushType: string;
  readonly priority: number;
  /** Unix seconds; 0 = one attempt only */
  readonly expiration: number;
  readonly id: string;
  readonly collapseId?: string;
  readonly payload: Readonly<Record<string, unknown>>;
  /** number of the connection it came on, from 1 */
  readonly session: number;
}

type Payload = Pick<LabPush, 'payload'>;

export interface Refusal {
  readonly status: number;
  readonly reason: string;
  /** what was expected and what was found; real ones do not tell */
  readonly detail?: string;
  /** all was right but the token, which no phone has: a question about credentials */
  readonly isCheck?: boolean;
}

const pushTypes: ReadonlySet<string> = new Set([
  'alert',
  'background',
  'voip',
  'complication',
  'fileprovider',
  'mdm',
  'liveactivity',
  'location',
  'pushtotalk',
  'controls',
  'widgets',
]);
/** these types carry their name at the end of the topic */
const suffixedTypes: ReadonlyMap<string, string> = new Map([
  ['voip', '.voip'],
  ['complication', '.complication'],
  ['location', '.location-query'],
  ['liveactivity', '.push-type.liveactivity'],
  ['pushtotalk', '.voip-ptt'],
]);
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const deviceToken = /^(?:[0-9a-f]{2}){32,100}$/i;

const refuse = (status: number, reason: string, detail: string): Refusal => ({ status, reason, detail });

/** What was found, short, for an error. */
function found(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80);
}

/** The device token of the path, or why there is none. */
export function deviceTokenOf(headers: IncomingHttpHeaders): string | Refusal {
  if (headers[':method'] !== 'POST')
    return refuse(405, 'MethodNotAllowed', `:method: expected POST, found ${found(headers[':method'])}`);
  const path = headers[':path'] ?? '';
  if (!path.startsWith('/3/device/')) return refuse(404, 'BadPath', ':path: expected /3/device/TOKEN');
  const token = path.slice('/3/device/'.length);
  if (token === '') return refuse(400, 'MissingDeviceToken', ':path: expected a token after /3/device/');
  return deviceToken.test(token) ? token : refuse(400, 'BadDeviceToken', 'expected a token of 32 to 100 octets in hex');
}

function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

function payloadOf(body: Buffer, pushType: string): Payload | Refusal {
  if (body.length === 0) return refuse(400, 'PayloadEmpty', 'expected a JSON object, found no body');
  const most = pushType === 'voip' ? 5120 : 4096;
  if (body.length > most)
    return refuse(413, 'PayloadTooLarge', `expected at most ${most} octets for ${pushType}, found ${body.length}`);
  let payload: unknown;
  try {
    payload = JSON.parse(body.toString());
  } catch {
    return refuse(400, 'InvalidPayload', 'body: expected JSON');
  }
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload))
    return refuse(400, 'InvalidPayload', 'body: expected a JSON object');
  const { aps } = payload as { aps?: unknown };
  if (typeof aps !== 'object' || aps === null || Array.isArray(aps))
    return refuse(400, 'InvalidPayload', `aps: expected an object, found ${found(aps)}`);
  const wrong = wrongType(aps as Readonly<Record<string, unknown>>);
  if (wrong !== undefined) return refuse(400, 'InvalidPayload', wrong);
  // a background push that shows something is dropped without a word by the real service
  if (pushType === 'background') {
    const keys = Object.keys(aps);
    if (!keys.includes('content-available') || keys.some((key) => key === 'alert' || key === 'sound')) {
      return refuse(400, 'InvalidPushType', 'aps of a background push: expected content-available and nothing to show');
    }
  }
  if (pushType === 'alert' && !('alert' in aps))
    return refuse(400, 'InvalidPushType', 'aps of an alert: expected alert, found none');
  return { payload: payload as Payload['payload'] };
}

/** A key of `aps` with a value of the wrong type, as the real service would drop it on the phone's side without a word. */
function wrongType(aps: Readonly<Record<string, unknown>>): string | undefined {
  const { alert, badge, sound, category, 'content-available': available, 'mutable-content': mutable } = aps;
  const isText = (value: unknown): boolean => value === undefined || typeof value === 'string';
  const isTextOrObject = (value: unknown): boolean => isText(value) || (typeof value === 'object' && value !== null);
  if (!isTextOrObject(alert)) return `aps.alert: expected text or an object, found ${found(alert)}`;
  if (!isTextOrObject(sound)) return `aps.sound: expected text or an object, found ${found(sound)}`;
  if (!isText(category)) return `aps.category: expected text, found ${found(category)}`;
  if (badge !== undefined && !Number.isInteger(badge))
    return `aps.badge: expected a whole number, found ${found(badge)}`;
  if (available !== undefined && available !== 1 && available !== 0)
    return `aps.content-available: expected 1, found ${found(available)}`;
  if (mutable !== undefined && mutable !== 1 && mutable !== 0)
    return `aps.mutable-content: expected 1, found ${found(mutable)}`;
  return undefined;
}

/** Everything of a push whose provider token is good. `topics` undefined: any topic. */
export function checkPush(
  token: string,
  headers: IncomingHttpHeaders,
  body: Buffer,
  topics: ReadonlySet<string> | undefined,
): Omit<LabPush, 'at' | 'session'> | Refusal {
  const id = header(headers, 'apns-id');
  if (id === undefined || !uuid.test(id))
    return refuse(400, 'BadMessageId', `apns-id: expected a UUID in small letters, found ${found(id)}`);
  const topic = header(headers, 'apns-topic');
  if (topic === undefined || topic === '')
    return refuse(400, 'MissingTopic', 'apns-topic: expected a bundle id, found nothing');
  if (!/^[A-Za-z0-9.-]{1,255}$/.test(topic))
    return refuse(400, 'BadTopic', `apns-topic: expected a bundle id, found ${found(topic)}`);
  if (topics !== undefined && !topics.has(topic))
    return refuse(400, 'TopicDisallowed', `apns-topic: expected one of ${[...topics].join(', ')}, found ${topic}`);
  const pushType = header(headers, 'apns-push-type');
  if (pushType === undefined || !pushTypes.has(pushType))
    return refuse(
      400,
      'InvalidPushType',
      `apns-push-type: expected one of ${[...pushTypes].join(', ')}, found ${found(pushType)}`,
    );
  const suffix = suffixedTypes.get(pushType);
  if (suffix === undefined ? topic.endsWith('.voip') : !topic.endsWith(suffix))
    return refuse(
      400,
      'DeviceTokenNotForTopic',
      suffix === undefined
        ? `apns-topic: a ${pushType} push does not go to ${topic}`
        : `apns-topic: expected the end ${suffix} for ${pushType}, found ${topic}`,
    );
  const priority = header(headers, 'apns-priority');
  if (priority !== '10' && priority !== '5' && priority !== '1')
    return refuse(400, 'BadPriority', `apns-priority: expected 10, 5 or 1, found ${found(priority)}`);
  if (pushType === 'background' && priority === '10')
    return refuse(400, 'BadPriority', 'apns-priority: expected 5 or 1 for background, found 10');
  const expiration = header(headers, 'apns-expiration');
  if (expiration === undefined || !/^\d{1,10}$/.test(expiration))
    return refuse(400, 'BadExpirationDate', `apns-expiration: expected 0 or Unix seconds, found ${found(expiration)}`);
  const collapseId = header(headers, 'apns-collapse-id');
  if (collapseId !== undefined && Buffer.byteLength(collapseId) > 64)
    return refuse(
      400,
      'BadCollapseId',
      `apns-collapse-id: expected at most 64 octets, found ${Buffer.byteLength(collapseId)}`,
    );
  // no phone has such a token: servers check their credentials with it
  const isCheck = token.startsWith('0'.repeat(16));
  if (isCheck) return { ...refuse(400, 'BadDeviceToken', 'a token that no phone has; all else is right'), isCheck };
  const read = payloadOf(body, pushType);
  if ('status' in read) return read;
  return {
    token,
    topic,
    pushType,
    priority: Number(priority),
    expiration: Number(expiration),
    id,
    ...(collapseId === undefined ? {} : { collapseId }),
    payload: read.payload,
  };
}
