/** Phones of a real size and as random as real ones: three of five with a VoIP and a remote token of APNs, the others with one of FCM. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Binding, PushToken } from '../../lib/core/binding.ts';

/** Octets in Base64 of an FCM registration token: 160 characters and a few. */
const fcmOctets = 120;

export function aorOf(n: number): string {
  return `+4930${String(n).padStart(8, '0')}@example.com`;
}

/** The n-th phone, registered `now` for `seconds` (ms since the epoch; as the PBX granted it too). */
export function phoneAt(n: number, now: number, seconds: number): Binding {
  const aor = aorOf(n);
  const [user] = aor.split('@');
  const isApple = n % 5 < 3;
  const tokens: readonly PushToken[] = isApple
    ? [
        { kind: 'voip', token: randomBytes(32).toString('hex') },
        { kind: 'alert', token: randomBytes(32).toString('hex') },
      ]
    : [{ kind: 'fcm', token: fcmToken() }];
  const param = isApple ? 'ABCDE12345.com.example.phone.voip&remote' : 'example-phone-1a2b3';
  const prid = isApple ? `${tokens[0]?.token}:voip&${tokens[1]?.token}:remote` : (tokens[0]?.token ?? '');
  const provider = isApple ? 'apns' : 'fcm';
  const address = `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
  const port = 20_000 + (n % 40_000);
  const target = `sip:${user}@${address}:${port};transport=tls`;
  const instanceId = `urn:uuid:${randomUUID()}`;
  return {
    id: randomBytes(12).toString('hex'),
    aor,
    contact:
      `<${target};pn-provider=${provider};pn-param=${param};pn-prid=${prid}>` +
      `;+sip.instance="<${instanceId}>";reg-id=1;expires=${seconds}`,
    target,
    instanceId,
    regId: 1,
    q: 1000,
    callId: randomBytes(11).toString('base64url'),
    cseq: 20 + (n % 1000),
    flow: { transport: 'tls', address, port, engine: 'c0ffee00' },
    path: [],
    push: {
      provider,
      providerAsSent: provider,
      environment: 'production',
      param,
      tokens,
      app: isApple ? 'phone-ios' : 'phone-android',
      wakesItself: false,
    },
    registeredAt: now,
    expiresAt: now + seconds * 1000,
    upstreamExpiresAt: now + seconds * 1000,
    userAgent: isApple ? 'ExamplePhone/7.1.4 (iOS 18.1; iPhone15,2)' : 'ExamplePhone/7.1.4 (Android 15; Pixel 8)',
  };
}

function fcmToken(): string {
  return `${randomBytes(16).toString('base64url')}:APA91b${randomBytes(fcmOctets - 18).toString('base64url')}`;
}
