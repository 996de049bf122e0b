/** Requests other than INVITE for phones that sleep, outside dialogs (RFC 8599 5.6.2), against the running edge. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import { onDrachtio } from '../support/edge.ts';
import { fromPbx, fromTrunk } from '../support/requests.ts';
import { Bed, homeDomain } from '../support/test-bed.ts';

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ config: { wake: { request_hold_seconds: 4, silent_flow_ms: 500 } } });
});
afterAll(() => bed.close());

const text = { headers: [['Content-Type', 'text/plain']], body: 'hello' } as const;
const sleeper = (user: string): Promise<Phone> => bed.sleeper(user, { alerts: true });

describe('held until the phone is there', () => {
  test.each(['MESSAGE', 'NOTIFY', 'INFO', 'PUBLISH', 'OPTIONS'])(
    '[PN-PROXY-02] a %s for a phone that sleeps is held, pushed, and sent once over the flow of the REGISTER',
    async (method) => {
      const phone = await sleeper(`held-${method.toLowerCase()}`);
      const asked = fromPbx(bed, method, phone.options.user, {
        headers: [...text.headers, ['X-App', 'a, b']],
        body: 'hello',
      });
      const push = await bed.nextPush(phone);
      expect(phone.seen('in', method)).toHaveLength(0);
      await phone.wake();
      const arrived = await phone.ua.next(method);
      expect([arrived.request.body, arrived.request.headers.get('X-App')]).toEqual(['hello', 'a, b']);
      expect(arrived.request.uri).not.toContain('pn-');
      arrived.respond(200, { reason: 'Read' });
      expect(await asked.answer()).toMatchObject({ status: 200, reason: 'Read' });
      expect([bed.pushesFor(phone).length, phone.seen('in', method).length]).toEqual([1, 1]);
      expect(push.pushType).toBe(method === 'MESSAGE' ? 'alert' : 'background');
    },
  );

  test('[PN-PROXY-05] a woken phone answers from another port, and its answer is the sender’s', async () => {
    const phone = await sleeper('moved');
    bed.wakesOnPush(phone);
    const asked = fromPbx(bed, 'MESSAGE', 'moved', text);
    await pause(200);
    const arrived = await phone.ua.next('MESSAGE');
    arrived.respond(415);
    expect((await asked.answer()).status).toBe(415);
  });

  test('[PN-PROXY-22] one REGISTER releases every request that waits for the phone', async () => {
    const phone = await sleeper('several');
    const asked = ['MESSAGE', 'INFO', 'MESSAGE'].map((method) => fromPbx(bed, method, 'several', text));
    await bed.nextPush(phone);
    await phone.wake();
    for (const method of ['MESSAGE', 'INFO', 'MESSAGE']) (await phone.ua.next(method)).respond(200);
    for (const one of asked) expect((await one.answer()).status).toBe(200);
  });

  test('[PN-PROXY-30] a phone that is awake gets it at once, without a push', async () => {
    const phone = bed.phone('awake', { alerts: true, transport: 'tcp' });
    await phone.register();
    const asked = fromPbx(bed, 'MESSAGE', 'awake', text);
    (await phone.ua.next('MESSAGE')).respond(200);
    expect((await asked.answer()).status).toBe(200);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });
});

describe.concurrent('the end of the wait', () => {
  test('[PN-PROXY-13] [PN-PROXY-16] [EDGE-NIT-02] [EDGE-NIT-03] 100 after 3.5 s, 480 when the hold ends, nothing later', async ({
    expect,
  }) => {
    const phone = await sleeper('never');
    const asked = fromPbx(bed, 'MESSAGE', 'never', text);
    const sentAt = performance.now();
    if (!onDrachtio) {
      await asked.provisional(100);
      const after = performance.now() - sentAt;
      expect(after).toBeGreaterThanOrEqual(3490);
      expect(after).toBeLessThan(4500);
    }
    expect((await asked.answer()).status).toBe(480);
    expect(performance.now() - sentAt).toBeGreaterThan(3900);
    expect(performance.now() - sentAt).toBeLessThan(7000);
    expect(asked.responses.map(({ status }) => status).filter((status) => status > 100)).toEqual([480]);
    await phone.wake();
    await pause(300);
    expect(phone.seen('in', 'MESSAGE')).toHaveLength(0);
  });

  test('[PN-PROXY-11] a push that is refused for good is 480 at once', async ({ expect }) => {
    const phone = await sleeper('refused');
    bed.lab.rules.add({
      token: phone.push?.prid ?? '',
      fault: { do: 'answer', status: 410, reason: 'Unregistered', timestamp: Date.now() + 60_000 },
    });
    const sentAt = performance.now();
    expect((await fromPbx(bed, 'MESSAGE', 'refused', text).answer()).status).toBe(480);
    expect(performance.now() - sentAt).toBeLessThan(2000);
  });

  test('[EDGE-NIT-04] a plain phone that gives no answer is 480, never 408', async ({ expect }) => {
    const phone = bed.phone('mute', { plain: true });
    await phone.register();
    const asked = fromPbx(bed, 'INFO', 'mute', text);
    await phone.ua.next('INFO');
    expect((await asked.answer()).status).toBe(480);
  });

  test('[PN-DEREG-07] a phone that unregisters meanwhile ends the wait with 480', async ({ expect }) => {
    const phone = await sleeper('leaves');
    const asked = fromPbx(bed, 'MESSAGE', 'leaves', text);
    await bed.nextPush(phone);
    await phone.register({ expires: 0 });
    expect((await asked.answer(3000)).status).toBe(480);
  });

  test('[PN-APNS-06] a phone that takes VoIP pushes only is never pushed for a MESSAGE: it gets it on its flow', async ({
    expect,
  }) => {
    const phone = bed.phone('voip-only');
    await phone.register();
    const asked = fromPbx(bed, 'MESSAGE', 'voip-only', text);
    (await phone.ua.next('MESSAGE')).respond(200);
    expect((await asked.answer()).status).toBe(200);
    await phone.sleep();
    expect((await fromPbx(bed, 'MESSAGE', 'voip-only', text).answer()).status).toBe(480);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });
});

describe('what is pushed', () => {
  test.each([
    ['what nobody has written', [['Content-Type', 'application/im-iscomposing+xml']]],
    [
      'what is not urgent',
      [
        ['Content-Type', 'text/plain'],
        ['Priority', 'non-urgent'],
      ],
    ],
  ] as const)('[PN-SEC-09] %s wakes nobody: 480 at once', async (what, headers) => {
    const phone = await sleeper(what.replaceAll(' ', '-'));
    expect((await fromPbx(bed, 'MESSAGE', phone.options.user, { headers, body: 'x' }).answer(3000)).status).toBe(480);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  test('[PN-PROXY-33] OPTIONS without a body is answered for the phone', async () => {
    const phone = await sleeper('pinged');
    expect((await bed.pbx.qualify('pinged')).status).toBe(200);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });
});

describe('several phones of one user', () => {
  test('[PN-PROXY-23] the one that is awake refuses, the one that sleeps is waited for and answers', async () => {
    const desk = bed.phone('anna', { domain: homeDomain, plain: true });
    await desk.register();
    const mobile = await bed.sleeper('anna', { domain: homeDomain, alerts: true });
    const asked = fromTrunk(bed, 'MESSAGE', 'anna', text);
    (await desk.ua.next('MESSAGE')).respond(486);
    await bed.nextPush(mobile);
    await mobile.wake();
    (await mobile.ua.next('MESSAGE')).respond(200);
    expect((await asked.answer()).status).toBe(200);
  });

  test('[PN-PROXY-24] the first 2xx is the answer, and who registers later gets nothing', async () => {
    const desk = bed.phone('bert', { domain: homeDomain, plain: true, algorithm: 'MD5' });
    await desk.register();
    const mobile = await bed.sleeper('bert', { domain: homeDomain, alerts: true, algorithm: 'MD5' });
    const asked = fromTrunk(bed, 'MESSAGE', 'bert', text);
    (await desk.ua.next('MESSAGE')).respond(200);
    expect((await asked.answer()).status).toBe(200);
    await mobile.wake();
    await pause(300);
    expect(mobile.seen('in', 'MESSAGE')).toHaveLength(0);
  });
});
