/**
 * The decision table of REGISTER (requirements, section 1), row by row and mode by mode, asked of a running edge with a domain of each
 * mode: what the phone is told, what the PBX sees, and whether a call pushes. The rules alone are in pn-reg-decision.test.ts.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OutgoingCall } from '../../apps/demo/calls.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { type Mode, modeOf, modes, type Registration } from '../../lib/core/modes.ts';
import { indicatedInAnswer, indicatedUpstream } from '../../lib/core/indicators.ts';
import type { RegisterDecision } from '../../lib/core/register-decision.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain, pathDomain, pbxDomain } from '../support/test-bed.ts';

const byMode = [
  ['P', 'path', pathDomain],
  ['M', 'mid-registrar', pbxDomain],
  ['R', 'registrar', homeDomain],
] as const;

let bed: Bed;
/** 555 for what nobody here can push */
let strict: Bed;
beforeAll(async () => {
  bed = await Bed.open({ domain: { proxies: [places.stranger] } });
  strict = await Bed.open({ beside: bed, config: { registration: { min_expires: 300, unsupported_push: 'reject' } } });
});
afterAll(async () => {
  await strict.close();
  await bed.close();
});

/** A row: what stands in the Contact, and what comes of it. */
interface Row {
  readonly row: string;
  readonly id: string;
  /** `{apns}` is the whole of the phone's own push parameters */
  readonly params: string;
  readonly expires?: number;
  readonly after?: string;
  /** sip.pns of a proxy nearer to the phone */
  readonly nearer?: string;
  /** the PBX grants no more than so many seconds; in mode R nobody does */
  readonly granted?: number;
  readonly status?: number;
  readonly strict?: number;
  readonly answer: readonly string[];
  /** at the PBX, mode P */
  readonly upstream?: readonly string[];
  readonly push: 'on' | 'off' | 'gone' | 'as it was';
}

const apns = '*;+sip.pns="apns"';
const rows: readonly Row[] = [
  { row: '1', id: 'PN-REG-02', params: '', answer: [], push: 'off' },
  { row: '2', id: 'PN-REG-08] [PN-REG-10', params: '{apns}', answer: [apns], upstream: [apns], push: 'on' },
  {
    row: '2, a phone that wakes itself',
    id: 'PN-REG-13] [PN-FC-14',
    params: '{apns}',
    after: ';+sip.pnsreg="yes"',
    answer: ['*;+sip.pns="apns";+sip.pnsreg="180"'],
    upstream: [apns],
    push: 'on',
  },
  { row: '3', id: 'PN-REG-06] [PN-INT-14', params: '{apns}', expires: 60, status: 423, answer: [], push: 'as it was' },
  { row: '4', id: 'PN-REG-09', params: '{apns}', granted: 60, answer: [], upstream: [apns], push: 'off' },
  {
    row: '5, another service',
    id: 'PN-REG-04] [PN-REG-05',
    params: ';pn-provider=acme;pn-prid=x',
    strict: 555,
    answer: [],
    push: 'off',
  },
  {
    row: '5, data missing',
    id: 'PN-REG-04] [PN-PARAM-12',
    params: ';pn-provider=apns;pn-prid=ab',
    strict: 555,
    answer: [],
    push: 'off',
  },
  {
    row: '6',
    id: 'PN-QRY-01] [PN-QRY-02] [PN-QRY-09',
    params: ';pn-provider=apns;pn-param=x',
    answer: [apns],
    upstream: [apns],
    push: 'off',
  },
  {
    row: '7',
    id: 'PN-QRY-03',
    params: ';pn-provider=acme',
    nearer: 'acme',
    answer: [],
    upstream: ['*;+sip.pns="acme"'],
    push: 'off',
  },
  { row: '8', id: 'PN-QRY-04] [PN-QRY-05', params: ';pn-provider=acme', strict: 555, answer: [], push: 'off' },
  { row: '9', id: 'PN-QRY-06] [PN-PARAM-02', params: ';pn-provider', answer: [apns], upstream: [apns], push: 'off' },
  {
    row: '9, as some write it',
    id: 'PN-PARAM-04',
    params: ';pn-provider=',
    answer: [apns],
    upstream: [apns],
    push: 'off',
  },
  {
    row: '10',
    id: 'PN-REG-03',
    params: '{apns}',
    nearer: 'apns',
    answer: [],
    upstream: [apns],
    push: 'off',
  },
  { row: '11', id: 'PN-DEREG-01', params: ';pn-provider=apns', expires: 0, answer: [], push: 'gone' },
];

const users = ['anna', 'bert', 'carl', 'dora', 'emil', 'frieda', 'gero'];
let next = 0;

function aPhone(at: Bed, domain: string, choice: { readonly address?: string } = {}): Phone {
  return at.phone(users[next++ % users.length] as string, { domain, ...choice });
}

const contactOf = (phone: Phone, params: string, after = ''): string =>
  phone
    .contact(phone.ua, after)
    .replace(/;pn-provider=[^>]*/, params.replace('{apns}', /;pn-provider=[^>]*/.exec(phone.contact())?.[0] ?? ''));

function atPbx(phone: Phone): Headers | undefined {
  return bed.pbx.ua
    .seen('in', 'REGISTER')
    .map(({ message }) => message.headers)
    .findLast((headers) => headers.get('To')?.includes(phone.aor) === true);
}

/** As the PBX of this mode calls a user: by the newest Contact it knows, or by name. */
function dial(phone: Phone, known: ReturnType<typeof contactsOf>): OutgoingCall {
  const { user, domain } = phone.options;
  const binding = known.at(-1);
  return domain === homeDomain || binding === undefined
    ? bed.pbx.dial(`sip:${user}@${domain}`, { body: anOffer(), remote: bed.edge.at('udp') })
    : bed.pbx.call(user, { body: anOffer(), binding });
}

const contactsOf = (phone: Phone) => bed.pbx.bindings(phone.options.user);

async function isPushed(phone: Phone): Promise<void> {
  await phone.sleep();
  const call = dial(phone, contactsOf(phone));
  await bed.nextPush(phone);
  call.cancel();
  expect((await call.answer()).status).toBe(487);
}

async function isRungAtOnce(phone: Phone): Promise<void> {
  const before = bed.lab.pushes().length;
  const call = dial(phone, contactsOf(phone));
  (await phone.nextCall()).reject(486);
  expect((await call.answer()).status).toBe(486);
  expect(bed.lab.pushes()).toHaveLength(before);
}

describe.each(byMode)('mode %s', (_, registration, domain) => {
  const mode = modes[registration];
  const applies = (row: Row): boolean => row.granted === undefined || mode.acceptedBy === 'pbx';

  it.each(rows.filter(applies))('[$id] row $row', async (row) => {
    const phone = aPhone(bed, domain, row.nearer === undefined ? {} : { address: places.stranger });
    await phone.open();
    const before = row.push === 'gone' || row.push === 'as it was';
    if (before) expect((await phone.register()).headers.lines('Feature-Caps')).toEqual([apns]);
    const known = contactsOf(phone);
    if (row.granted !== undefined) grantOnly(row.granted);
    const answer = await phone.register({
      contact: contactOf(phone, row.params, row.after),
      ...(row.expires === undefined ? {} : { expires: row.expires }),
      ...(row.nearer === undefined ? {} : { headers: Headers.of([['Feature-Caps', `*;+sip.pns="${row.nearer}"`]]) }),
    });
    bed.pbx.onRegister = () => undefined;
    expect(answer.status).toBe(row.status ?? 200);
    expect(answer.headers.lines('Feature-Caps')).toEqual(row.answer);
    if (answer.status === 423) expect(answer.headers.get('Min-Expires')).toBe('300');
    else if (mode.acceptedBy === 'edge') expect(atPbx(phone)).toBeUndefined();
    else {
      // [PN-FC-08] [PN-SEC-06] whom the Contact names says nothing of itself
      expect(atPbx(phone)?.lines('Feature-Caps')).toEqual(mode.indicatesUpstream ? (row.upstream ?? []) : []);
      expect(atPbx(phone)?.get('Contact')?.includes('pn-')).toBe(mode.pushUpstream && row.params !== '');
    }
    switch (row.push) {
      case 'on':
      case 'as it was':
        await isPushed(phone);
        break;
      case 'off':
        // what the PBX was made to grant it does not remember
        if (row.granted === undefined) await isRungAtOnce(phone);
        break;
      case 'gone': {
        const call = dial(phone, known);
        expect((await call.answer()).status).toBe(480);
        expect(bed.pushesFor(phone)).toHaveLength(0);
        break;
      }
      default:
        row.push satisfies never;
    }
    await phone.register({ contact: '*', expires: 0 });
  });

  it('[PN-DEREG-05] row 12', async () => {
    const phone = aPhone(bed, domain);
    await phone.register();
    const known = contactsOf(phone);
    const answer = await phone.register({ contact: '*', expires: 0 });
    expect([answer.status, answer.headers.has('Feature-Caps')]).toEqual([200, false]);
    expect((await dial(phone, known).answer()).status).toBe(480);
    expect(bed.pushesFor(phone)).toHaveLength(0);
  });

  it.each(rows.filter((row) => row.strict === 555))(
    '[PN-555-02] [PN-555-03] [PN-555-05] row $row by policy: 555, nothing is forwarded and nothing changes',
    async (row) => {
      const phone = aPhone(strict, domain);
      await phone.register();
      const seen = bed.pbx.ua.seen('in', 'REGISTER').length;
      const answer = await phone.register({ contact: contactOf(phone, row.params) });
      expect([answer.status, answer.reason]).toEqual([555, 'Push Notification Service Not Supported']);
      expect(answer.headers.has('Feature-Caps')).toBe(false);
      expect(bed.pbx.ua.seen('in', 'REGISTER')).toHaveLength(seen);
      // still the phone it was
      const again = await phone.register();
      expect(again.headers.lines('Feature-Caps')).toEqual([apns]);
      await phone.register({ contact: '*', expires: 0 });
    },
  );

  it('[PN-FC-09] every refresh is told again', async () => {
    const phone = aPhone(bed, domain);
    for (let refresh = 0; refresh < 5; refresh++)
      expect((await phone.register()).headers.lines('Feature-Caps')).toEqual([apns]);
    await phone.register({ contact: '*', expires: 0 });
  });

  it('[PN-DEREG-02] a refresh without pn-prid ends the pushes', async () => {
    const phone = aPhone(bed, domain);
    await phone.register();
    const answer = await phone.register({ contact: contactOf(phone, '') });
    expect(answer.headers.has('Feature-Caps')).toBe(false);
    await isRungAtOnce(phone);
    expect(bed.pushesFor(phone)).toHaveLength(0);
    await phone.register({ contact: '*', expires: 0 });
  });

  it('[PN-DEREG-08] the same token under two users: removing one leaves the other', async () => {
    const one = aPhone(bed, domain);
    const push = one.push ?? { provider: '', param: '', prid: '' };
    const other = bed.phone(users[next++ % users.length] as string, { domain, push });
    await one.register();
    await other.register();
    await one.register({ contact: '*', expires: 0 });
    await isPushed(other);
    await other.register({ contact: '*', expires: 0 });
  });

  it('[PN-PARAM-13] [PN-PARAM-14] long and unknown parameters are kept and returned as they were sent', async () => {
    const phone = aPhone(bed, domain);
    await phone.open();
    const params = `;pn-silent=1;pn-timeout=0;x-long=${'a'.repeat(600)}`;
    const contact = phone.contact().replace('>', `${params}>`);
    const { headers } = await phone.register({ contact });
    expect(headers.list('Contact').join()).toContain(contact.slice(0, contact.indexOf('>') + 1));
    await phone.register({ contact: '*', expires: 0 });
  });
});

/** The PBX accepts everything, for so many seconds. */
function grantOnly(seconds: number): void {
  bed.pbx.onRegister = (incoming) => {
    const contact = incoming.request.headers.get('Contact')?.replace(/;expires=\d+/, '') ?? '';
    return [200, { headers: Headers.of([['Contact', `${contact};expires=${seconds}`]]) }];
  };
}

describe('the rules alone', () => {
  const policy = { minExpires: 300, pushLeadSeconds: 120, slackSeconds: 30, pnsreg: 180, vapid: new Map() };
  const push: RegisterDecision = { is: 'push', app: 'a', announce: 'apns', pnsreg: true };
  const query: RegisterDecision = { is: 'query', announce: ['apns', 'fcm'] };
  const upstream = (decision: Exclude<RegisterDecision, { is: 'refuse' }>, mode: Mode) =>
    indicatedUpstream([{ decision, expires: 3600 }], mode).map(({ pns }) => pns);

  it.each(byMode)(
    '[PN-REG-08] [PN-QRY-06] [PN-FC-08] mode %s indicates to the PBX where its Contact is the phone’s',
    (_, registration) => {
      const indicates = registration === 'path';
      expect(upstream(push, modes[registration])).toEqual(indicates ? ['apns'] : []);
      expect(upstream(query, modes[registration])).toEqual(indicates ? ['apns', 'fcm'] : []);
      expect(upstream({ is: 'plain' }, modes[registration])).toEqual([]);
      expect(upstream({ is: 'remove' }, modes[registration])).toEqual([]);
    },
  );

  it('[PN-QRY-07] [PN-REG-10] [PN-REG-09] the answer says what was indicated, unless the grant is too short', () => {
    expect(indicatedInAnswer([{ decision: push, expires: 3600 }], policy)).toEqual([
      { pns: 'apns', pnsreg: 180 },
    ]);
    expect(indicatedInAnswer([{ decision: push, expires: 150 }], policy)).toEqual([]);
    expect(indicatedInAnswer([{ decision: query, expires: 60 }], policy)).toEqual([{ pns: 'apns' }, { pns: 'fcm' }]);
    expect(indicatedInAnswer([{ decision: query, expires: 0 }], policy)).toEqual([]);
  });

  it('[PN-FC-01] one field for each type, however many Contacts ask for it', () => {
    const plain: RegisterDecision = { is: 'push', app: 'a', announce: 'apns', pnsreg: false };
    const both = [push, plain].map((decision) => ({ decision, expires: 3600 }));
    expect(indicatedInAnswer(both, policy)).toEqual([{ pns: 'apns', pnsreg: 180 }]);
  });

  it.each([
    ['path', true, false, 'accept', 'path'],
    ['path', false, false, 'accept', 'mid-registrar'],
    ['path', false, false, 'refuse', 421],
    ['path', false, true, 'refuse', 'path'],
    ['mid-registrar', false, false, 'refuse', 'mid-registrar'],
    ['registrar', false, false, 'refuse', 'registrar'],
  ] as const)(
    '[PN-INT-07] [EDGE-PATH-02] %s, Supported: path %s, reg-id %s, without_path %s: %s',
    (registration: Registration, supportsPath, outbound, withoutPath, expected) => {
      const mode = modeOf(registration, { supportsPath, outbound, withoutPath });
      expect(mode === 421 ? mode : mode.is).toBe(expected);
    },
  );
});
