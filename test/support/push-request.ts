/** Builders for push requests and APNs apps: say only what matters to a test. */
import { randomBytes } from 'node:crypto';
import type { ApnsLab } from '../../apps/push-lab/apns-lab.ts';
import type { ApnsApp } from '../../lib/adapters/apns/apns-push-service.ts';
import type { PushRequest } from '../../lib/ports/push-service.ts';

export const aToken = (start = ''): string => start + randomBytes(32).toString('hex').slice(start.length);

export function aCall(what: Partial<PushRequest> = {}): PushRequest {
  return {
    app: 'phone',
    class: 'call',
    environment: 'production',
    param: 'LABTEAM001.org.example.phone.voip',
    tokens: [{ kind: 'voip', token: aToken() }],
    instanceId: 'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
    callId: `${randomBytes(8).toString('hex')}@pbx.example.org`,
    from: { uri: 'sip:bob@example.org', display: 'Bob' },
    to: 'sip:alice@example.org',
    hasVideo: false,
    deadline: Date.now() + 5000,
    wakeUntil: Date.now() + 15_000,
    ...what,
  };
}

export function anApp(lab: ApnsLab, what: Partial<ApnsApp> = {}): ApnsApp {
  return {
    name: 'phone',
    ...lab.credentials,
    endpoint: { production: lab.endpoint },
    ca: lab.ca,
    profile: 'generic',
    privacy: 'full',
    callExpiration: 'window',
    ...what,
  };
}

export const noSignal: AbortSignal = new AbortController().signal;
