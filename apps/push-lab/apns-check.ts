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

const refuse = (status: number, reason: string): Refusal => ({ status, reason });

/** The device token of the path, or why there is none. */
export function deviceTokenOf(headers: IncomingHttpHeaders): string | Refusal {
  if (headers[':method'] !== 'POST') return refuse(405, 'MethodNotAllowed');
  const path = headers[':path'] ?? '';
  if (!path.startsWith('/3/device/')) return refuse(404, 'BadPath');
  const token = path.slice('/3/device/'.length);
  if (token === '') return refuse(400, 'MissingDeviceToken');
  return deviceToken.test(token) ? token : refuse(400, 'BadDeviceToken');
}

function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

function payloadOf(body: Buffer, pushType: string): Payload | Refusal {
  if (body.length === 0) return refuse(400, 'PayloadEmpty');
  if (body.length > (pushType === 'voip' ? 5120 : 4096)) return refuse(413, 'PayloadTooLarge');
  let payload: unknown;
  try {
    payload = JSON.parse(body.toString());
  } catch {
    return refuse(400, 'InvalidPayload');
  }
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return refuse(400, 'InvalidPayload');
  const { aps } = payload as { aps?: unknown };
  if (typeof aps !== 'object' || aps === null) return refuse(400, 'InvalidPayload');
  // a background push that shows something is dropped without a word by the real service
  if (pushType === 'background') {
    const keys = Object.keys(aps);
    if (!keys.includes('content-available') || keys.some((key) => key === 'alert' || key === 'sound')) {
      return refuse(400, 'InvalidPushType');
    }
  }
  if (pushType === 'alert' && !('alert' in aps)) return refuse(400, 'InvalidPushType');
  return { payload: payload as Payload['payload'] };
}

/** Everything of a push whose provider token is good. `topics` undefined: any topic. */
export function checkPush(
  token: string,
  headers: IncomingHttpHeaders,
  body: Buffer,
  topics: ReadonlySet<string> | undefined,
): Omit<LabPush, 'at' | 'session'> | Refusal {
  const id = header(headers, 'apns-id');
  if (id === undefined || !uuid.test(id)) return refuse(400, 'BadMessageId');
  const topic = header(headers, 'apns-topic');
  if (topic === undefined || topic === '') return refuse(400, 'MissingTopic');
  if (!/^[A-Za-z0-9.-]{1,255}$/.test(topic)) return refuse(400, 'BadTopic');
  if (topics !== undefined && !topics.has(topic)) return refuse(400, 'TopicDisallowed');
  const pushType = header(headers, 'apns-push-type');
  if (pushType === undefined || !pushTypes.has(pushType)) return refuse(400, 'InvalidPushType');
  const suffix = suffixedTypes.get(pushType);
  if (suffix === undefined ? topic.endsWith('.voip') : !topic.endsWith(suffix))
    return refuse(400, 'DeviceTokenNotForTopic');
  const priority = header(headers, 'apns-priority');
  if (priority !== '10' && priority !== '5' && priority !== '1') return refuse(400, 'BadPriority');
  if (pushType === 'background' && priority === '10') return refuse(400, 'BadPriority');
  const expiration = header(headers, 'apns-expiration');
  if (expiration === undefined || !/^\d{1,10}$/.test(expiration)) return refuse(400, 'BadExpirationDate');
  const collapseId = header(headers, 'apns-collapse-id');
  if (collapseId !== undefined && Buffer.byteLength(collapseId) > 64) return refuse(400, 'BadCollapseId');
  // no phone has such a token: servers check their credentials with it
  if (token.startsWith('0'.repeat(16))) return refuse(400, 'BadDeviceToken');
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
