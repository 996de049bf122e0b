import type { PushPolicy } from '../../../lib/core/push-policy.ts';

/** Night shift: no calls from outside wake anybody's private phone; the alarm line always rings every way there is. */
const policy: PushPolicy = ({ from, app, phone, unansweredVoip, tokens }) => {
  if (from.uri.startsWith('sip:alarm@')) return { flow: 'parallel', repeats: 1, repeatAfterMs: 3000 };
  if (app === 'private-phones' && !from.uri.endsWith('@example.com')) return { push: false };
  // an old build that does not report its calls to iOS: three chances, then alerts
  if (phone.userAgent?.startsWith('OldPhone/1.') === true && unansweredVoip >= 3 && tokens.includes('alert'))
    return { callVia: 'alert' };
  return undefined;
};

export default policy;
