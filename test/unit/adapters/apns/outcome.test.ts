import { Errors } from 'apns2';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge, verdicts } from '../../../../lib/adapters/apns/outcome.ts';
import { retryAfterMs } from '../../../../lib/delivery/verdict.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const answer = (status: number, body: unknown, headers: Record<string, string> = {}) => ({
  status,
  headers,
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

describe('APNs answers', () => {
  it('has a verdict for every reason apns2 knows, but its two made-up ones', () => {
    const missing = Object.values(Errors).filter((reason) => !(reason in verdicts));
    expect(missing).toEqual(['Error', 'UnknownError']);
  });

  it.each([
    [200, '', 'accepted', 'accepted'],
    [400, { reason: 'BadDeviceToken' }, 'suspect', 'BadDeviceToken'],
    [400, { reason: 'DeviceTokenNotForTopic' }, 'config', 'DeviceTokenNotForTopic'],
    [400, { reason: 'IdleTimeout' }, 'transient', 'IdleTimeout'],
    [403, { reason: 'ExpiredProviderToken' }, 'renew-token', 'ExpiredProviderToken'],
    [403, { reason: 'InvalidProviderToken' }, 'credential', 'InvalidProviderToken'],
    [403, { reason: 'UnrelatedKeyIdInToken' }, 'other-session', 'UnrelatedKeyIdInToken'],
    [404, { reason: 'BadPath' }, 'config', 'BadPath'],
    [410, { reason: 'ExpiredToken' }, 'dead', 'ExpiredToken'],
    [413, { reason: 'PayloadTooLarge' }, 'shrink', 'PayloadTooLarge'],
    [429, { reason: 'TooManyRequests' }, 'throttled', 'TooManyRequests'],
    [429, { reason: 'TooManyProviderTokenUpdates' }, 'older-token', 'TooManyProviderTokenUpdates'],
    [500, { reason: 'InternalServerError' }, 'transient', 'InternalServerError'],
    [503, { reason: 'Shutdown' }, 'transient', 'Shutdown'],
    [502, '<html>Bad Gateway</html>', 'transient', 'status 502'],
    [410, '{"reason":"Unreg', 'dead', 'status 410'],
    [429, '', 'throttled', 'status 429'],
    [418, { reason: 'ANewReason' }, 'config', 'status 418'],
    [503, 'null', 'transient', 'status 503'],
    [400, { reason: 'constructor' }, 'config', 'status 400'],
  ])('%i %j: %s', (status, body, verdict, reason) => {
    expect(judge(answer(status, body), now)).toEqual({ verdict, reason });
  });

  it('keeps the time of death and the wait', () => {
    expect(judge(answer(410, { reason: 'Unregistered', timestamp: 5 }), now)).toMatchObject({ since: 5 });
    expect(judge(answer(503, {}, { 'retry-after': '3' }), now)).toMatchObject({ retryAfterMs: 3000 });
  });

  it('reads Retry-After as seconds or a date, and nothing else', () => {
    expect(retryAfterMs('0', now)).toBe(0);
    expect(retryAfterMs('Thu, 01 Jan 2026 00:00:07 GMT', now)).toBe(7000);
    expect(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
    expect(retryAfterMs('soon', now)).toBeUndefined();
    expect(retryAfterMs(undefined, now)).toBeUndefined();
  });

  it('never throws and never repeats what a foreign body says', () => {
    fc.assert(
      fc.property(fc.integer({ min: 201, max: 599 }), fc.oneof(fc.string(), fc.json()), (status, body) => {
        const { reason } = judge(answer(status, body), now);
        expect(Object.hasOwn(verdicts, reason) || reason === `status ${status}`).toBe(true);
      }),
    );
  });
});
