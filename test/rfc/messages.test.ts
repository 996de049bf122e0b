/** MESSAGE store and forward (RFC 3428 7, AMB-20) against the running edge. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { fromPbx, fromTrunk } from '../support/requests.ts';
import { Bed, homeDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({
    config: {
      wake: { request_hold_seconds: 4, silent_flow_ms: 500 },
      messages: { store: true, lifetime_hours: 1, max_per_user: 3, max_octets: 2000 },
    },
  });
});
afterAll(() => bed.close());

const say = (body: string, more: readonly (readonly [string, string])[] = []) => ({
  headers: [['Content-Type', 'text/plain'], ...more] as const,
  body,
});
const counted = (outcome: string) => bed.metric(`reveille_messages_total{outcome="${outcome}"}`);
/** What has become of the messages that were kept for a phone. */
const fates = ({ options: { user, domain } }: Phone) =>
  bed.edge.process.logs
    .filter(({ msg, aor }) => msg === 'stored message' && aor === `${user}@${domain}`)
    .map(({ outcome }) => outcome);
const soon = { timeout: 3000 };

// side by side: what takes the time is the end of a hold
describe.concurrent('a message for a phone that sleeps', () => {
  test('[PN-PROXY-13] a phone that does not come in time gets its messages, in order, after its REGISTER; their senders 202', async ({
    expect,
  }) => {
    const phone = await bed.sleeper('late', { alerts: true });
    const first = fromPbx(bed, 'MESSAGE', 'late', say('one'));
    expect((await first.answer()).status).toBe(202);
    // those behind do not wait, and do not overtake
    for (const text of ['two', 'three'])
      expect((await fromPbx(bed, 'MESSAGE', 'late', say(text)).answer(3000)).status).toBe(202);
    expect((await fromPbx(bed, 'MESSAGE', 'late', say('four')).answer(3000)).status).toBe(480);
    await phone.wake();
    for (const text of ['one', 'two', 'three']) {
      const arrived = await phone.ua.next('MESSAGE');
      expect([arrived.request.body, arrived.request.headers.has('Date')]).toEqual([text, true]);
      arrived.respond(200);
    }
    await expect.poll(() => fates(phone), soon).toEqual(['delivered', 'delivered', 'delivered']);
    await phone.wake();
    await pause(300);
    expect(phone.seen('in', 'MESSAGE')).toHaveLength(3);
    const direct = fromPbx(bed, 'MESSAGE', 'late', say('five'));
    bed.wakesOnPush(phone);
    await expect.poll(() => phone.seen('in', 'MESSAGE').length, { timeout: 5000 }).toBe(4);
    (await phone.ua.next('MESSAGE')).respond(200);
    expect((await direct.answer()).status).toBe(200);
  });

  test('[PN-SEC-11] what people write stands in no log line, whatever becomes of it', async ({ expect }) => {
    const text = 'nobody else is to read this';
    bed.secrets.set(text, 'the body of a message');
    const phone = await bed.sleeper('private', { alerts: true });
    expect((await fromPbx(bed, 'MESSAGE', 'private', say(text)).answer()).status).toBe(202);
    await phone.wake();
    (await phone.ua.next('MESSAGE')).respond(400);
    await expect.poll(() => fates(phone), soon).toEqual(['refused']);
    expect(await bed.leaks()).toEqual([]);
  });

  test('what fails is delivered at the next REGISTER; what the phone refuses is not', async ({ expect }) => {
    const phone = await bed.sleeper('anna', { alerts: true, domain: homeDomain });
    for (const text of ['one', 'two'])
      expect((await fromTrunk(bed, 'MESSAGE', 'anna', say(text)).answer()).status).toBe(202);
    await phone.wake();
    (await phone.ua.next('MESSAGE')).respond(503);
    await expect.poll(() => counted('retried'), soon).toBeGreaterThan(0);
    await phone.wake();
    const again = await phone.ua.next('MESSAGE');
    expect(again.request.body).toBe('one');
    again.respond(415);
    const second = await phone.ua.next('MESSAGE');
    expect(second.request.body).toBe('two');
    second.respond(200);
    await expect.poll(() => fates(phone), soon).toEqual(['refused', 'delivered']);
  });

  test('Expires bounds the life of a message, Expires: 0 is for now or never, and long ones are not taken', async ({
    expect,
  }) => {
    const phone = await bed.sleeper('brief', { alerts: true });
    const asked = [say('now', [['Expires', '0']]), say('x'.repeat(2001)), say('soon', [['Expires', '1']])].map((said) =>
      fromPbx(bed, 'MESSAGE', 'brief', said).answer(),
    );
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([480, 480, 202]);
    await pause(1100);
    await phone.wake();
    await expect.poll(() => fates(phone), soon).toEqual(['expired']);
    expect(phone.seen('in', 'MESSAGE')).toHaveLength(0);
  });

  test('[PN-INT-03] a phone with Outbound, whom the PBX knows by its instance, gets what was kept; what it will never take keeps nothing back', async ({
    expect,
  }) => {
    const phone = bed.phone('outbound', { alerts: true });
    const register = async () =>
      phone.register({
        contact: phone.contact(await phone.open(), ';reg-id=1'),
        headers: Headers.of([['Supported', 'outbound']]),
      });
    expect((await register()).status).toBe(200);
    await phone.sleep();
    for (const text of ['one', 'two'])
      expect((await fromPbx(bed, 'MESSAGE', 'outbound', say(text)).answer()).status).toBe(202);
    expect((await register()).status).toBe(200);
    const first = await phone.ua.next('MESSAGE');
    expect(first.request.body).toBe('one');
    first.respond(501);
    const second = await phone.ua.next('MESSAGE');
    expect(second.request.body).toBe('two');
    second.respond(200);
  });
});

test('every message is counted by what became of it', async () => {
  const outcomes = ['delivered', 'refused', 'expired'];
  expect(await Promise.all(outcomes.map(counted))).toEqual([5, 3, 1]);
});
