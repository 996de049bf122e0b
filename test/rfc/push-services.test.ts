/** FCM, Web Push and a private service through the running edge: what phones are told, and what reaches the service (RFC 8599 10 to 12). */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone, PushIdentity } from '../../apps/demo/phone.ts';
import type { HttpPush } from '../../apps/push-lab/http-check.ts';
import { type HttpLab, startHttpLab } from '../../apps/push-lab/http-lab.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain } from '../support/test-bed.ts';

let lab: HttpLab;
let bed: Bed;
let folder: string;
const registration = `fPq3-x9_kLm:${'APA91b'.repeat(20)}`;

beforeAll(async () => {
  lab = await startHttpLab();
  folder = mkdtempSync(join(tmpdir(), 'reveille-push-'));
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  writeFileSync(join(folder, 'vapid.pem'), key);
  writeFileSync(join(folder, 'account.json'), lab.serviceAccount);
  const account = JSON.parse(lab.serviceAccount) as { readonly private_key: string };
  writeFileSync(join(folder, 'ca.pem'), lab.ca);
  const ca = join(folder, 'ca.pem');
  bed = await Bed.open({
    config: {
      push: {
        apps: [
          {
            name: 'android',
            provider: 'fcm',
            match: ['lab-project', '929724111839'],
            service_account_file: join(folder, 'account.json'),
            endpoint: lab.endpoint,
            ca_file: ca,
          },
        ],
        webpush: {
          vapid_key_file: join(folder, 'vapid.pem'),
          subject: 'mailto:ops@example.com',
          allow_hosts: ['127.0.0.1'],
          allow_ports: [Number(new URL(lab.endpoint).port)],
          allow_private: true,
          ca_file: ca,
        },
        webhooks: [
          { name: 'acme', provider: 'acme', url: `${lab.endpoint}/hook`, secret: lab.webhookSecret, ca_file: ca },
        ],
      },
    },
  });
  bed.secrets.set(registration, 'the registration token').set(lab.webhookSecret, 'the webhook secret');
  bed.secrets.set(lineOf(String(key)), 'the VAPID key').set(lineOf(account.private_key), 'the key of the account');
});
afterAll(async () => {
  await bed.close();
  await lab.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A line from the middle of a PEM text. */
const lineOf = (pem: string): string => pem.split('\n')[1] ?? '';
const aPhone = (user: string, push: PushIdentity): Phone => bed.phone(user, { domain: homeDomain, push });
/** As a URI parameter (PN-PARAM-06). */
const asText = (url: string): string => url.replace(/[=?@,;%#]/g, encodeURIComponent);

function nextPush(service: HttpPush['service']): Promise<HttpPush> {
  return new Promise((resolve) => {
    const stop = lab.onPush((push) => {
      if (push.service !== service) return;
      stop();
      resolve(push);
    });
  });
}

/** The whole story: registered, asleep, called, pushed, awake, answered. */
async function wokenBy(phone: Phone, user: string, service: HttpPush['service']): Promise<HttpPush> {
  await phone.sleep();
  const pushed = nextPush(service);
  const call = bed.pbx.dial(`sip:${user}@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
  const push = await pushed;
  await phone.wake();
  const incoming = await phone.nextCall();
  incoming.answer(sessionDescription(places.phones, 41_000));
  expect((await call.answer()).status).toBe(200);
  await call.dialog?.bye();
  expect(phone.invites).toHaveLength(1);
  await phone.register({ contact: '*', expires: 0 });
  return push;
}

describe('FCM', () => {
  it.each([
    ['the project id', 'lab-project'],
    ['the project number', '929724111839'],
  ])(
    '[PN-FCM-01] [PN-FCM-02] [PN-FCM-03] wakes a phone that names %s by a data message of high priority',
    async (_, param) => {
      const phone = aPhone('anna', { provider: 'fcm', param, prid: registration });
      expect((await phone.register()).headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="fcm"']);
      const push = await wokenBy(phone, 'anna', 'fcm');
      expect(push.token).toBe(registration);
      expect(push.content).toMatchObject({ android: { priority: 'HIGH' } });
      const ttl = Number.parseInt(String((push.content['android'] as { ttl: string }).ttl), 10);
      expect(ttl).toBeLessThanOrEqual(5);
    },
  );
});

describe('Web Push', () => {
  it('[PN-WP-01] [PN-WP-04] [PN-WP-05] wakes a browser at its subscription, signed with the key that the 2xx announced', async () => {
    const url = `${lab.subscription()}?k=v`;
    const phone = aPhone('bert', { provider: 'webpush', param: 'stray', prid: asText(url) });
    const answer = await phone.register();
    const [line] = answer.headers.lines('Feature-Caps');
    const vapid = /^\*;\+sip\.pns="webpush";\+sip\.vapid="(B[\w-]{86})"$/.exec(line ?? '')?.[1];
    expect(vapid).toBeDefined();
    const push = await wokenBy(phone, 'bert', 'webpush');
    expect(url.endsWith(push.token)).toBe(true);
    expect(push.headers['authorization']).toContain(`k=${vapid}`);
    expect(Number(push.headers['ttl'])).toBeLessThanOrEqual(5);
    expect(push.headers['content-length']).toBe('0');
  });

  it('[PN-REG-11] [PN-REG-12] sip.vapid stands with webpush and with nothing else', async () => {
    const android = aPhone('carl', { provider: 'fcm', param: 'lab-project', prid: registration });
    expect((await android.register()).headers.get('Feature-Caps')).not.toContain('vapid');
    await android.register({ contact: '*', expires: 0 });
    const browser = aPhone('carl', { provider: 'webpush', param: 'x', prid: asText(lab.subscription()) });
    expect((await browser.register()).headers.get('Feature-Caps')).toContain('+sip.vapid=');
    await browser.register({ contact: '*', expires: 0 });
  });

  it('[PN-SEC-10] a push resource that leads inside is registered without a promise to push', async () => {
    for (const url of ['https://169.254.169.254/x', 'http://127.0.0.1/x', 'https://evil.example.net/x']) {
      const phone = aPhone('dora', { provider: 'webpush', param: 'x', prid: asText(url) });
      const answer = await phone.register();
      expect(answer.status).toBe(200);
      expect(answer.headers.has('Feature-Caps'), url).toBe(false);
      await phone.register({ contact: '*', expires: 0 });
    }
  });
});

describe('a service of our own', () => {
  it('[PN-PARAM-11] is woken by webhook and announced like any other', async () => {
    const phone = aPhone('emil', { provider: 'acme', param: 'tenant-7', prid: 'device-7-of-emil' });
    expect((await phone.register()).headers.lines('Feature-Caps')).toEqual(['*;+sip.pns="acme"']);
    const push = await wokenBy(phone, 'emil', 'webhook');
    expect(push.content).toMatchObject({
      token: 'device-7-of-emil',
      param: 'tenant-7',
      provider: 'acme',
      type: 'call',
    });
  });
});

describe('a query', () => {
  it('[PN-QRY-06] [PN-QRY-07] [PN-QRY-08] [PN-FC-01] [PN-FC-02] [PN-FC-03] for all types gets one line for each, the key beside webpush', async () => {
    const phone = bed.phone('frieda', { domain: homeDomain, plain: true });
    await phone.open();
    const answer = await phone.register({ contact: `<${phone.ua.uri('frieda')};pn-provider>` });
    const lines = answer.headers.lines('Feature-Caps');
    expect(lines.map((line) => /\+sip\.pns="(\w+)"/.exec(line)?.[1] ?? '').sort()).toEqual(['acme', 'fcm', 'webpush']);
    expect(lines.filter((line) => line.includes('sip.vapid'))).toEqual([expect.stringContaining('sip.pns="webpush"')]);
    for (const line of lines) expect(line).toMatch(/^\*;\+sip\.pns="[^"]+"(?:;\+sip\.vapid="[^"]+")?$/);
    await phone.register({ contact: '*', expires: 0 });
  });

  it('[PN-QRY-08] for webpush alone gets the key before there is a subscription', async () => {
    const phone = bed.phone('frieda', { domain: homeDomain, plain: true });
    await phone.open();
    const answer = await phone.register({ contact: `<${phone.ua.uri('frieda')};pn-provider=webpush>` });
    expect(answer.headers.lines('Feature-Caps')).toEqual([
      expect.stringMatching(/^\*;\+sip\.pns="webpush";\+sip\.vapid="B/),
    ]);
    await phone.register({ contact: '*', expires: 0 });
  });
});

describe('a service in trouble', () => {
  it.each([
    ['fcm', 'lab-project', `fPq3-x9_kLm:${'APA91c'.repeat(20)}`],
    ['webpush', 'x', ''],
    ['acme', 'tenant-7', 'device-8-of-carl'],
  ])(
    '[PN-SEC-11] %s: no token and no key reaches a log line or a metric, whatever goes wrong',
    async (provider, param, text) => {
      const prid = text === '' ? asText(lab.subscription()) : text;
      const phone = aPhone('carl', { provider, param, prid });
      bed.secrets.set(prid, `the token of ${provider}`).set(decodeURIComponent(prid), `the URL of ${provider}`);
      expect((await phone.register()).status).toBe(200);
      await phone.sleep();
      for (const fault of [
        { do: 'answer', status: 500, html: true },
        { do: 'answer', status: 400, reason: `INVALID ${decodeURIComponent(prid)}` },
        { do: 'answer', status: 401, reason: 'UNAUTHENTICATED' },
        { do: 'drop', when: 'before' },
        { do: 'hang' },
        { do: 'answer', status: 410, reason: 'UNREGISTERED' },
      ] as const) {
        lab.rules.add({ fault });
        const call = bed.pbx.dial(`sip:carl@${homeDomain}`, { body: anOffer(), remote: bed.edge.at('udp') });
        expect((await call.answer(9000)).status, JSON.stringify(fault)).toBe(480);
        lab.rules.clear();
      }
      await phone.register({ contact: '*', expires: 0 });
      expect(await bed.leaks()).toEqual([]);
    },
    60_000,
  );
});
