// Every provider through the one contract.
import { generateKeyPairSync } from 'node:crypto';
import { startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { makeAccountKey, startHttpLab } from '../../apps/push-lab/http-lab.ts';
import { openApns } from '../../lib/adapters/apns/apns-push-service.ts';
import { openFcm } from '../../lib/adapters/fcm/fcm-push-service.ts';
import { systemClock } from '../../lib/adapters/system/clock.ts';
import { openWebhooks } from '../../lib/adapters/webhook/webhook-push-service.ts';
import { openWebPush } from '../../lib/adapters/webpush/webpush-push-service.ts';
import { aCall, anApp } from '../support/push-request.ts';
import { pushServiceContract } from './push-service.ts';

/** To make one takes longer than most of these tests. */
const accountKey = makeAccountKey();

pushServiceContract('APNs', async () => {
  const lab = await startApnsLab();
  return {
    rules: lab.rules,
    endpoint: lab.endpoint,
    accepted: () => lab.stats().accepted,
    open: (endpoint = lab.endpoint, proxy) =>
      openApns({
        apps: [anApp(lab, { endpoint: { production: endpoint } })],
        ...(proxy === undefined ? {} : { proxy }),
      }),
    call: () => aCall(),
    gone: { do: 'answer', status: 410, reason: 'Unregistered', timestamp: 1_700_000_000_000 },
    tooMany: 'TooManyRequests',
    close: () => lab.close(),
  };
});

pushServiceContract('FCM', async () => {
  const lab = await startHttpLab({ accountKey });
  const account = JSON.parse(lab.serviceAccount) as Readonly<Record<string, string>>;
  return {
    rules: lab.rules,
    endpoint: lab.endpoint,
    accepted: () => lab.pushes().length,
    open: (endpoint = lab.endpoint, proxy) =>
      openFcm(
        [
          {
            name: 'android',
            profile: 'generic',
            privacy: 'full',
            endpoint,
            ca: lab.ca,
            account: {
              clientEmail: account['client_email'] ?? '',
              privateKey: account['private_key'] ?? '',
              projectId: account['project_id'] ?? '',
              tokenUri: account['token_uri'] ?? '',
            },
          },
        ],
        systemClock,
        {},
        proxy === undefined ? {} : { proxy },
      ),
    call: () => aCall({ app: 'android', tokens: [{ kind: 'fcm', token: `dQw4w9WgXcQ:${'A1b2_-'.repeat(20)}` }] }),
    gone: { do: 'answer', status: 404, reason: 'UNREGISTERED' },
    tooMany: 'QUOTA_EXCEEDED',
    // not those for access tokens
    topic: 'fcm',
    close: () => lab.close(),
  };
});

pushServiceContract('Web Push', async () => {
  const lab = await startHttpLab({ accountKey });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { hostname, port } = new URL(lab.endpoint);
  return {
    rules: lab.rules,
    endpoint: lab.endpoint,
    accepted: () => lab.pushes().length,
    open: (endpoint, proxy) =>
      openWebPush(
        {
          privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
          subject: 'mailto:ops@example.org',
          allowHosts: [hostname],
          allowPorts: [Number(port), Number(new URL(endpoint ?? lab.endpoint).port)],
          allowPrivate: true,
          ca: lab.ca,
          ...(proxy === undefined ? {} : { proxy }),
        },
        systemClock,
      ),
    call: (endpoint = lab.endpoint) => {
      const url = lab.subscription().replace(lab.endpoint, endpoint);
      return aCall({ app: 'webpush', param: undefined, tokens: [{ kind: 'webpush', token: url }] });
    },
    gone: { do: 'answer', status: 410 },
    tooMany: 'too many',
    close: () => lab.close(),
  };
});

pushServiceContract('webhook', async () => {
  const lab = await startHttpLab({ accountKey });
  return {
    rules: lab.rules,
    endpoint: lab.endpoint,
    accepted: () => lab.pushes().length,
    open: (endpoint = lab.endpoint, proxy) =>
      openWebhooks(
        [
          {
            name: 'acme',
            provider: 'acme',
            url: `${endpoint}/hook`,
            secret: lab.webhookSecret,
            privacy: 'full',
            ca: lab.ca,
          },
        ],
        systemClock,
        {},
        proxy,
      ),
    call: () => aCall({ app: 'acme', tokens: [{ kind: 'webhook', token: 'acme-phone-1' }] }),
    gone: { do: 'answer', status: 410 },
    tooMany: 'too many',
    close: () => lab.close(),
  };
});
