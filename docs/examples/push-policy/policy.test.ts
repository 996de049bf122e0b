import { expect, it } from 'vitest';
import { rehearse } from '../../../lib/wake/rehearse.ts';
import policy from './policy.ts';

it('private phones sleep on when somebody from outside calls, and ring for colleagues', async () => {
  const facts = { app: 'private-phones', provider: 'fcm', from: { uri: 'sip:+4930123@carrier.example', display: undefined } };
  expect((await rehearse(policy, { name: 'outside', facts })).pushes).toEqual([]);
  const colleague = { ...facts, from: { uri: 'sip:bob@example.com', display: 'Bob' } };
  expect((await rehearse(policy, { name: 'inside', facts: colleague, registersAt: 2000 })).pushes).toMatchObject([{ at: 0, kind: 'fcm' }]);
});

it('the alarm line pushes beside the INVITE, and once more after 3 s', async () => {
  const facts = { from: { uri: 'sip:alarm@example.com', display: 'Alarm' } };
  const { rules, pushes, trouble } = await rehearse(policy, { name: 'alarm', facts });
  expect(trouble).toBeUndefined();
  expect(rules.flow).toBe('parallel');
  expect(pushes).toMatchObject([{ at: 0, kind: 'voip' }, { at: 3050, kind: 'voip', repeat: 1 }]);
});

it('an old build that keeps silent gets alerts', async () => {
  const phone = { bindingId: 'b', instanceId: undefined, userAgent: 'OldPhone/1.4', registeredAt: 0, expiresAt: 1, hasFlow: false };
  expect((await rehearse(policy, { name: 'old', facts: { phone, unansweredVoip: 3 } })).pushes[0]?.kind).toBe('alert');
  expect((await rehearse(policy, { name: 'old', facts: { phone, unansweredVoip: 2 } })).pushes[0]?.kind).toBe('voip');
});
