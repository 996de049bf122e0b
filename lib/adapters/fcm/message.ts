/** What is sent to FCM HTTP v1 for a request, by the profile of the app: a data message, every value a text. */
import { dataContent, type PayloadPolicy } from '../../payload/profile.ts';
import type { PushRequest } from '../../ports/push-service.ts';

/** FCM's limit for the data, octets. */
const largest = 4096;
/** A call that waited longer is no call any more, seconds. */
const longestCall = 30;

const shown: ReadonlySet<PushRequest['class']> = new Set(['call', 'cancel', 'message']);

/** The JSON body. `token`: the registration token. */
export function fcmMessage(request: PushRequest, token: string, policy: PayloadPolicy, now: number): Buffer {
  const data = (['whole', 'cut', 'bare'] as const)
    .map((amount) => dataContent(request, policy, now, amount))
    .find((one) => one === undefined || Buffer.byteLength(JSON.stringify(one)) <= largest);
  const message = {
    token,
    ...(data === undefined ? {} : { data }),
    android: {
      // high is for what the phone will show; anything else makes Android trust the app less (Google's 7-day rule)
      priority: shown.has(request.class) && request.priority !== 'normal' ? 'HIGH' : 'NORMAL',
      ttl: `${secondsLeft(request, now)}s`,
      // calls never: collapsing two would lose one
      ...(request.class === 'refresh' || request.class === 'notify' ? { collapse_key: request.class } : {}),
    },
  };
  return Buffer.from(JSON.stringify({ ...(request.dryRun === true ? { validate_only: true } : {}), message }));
}

function secondsLeft(request: PushRequest, now: number): number {
  const left = Math.max(0, Math.ceil((request.wakeUntil - now) / 1000));
  return request.class === 'call' ? Math.min(left, longestCall) : Math.min(left, 2_419_200);
}
