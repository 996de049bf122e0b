/** An edge that knows it is the last one that could push (RFC 8599 8.1): 555 for push services it has not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anOffer, Bed } from '../support/test-bed.ts';

describe('an edge that refuses unknown push services', () => {
  let strict: Bed;
  beforeAll(async () => {
    strict = await Bed.open({ config: { registration: { min_expires: 300, unsupported_push: 'reject' } } });
  });
  afterAll(() => strict.close());

  it('[PN-REG-05] [PN-555-02] [PN-555-05] answers 555 with its own phrase and changes no binding', async () => {
    const phone = await strict.sleeper('alice');
    const apns = phone.push;
    phone.push = { provider: 'acme', param: 'x', prid: 'unknown-service-token' };
    const answer = await phone.register();
    expect([answer.status, answer.reason]).toEqual([555, 'Push Notification Service Not Supported']);
    await phone.sleep();
    phone.push = apns;
    const call = strict.pbx.call('alice', { body: anOffer() });
    await strict.nextPush(phone);
    call.cancel();
    await call.answer();
  });
});
