import { BlockList } from 'node:net';
import { describe, expect, it } from 'vitest';
import { classify, type Classifier, type KnownDomain } from '../../../apps/edge/middleware/classify.ts';
import { screen, screenAsRegistrar } from '../../../apps/edge/middleware/screen.ts';
import { appFinder } from '../../../apps/edge/push-apps.ts';
import { sealContact } from '../../../lib/core/contact-token.ts';
import type { Domain } from '../../../lib/core/domain.ts';
import type { ServerTransaction } from '../../../lib/ports/server-transaction.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { request } from '../../../lib/sip/message.ts';

const contactKey = Buffer.alloc(32, 7);

function aDomain(name: string, registration: Domain['registration'], pbx: string): KnownDomain {
  const trusted = new BlockList();
  trusted.addAddress(pbx);
  return {
    domain: {
      name,
      registration,
      withoutPath: 'accept',
      requirePath: true,
      pbxWithoutPath: 'refuse',
      serviceRoute: false,
      upstream: `sip:${pbx}:5060;transport=udp`,
      edgeHost: '192.0.2.1:5060;transport=udp',
      realm: name,
      algorithms: ['SHA-256', 'MD5'],
      users: new Map(),
    },
    trusted,
    proxies: undefined,
    isUpstream: (address, port) => address === pbx && port === 5060,
  };
}

const classifier: Classifier = {
  domains: [
    aDomain('example.com', 'mid-registrar', '192.0.2.10'),
    aDomain('reg.example.com', 'registrar', '192.0.2.20'),
  ],
  purrKey: Buffer.alloc(32, 8),
  contactKey,
  flowKey: Buffer.alloc(32, 8),
  targetKey: Buffer.alloc(32, 7),
  gruuKey: Buffer.alloc(32, 9),
};

function arrived(
  uri: string,
  from: string,
  options: { readonly method?: string; readonly fromUri?: string; readonly headers?: readonly [string, string][] } = {},
): ServerTransaction {
  const [address = '', port = '5060'] = from.split(':');
  return {
    request: request(
      options.method ?? 'INVITE',
      uri,
      Headers.of([
        ['From', `<${options.fromUri ?? 'sip:bob@example.com'}>;tag=1`],
        ['To', '<sip:alice@example.com>'],
        ...(options.headers ?? []),
      ]),
    ),
    flow: { transport: 'udp', address, port: Number(port), engine: 'e1' },
    receivedOn: undefined,
    respond: () => Promise.resolve('sent'),
  };
}

const sealed = `sip:${sealContact(contactKey, { aor: 'alice@example.com', bindingId: 'b1' })}@192.0.2.1:5060`;

describe('whom a request is for', () => {
  it('is the device whose Contact the PBX was given', () => {
    expect(classify(arrived(sealed, '192.0.2.10'), classifier)).toMatchObject({
      is: 'to-device',
      aor: 'alice@example.com',
      bindingId: 'b1',
    });
  });

  it('[PN-SEC-09] is nobody when the Contact comes from elsewhere than the PBX', () => {
    expect(classify(arrived(sealed, '198.51.100.66'), classifier)).toMatchObject({ is: 'refused', status: 403 });
    // the PBX of another domain is a stranger too
    expect(classify(arrived(sealed, '192.0.2.20'), classifier)).toMatchObject({ is: 'refused', status: 403 });
  });

  it('is the user of a domain whose registrar we are, also when the PBX calls the edge by its address', () => {
    expect(classify(arrived('sip:carol@reg.example.com', '192.0.2.20'), classifier)).toMatchObject({
      is: 'to-user',
      aor: 'carol@reg.example.com',
      trusted: true,
    });
    expect(classify(arrived('sip:carol@192.0.2.1:5060', '192.0.2.20'), classifier)).toMatchObject({
      is: 'to-user',
      aor: 'carol@reg.example.com',
      trusted: true,
    });
    expect(
      classify(
        arrived('sip:carol@reg.example.com', '198.51.100.7', { fromUri: 'sip:dan@reg.example.com' }),
        classifier,
      ),
    ).toMatchObject({ is: 'to-user', trusted: false });
  });

  it('is the PBX of the caller for everything else', () => {
    expect(classify(arrived('sip:1002@example.com', '198.51.100.7'), classifier)).toMatchObject({
      is: 'to-upstream',
      from: 'bob@example.com',
    });
  });

  it('never sends back to the PBX what it has just sent', () => {
    expect(classify(arrived('sip:gone@192.0.2.1', '192.0.2.10:5060'), classifier)).toMatchObject({
      is: 'refused',
      status: 404,
    });
  });

  it('is the edge itself without a user part; other schemes are refused', () => {
    expect(classify(arrived('sip:192.0.2.1', '192.0.2.10'), classifier)).toEqual({ is: 'to-edge' });
    expect(classify(arrived('tel:+4930123', '192.0.2.10'), classifier)).toMatchObject({ is: 'refused', status: 416 });
    expect(
      classify(arrived('sip:bob@elsewhere.net', '198.51.100.7', { fromUri: 'sip:x@elsewhere.net' }), classifier),
    ).toMatchObject({ is: 'refused', status: 404 });
  });
});

describe('checks before any work', () => {
  const answer = (headers: readonly [string, string][], method = 'INVITE') =>
    screen(arrived('sip:a@example.com', '192.0.2.10', { headers, method }));

  it('[PN-PROXY-26] refuses a request whose hops are used up', () => {
    expect(answer([['Max-Forwards', '0']])?.answer.status).toBe(483);
    expect(answer([['Max-Forwards', '0']], 'OPTIONS')).toBeUndefined();
    expect(answer([['Max-Forwards', '1']])).toBeUndefined();
  });

  it('[EDGE-PRX-01] refuses a request-URI that is none, or not ours to read', () => {
    const status = (uri: string) => screen(arrived(uri, '192.0.2.10', { method: 'REGISTER' }))?.answer.status;
    expect(status('sip:2001:db8::10')).toBe(400);
    expect(status('sip:user@example.com?Route=%3Csip:example.com%3E')).toBe(400);
    expect(status('soap.beep://192.0.2.103:3002')).toBe(416);
    expect(status('sip:[2001:db8::10]:5070')).toBeUndefined();
  });

  it('refuses a From that reads as two addresses', () => {
    const from = (value: string) => {
      const { request, ...rest } = arrived('sip:a@example.com', '192.0.2.10');
      return screen({ ...rest, request: { ...request, headers: request.headers.copy().set('From', value) } })?.answer
        .status;
    };
    expect(from('Bell, Alexander <sip:a.g.bell@example.com>;tag=43')).toBe(400);
    expect(from('"Bell, Alexander" <sip:a.g.bell@example.com>;tag=43')).toBeUndefined();
    expect(from('J\u00f6rg (home) <sip:a@example.com>;tag=43')).toBeUndefined();
  });

  it('[EDGE-REG-03] refuses what it does not understand, and names it', () => {
    const headers: readonly [string, string][] = [
      ['Require', 'path, foo'],
      ['Require', 'bar'],
    ];
    const refused = screenAsRegistrar(arrived('sip:example.com', '192.0.2.10', { headers, method: 'REGISTER' }));
    expect([refused?.answer.status, refused?.answer.headers?.get('Unsupported')]).toEqual([420, 'foo, bar']);
    expect(answer([['Proxy-Require', 'foo']])?.answer.status).toBe(420);
    // what the other end must understand is not for us to refuse
    expect(answer([['Require', 'foo']])).toBeUndefined();
  });
});

describe('the app that pushes a phone', () => {
  const find = appFinder([
    { name: 'ios', provider: 'apns', match: ['TEAM.com.example.phone'] },
    { name: 'other', provider: 'apns', match: ['TEAM.com.example.other.voip'] },
  ]);

  it.each([
    ['TEAM.com.example.phone.voip', 'ios'],
    ['TEAM.com.example.phone.voip&remote', 'ios'],
    ['TEAM.com.example.phone', 'ios'],
    ['TEAM.com.example.other.voip', 'other'],
    ['.com.example.phone.voip', 'ios'],
    ['TEAM.com.example.other', undefined],
    ['TEAM.com.example.phone.evil', undefined],
    ['OTHER.com.example.phone.voip', undefined],
  ])('of %s is %s', (param, app) => expect(find('apns', param, [])).toBe(app));

  it('is none of another service', () => expect(find('fcm', 'TEAM.com.example.phone.voip', [])).toBeUndefined());
});
