import { describe, expect, it } from 'vitest';
import { verdictOfCheck } from '../../../apps/edge/push-verdicts.ts';
import type { PushOutcome } from '../../../lib/ports/push-service.ts';

const config = (reason: string): PushOutcome => ({ is: 'config-error', reason });
const dead = (reason: string): PushOutcome => ({ is: 'token-dead', token: 'x', reason });
const gone = (reason: string): PushOutcome => ({ is: 'unreachable', reason });

describe('the answer to a check', () => {
  const table: readonly (readonly ['apns' | 'fcm' | 'webhook', PushOutcome, string, RegExp?])[] = [
    ['apns', config('BadDeviceToken'), 'good'],
    ['apns', dead('BadDeviceToken'), 'good'],
    ['apns', config('DeviceTokenNotForTopic'), 'good'],
    ['apns', config('InvalidProviderToken'), 'bad', /key_id/],
    ['apns', config('BadEnvironmentKeyIdInToken'), 'bad', /environments/],
    ['apns', config('TopicDisallowed'), 'bad', /bundle/],
    ['apns', config('ExpiredProviderToken'), 'bad', /clock/],
    ['apns', config('a reason of tomorrow'), 'bad', /docs\/push\.md/],
    ['apns', gone('deadline passed, no connection'), 'unknown'],
    ['fcm', { is: 'accepted', id: '' }, 'good'],
    ['fcm', dead('INVALID_ARGUMENT'), 'good'],
    ['fcm', config('PERMISSION_DENIED'), 'bad', /API/],
    ['fcm', config('NOT_FOUND'), 'bad', /project/],
    ['fcm', gone('token endpoint answered 400'), 'bad', /service account/],
    ['fcm', gone('token endpoint answered 503'), 'unknown'],
    ['webhook', { is: 'accepted', id: '' }, 'good'],
    ['webhook', config('status 401'), 'bad', /secret/],
    ['webhook', dead('status 404'), 'bad', /ping/],
    ['webhook', gone('ECONNREFUSED'), 'unknown'],
    ['webhook', { is: 'cancelled' }, 'unknown'],
  ];
  for (const [service, outcome, is, fix] of table) {
    it(`${service} ${JSON.stringify(outcome)}: ${is}`, () => {
      const checked = verdictOfCheck(service, outcome);
      expect(checked.is).toBe(is);
      if (fix !== undefined) expect(checked).toMatchObject({ fix: expect.stringMatching(fix) });
    });
  }
});
