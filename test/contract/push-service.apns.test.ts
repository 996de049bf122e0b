import { afterEach, describe, expect, it } from 'vitest';
import { type ApnsLab, type ApnsLabOptions, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { type ApnsConfig, type ApnsService, openApns } from '../../lib/adapters/apns/apns-push-service.ts';
import { aCall, anApp, noSignal } from '../support/push-request.ts';

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function aPair(
  options: ApnsLabOptions = {},
  config: Partial<ApnsConfig> = {},
): Promise<{ lab: ApnsLab; apns: ApnsService }> {
  const lab = await startApnsLab(options);
  open.push(() => lab.close());
  const apns = openApns({ apps: [anApp(lab)], ...config });
  open.push(() => apns.close());
  return { lab, apns };
}

describe('APNs push service', () => {
  it('delivers a call as a VoIP push that the stand-in finds correct', async () => {
    const { lab, apns } = await aPair();
    const call = aCall();
    const outcome = await apns.push(call, noSignal);
    expect(outcome).toEqual({ is: 'accepted', id: lab.pushes()[0]?.id });
    expect(lab.pushes()).toMatchObject([
      {
        token: call.tokens[0]?.token,
        topic: 'org.example.phone.voip',
        pushType: 'voip',
        priority: 10,
        payload: { aps: {}, 'call-id': call.callId },
      },
    ]);
  });
});
