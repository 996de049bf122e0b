/** Phones of every dialect at a running edge, in each mode: pushed, answered in their own words, and nothing of it seen by others. */
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { OutgoingCall } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import type { Phone, RegisterOptions } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed, homeDomain, pathDomain, pbxDomain, type PhoneChoice } from '../support/test-bed.ts';

const answerSdp = sessionDescription(places.phones, 41_000);
const byMode = [
  ['P', pathDomain],
  ['M', pbxDomain],
  ['R', homeDomain],
] as const;

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
});
afterAll(() => bed.close());

/** Phones of the test that runs; a user's registrations end with it. */
const used: Phone[] = [];
afterEach(async () => {
  for (const phone of used.splice(0)) await phone.register({ contact: '*', expires: 0 });
});

function aPhone(user: string, choice: PhoneChoice): Phone {
  const phone = bed.phone(user, choice);
  used.push(phone);
  return phone;
}

interface Dialect {
  readonly id: string;
  readonly row: string;
  /** of the app as the APNs stand-in knows it: team, bundle and the phone's tokens */
  readonly say: (about: { team: string; bundle: string; voip: string; remote: string }) => {
    readonly inside?: string;
    readonly after?: string;
    readonly field?: readonly [string, string];
  };
  readonly answer: readonly string[];
}

const apns = '*;+sip.pns="apns"';
const rows: readonly Dialect[] = [
  {
    id: 'DIA-03] [DIA-10] [PN-PARAM-14',
    row: 'D3, Linphone with two tokens',
    say: ({ team, bundle, voip, remote }) => ({
      inside: `;pn-prid=${voip}:voip&${remote}:remote;pn-provider=apns;pn-param=${team}.${bundle}.voip&remote;pn-silent=1;pn-timeout=0;pn-msg-str=IM_MSG`,
    }),
    answer: [apns],
  },
  {
    id: 'DIA-01',
    row: 'D3, a debug build',
    say: ({ team, bundle, voip }) => ({
      inside: `;pn-provider=apns.dev;pn-param=${team}.${bundle}.voip;pn-prid=${voip}`,
    }),
    answer: ['*;+sip.pns="apns.dev"'],
  },
  {
    id: 'DIA-06',
    row: 'D9, a wrong name',
    say: ({ team, bundle, voip }) => ({ inside: `;pn-provider=apple;pn-param=${team}.${bundle}.voip;pn-prid=${voip}` }),
    answer: ['*;+sip.pns="apple"'],
  },
  {
    id: 'DIA-04] [DIA-05',
    row: 'D7, before RFC 8599',
    say: ({ bundle, voip }) => ({
      inside: `;app-id=${bundle}.voip.prod;pn-type=apple;pn-tok=${voip};pn-call-str=IC_MSG;pn-timeout=0`,
    }),
    answer: [],
  },
  {
    id: 'DIA-07',
    row: 'D10, outside the brackets',
    say: ({ team, bundle, voip }) => ({ after: `;pn-provider=apns;pn-param=${team}.${bundle}.voip;pn-prid=${voip}` }),
    answer: [apns],
  },
  {
    id: 'DIA-09',
    row: 'D13, a token of its own beside those of RFC 8599',
    say: ({ team, bundle, voip, remote }) => ({
      inside: `;pn-prid=${voip};pn-provider=apns;pn-param=${team}.${bundle}.voip;fcm-token=${remote};pn-type=apple;pn-tok=${remote}`,
    }),
    answer: [apns],
  },
  {
    id: 'DIA-04] [DIA-05',
    row: 'PortSIP, X-Push',
    say: ({ bundle, voip, remote }) => ({
      field: ['X-Push', `device-os=ios;device-uid=${voip}|${remote};allow-call-push=true;app-id=${bundle}`],
    }),
    answer: [],
  },
  {
    id: 'PN-PARAM-07] [PN-PARAM-09',
    row: 'D1, names in capitals and escapes',
    say: ({ team, bundle, voip }) => ({
      inside: `;PN-Provider=APNS;PN-PRID=${voip.replace(/[a-f]/, (c) => `%${c.charCodeAt(0).toString(16)}`)};PN-Param=${team}.${bundle}.voip`,
    }),
    answer: ['*;+sip.pns="APNS"'],
  },
];

const users = ['anna', 'bert', 'carl', 'dora', 'emil', 'frieda', 'gero'];
let next = 0;

function dial(phone: Phone): OutgoingCall {
  const { user, domain } = phone.options;
  return domain === homeDomain
    ? bed.pbx.dial(`sip:${user}@${domain}`, { body: anOffer(), remote: bed.edge.at('udp') })
    : bed.pbx.call(user, { body: anOffer() });
}

describe.each(byMode)('mode %s', (mode, domain) => {
  it.each(rows)('[$id] [DIA-11] [PN-SEC-02] $row', async ({ say, answer: expected }) => {
    const [team = '', ...rest] = bed.pushParam.replace(/\.voip$/, '').split('.');
    const [voip, remote] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')];
    bed.secrets.set(voip, 'a VoIP token').set(remote, 'a token');
    const phone = aPhone(users[next++ % users.length] as string, {
      domain,
      push: { provider: 'apns', param: bed.pushParam, prid: voip },
    });
    const { inside = '', after = '', field } = say({ team, bundle: rest.join('.'), voip, remote });
    const contactNow = (): string => {
      const { user, instanceId } = phone.options;
      return `<${phone.ua.uri(user)}${inside}>;+sip.instance="<${instanceId}>"${after}`;
    };
    const register = (): Promise<Awaited<ReturnType<Phone['register']>>> => {
      const options: RegisterOptions = { contact: contactNow() };
      return phone.register(field === undefined ? options : { ...options, headers: Headers.of([field]) });
    };
    await phone.open();
    const answer = await register();
    expect(answer.status).toBe(200);
    expect(answer.headers.lines('Feature-Caps')).toEqual(expected);
    // echoed as it was received
    const echoed = answer.headers.list('Contact').join();
    if (mode !== 'P') expect(echoed).toContain(contactNow());
    else if (inside !== '') expect(echoed).toContain(inside);

    await phone.sleep();
    const call = dial(phone);
    expect((await bed.nextPush(phone)).token).toBe(voip);
    await phone.open();
    expect((await register()).status).toBe(200);
    const incoming = await phone.nextCall();
    // and this is what such phones do in calls, too (AMB-17)
    incoming.answer(answerSdp, Headers.of([['Contact', contactNow()]]));
    const answered = await call.answer();
    expect(answered.status).toBe(200);
    const seen = [
      ...bed.pbx.ua.seen('in', '200').at(-1)!.message.headers.entries(),
      ...incoming.request.headers.entries(),
    ];
    expect(JSON.stringify([...seen, incoming.request.uri])).not.toMatch(/pn-(?!purr)|app-id|fcm-token|x-push/i);
    await call.dialog?.bye();
    expect((await incoming.dialog.ended)?.method).toBe('BYE');
  });

  it('[PN-PARAM-10] tokens that differ in case only are two phones', async () => {
    const prid = `ab${randomBytes(31).toString('hex')}`;
    const [small, large] = [prid, `AB${prid.slice(2)}`].map((token) =>
      aPhone('anna', { domain, push: { provider: 'apns', param: bed.pushParam, prid: token } }),
    ) as [Phone, Phone];
    await small.register();
    expect((await large.register()).headers.list('Contact')).toHaveLength(2);
  });

  it('[PN-PARAM-03] an empty pn-prid is none: no push, and the answer is that to a query', async () => {
    const phone = aPhone('bert', { domain });
    await phone.open();
    for (const prid of [';pn-prid', ';pn-prid=']) {
      const contact = `<${phone.ua.uri('bert')};pn-provider=apns;pn-param=${bed.pushParam}${prid}>;+sip.pnsreg`;
      expect((await phone.register({ contact })).headers.lines('Feature-Caps')).toEqual([apns]);
    }
    const call = dial(phone);
    (await phone.nextCall()).reject(486);
    expect((await call.answer()).status).toBe(486);
  });

  it('[PN-FC-10] what reg-id 1 was told does not hold for reg-id 2', async () => {
    const pushed = aPhone('carl', { domain });
    await pushed.register({ contact: pushed.contact(await pushed.open(), ';reg-id=1') });
    const plain = aPhone('carl', { domain, plain: true, instanceId: pushed.options.instanceId ?? '' });
    const answer = await plain.register({ contact: plain.contact(await plain.open(), ';reg-id=2') });
    expect(answer.headers.has('Feature-Caps')).toBe(false);
  });

  it('[PN-DEREG-03] a removal that still carries pn-prid removes, and makes nothing', async () => {
    const phone = aPhone('dora', { domain });
    await phone.register();
    expect((await phone.register({ expires: 0 })).headers.list('Contact')).toEqual([]);
    expect((await phone.register({ expires: 0 })).headers.list('Contact')).toEqual([]);
  });

  it('[PN-QRY-10] a query registers like any other REGISTER', async () => {
    const phone = aPhone('emil', { domain, plain: true });
    await phone.open();
    const answer = await phone.register({ contact: `<${phone.ua.uri('emil')};pn-provider=apns>` });
    expect(answer.headers.list('Contact')).toHaveLength(1);
  });

  it('[PN-555-01] a call for a phone of an unknown service is never 555', async () => {
    const phone = aPhone('frieda', { domain, push: { provider: 'acme', param: 'x', prid: 'a-token-of-acme' } });
    await phone.register();
    await phone.sleep();
    expect((await dial(phone).answer()).status).toBe(480);
  });
});

describe('an edge without any app', () => {
  it('[PN-555-04] [PN-QRY-05] a query for all: 555 by policy, plain otherwise', async () => {
    for (const [policy, status] of [
      ['reject', 555],
      ['accept', 200],
    ] as const) {
      const poor = await Bed.open({
        beside: bed,
        config: { push: { apps: [] }, registration: { unsupported_push: policy } },
      });
      const phone = poor.phone('anna', { domain: homeDomain, plain: true });
      await phone.open();
      const answer = await phone.register({ contact: `<${phone.ua.uri('anna')};pn-provider>` });
      expect([answer.status, answer.headers.has('Feature-Caps')]).toEqual([status, false]);
      await poor.close();
    }
  });
});
