/** A binding as a typical iPhone client leaves it behind (Contact with push parameters, 64-hex VoIP token); say only what matters. */
import type { Binding } from '../../lib/core/binding.ts';

const token = '0123456789abcdef'.repeat(4);

export function aBinding(changes: Partial<Binding> = {}): Binding {
  const aor = changes.aor ?? 'alice@example.com';
  const user = aor.split('@')[0] ?? 'alice';
  return {
    id: '5f0c9d3ab7e14422a1c06e5d',
    aor,
    contact:
      `<sip:${user}@192.0.2.17:50612;transport=tcp;pn-provider=apns;pn-param=ABCDE12345.com.example.phone.voip;` +
      `pn-prid=${token}>;+sip.instance="<urn:uuid:6b1f2ba4-9f1b-4c5e-8d2c-1f6f4ee5a001>";reg-id=1;expires=3600`,
    target: `sip:${user}@192.0.2.17:50612;transport=tcp`,
    instanceId: 'urn:uuid:6b1f2ba4-9f1b-4c5e-8d2c-1f6f4ee5a001',
    regId: 1,
    q: 1000,
    callId: 'kX2vQ9wZ0aL7cN4bT1yR8e',
    cseq: 4711,
    flow: { transport: 'tcp', address: '192.0.2.17', port: 50612, engine: 'c0ffee00c0ffee00' },
    path: [],
    push: {
      provider: 'apns',
      providerAsSent: 'apns',
      environment: 'production',
      param: 'ABCDE12345.com.example.phone.voip',
      tokens: [{ kind: 'voip', token }],
      app: 'phone',
      wakesItself: false,
    },
    registeredAt: 1_790_000_000_000,
    expiresAt: 1_790_003_600_000,
    upstreamExpiresAt: 1_790_003_600_000,
    userAgent: 'ExamplePhone/7.1.4 (iOS 18.1)',
    ...changes,
  };
}
