import { describe, expect, test } from 'vitest';
import type { Binding, PushRecord } from '../../lib/core/binding.ts';
import {
  type AcceptedRegister,
  acceptRegister,
  type BindingChange,
  bindingId,
  liveBindings,
  matchDevice,
  phoneOf,
} from '../../lib/core/binding-set.ts';
import { markTokenDead } from '../../lib/core/token-life.ts';
import { aorOf } from '../../lib/sip/aor.ts';
import { type Contact, parseContact } from '../../lib/sip/contact.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { type PushAsk, readPush, stripPush } from '../../lib/sip/push-params.ts';
import { parseUri } from '../../lib/sip/uri.ts';
import { sameUri } from '../../lib/sip/uri-compare.ts';

const aor = '1001@example.com';
const now = 1_000_000;
const limits = { maxBindings: 10 };

function contactOf(text: string): { contact: Contact; ask: PushAsk } {
  const contact = parseContact(text);
  if (contact === undefined) throw new Error(text);
  return { contact, ask: readPush(contact, Headers.empty()) };
}

/** A binding as a use-case builds it from a Contact. */
function bindingOf(text: string, about: Partial<Binding> = {}): Binding {
  const { contact, ask } = contactOf(text);
  const push: PushRecord | undefined =
    ask.is === 'push'
      ? {
          provider: ask.provider,
          providerAsSent: ask.providerAsSent,
          environment: ask.environment,
          param: ask.param,
          tokens: ask.tokens,
          app: 'app',
          wakesItself: ask.wakesItself,
        }
      : undefined;
  return {
    id: bindingId('secret', aor, contact, ask),
    aor,
    contact: text,
    target: stripPush(contact.uriText),
    ...(contact.instanceId === undefined ? {} : { instanceId: contact.instanceId }),
    ...(contact.regId === undefined ? {} : { regId: contact.regId }),
    q: contact.q,
    callId: 'call-1',
    cseq: 1,
    flow: { transport: 'tcp', address: '192.0.2.1', port: 5060, engine: 'e' },
    path: [],
    ...(push === undefined ? {} : { push }),
    registeredAt: now,
    expiresAt: now + 3_600_000,
    ...about,
  };
}

function register(
  contacts: readonly (string | readonly [text: string, expires: number])[],
  callId = 'call-1',
  cseq = 1,
): AcceptedRegister {
  return {
    aor,
    callId,
    cseq,
    contacts: contacts.map((one) => {
      const [text, expires] = typeof one === 'string' ? ([one, 3600] as const) : one;
      return { binding: bindingOf(text, { callId, cseq }), expires };
    }),
  };
}

function changed(change: BindingChange): Extract<BindingChange, { is: 'changed' }> {
  if (change.is !== 'changed') throw new Error(`is ${change.is}`);
  return change;
}

/** The set after these REGISTERs, one after the other. */
function after(...registers: readonly AcceptedRegister[]): readonly Binding[] {
  return registers.reduce<readonly Binding[]>((set, one) => {
    const change = acceptRegister(set, one, now, limits);
    if (change.is === 'changed' || change.is === 'unchanged') return change.bindings;
    throw new Error(`is ${change.is}`);
  }, []);
}

const apns = (host: string, token: string, more = ''): string =>
  `<sip:1001@${host};pn-provider=apns;pn-param=T.com.example.voip;pn-prid=${token}>${more}`;

describe('URI comparison (RFC 3261 19.1.4)', () => {
  test.each([
    ['sip:%61lice@atlanta.com;transport=TCP', 'sip:alice@AtLanTa.CoM;Transport=tcp'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com;newparam=5'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com;security=on'],
    ['sip:carol@chicago.com;newparam=5', 'sip:carol@chicago.com;security=on'],
    [
      'sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com',
      'sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com',
    ],
    [
      'sip:alice@atlanta.com?subject=project%20x&priority=urgent',
      'sip:alice@atlanta.com?priority=urgent&subject=project%20x',
    ],
    ['sip:a@h;PN-Prid=a%2Db', 'sip:a@h;pn-prid=a-b'],
    ['sip:a@h;pn-provider=APNS', 'sip:a@h;pn-provider=apns'],
  ])('[EDGE-REG-13] %s equals %s', (a, b) => {
    expect(same(a, b)).toBe(true);
    expect(same(b, a)).toBe(true);
  });

  test.each([
    ['SIP:ALICE@AtLanTa.CoM;Transport=udp', 'sip:alice@AtLanTa.CoM;Transport=UDP'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:5060'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com;transport=udp'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:6000;transport=tcp'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com?Subject=next%20meeting'],
    ['sip:bob@phone21.boxesbybob.com', 'sip:bob@192.0.2.4'],
    ['sip:carol@chicago.com;security=off', 'sip:carol@chicago.com;security=on'],
    ['sip:a@h', 'sips:a@h'],
    ['sip:a@h', 'sip:h'],
    ['sip:a@h', 'sip:a:b@h'],
    ['sip:a@h;user=phone', 'sip:a@h'],
    ['sip:a@h;maddr=1.2.3.4', 'sip:a@h'],
    ['sip:a@h;ttl=1', 'sip:a@h'],
    ['sip:a@h;method=INVITE', 'sip:a@h'],
    ['sip:a%3Bb@h', 'sip:a;b@h'],
    ['sip:a%2541@h', 'sip:a%41@h'],
    ['sip:null-%00-null@h', 'sip:null-null@h'],
    ['sip:a@h;pn-prid=ABC', 'sip:a@h;pn-prid=abc'],
    ['sip:a@h?a=1', 'sip:a@h?a=2'],
  ])('[EDGE-REG-13] %s differs from %s', (a, b) => {
    expect(same(a, b)).toBe(false);
    expect(same(b, a)).toBe(false);
  });

  function same(a: string, b: string): boolean {
    const one = parseUri(a);
    const other = parseUri(b);
    if (one === undefined || other === undefined) throw new Error('cannot be read');
    return sameUri(one, other);
  }
});

describe('the address-of-record', () => {
  test('[EDGE-REG-05] is the To URI unescaped and without parameters', () => {
    expect(aorOf('sip:%31001@example.com;x=y')).toBe('1001@example.com');
  });

  test('[PN-INT-16] leaves push parameters out', () => {
    expect(aorOf('sip:1001@example.com;pn-prid=x')).toBe('1001@example.com');
  });

  test('[EDGE-REG-05] a user with an escaped NUL is another user (RFC 4475 3.1.1.4)', () => {
    const users = ['sip:null-%00-null@example.com', 'sip:null-null@example.com', 'sip:null-%2500-null@example.com'].map(
      aorOf,
    );
    expect(new Set(users).size).toBe(3);
    expect(users[0]).toBe('null-%00-null@example.com');
  });
});

describe('one binding for one device', () => {
  test('[PN-DEREG-04] a new token of the same instance replaces the old one', () => {
    const first = apns('10.0.0.1:1', 'aa', ';+sip.instance="<urn:uuid:1>"');
    const second = apns('10.0.0.2:2', 'bb', ';+sip.instance="<urn:uuid:1>"');
    const set = after(register([first]), register([second], 'call-2'));
    expect(set.map((binding) => binding.contact)).toEqual([second]);
    expect(set[0]?.id).toBe(bindingOf(first).id);
  });

  test('[PN-INT-02] with Outbound the key is instance-id and reg-id, whatever else changes', () => {
    const one = (regId: number, host: string, token: string): string =>
      apns(host, token, `;+sip.instance="<urn:uuid:1>";reg-id=${regId}`);
    const set = after(
      register([one(1, '10.0.0.1:1', 'aa')]),
      register([one(2, '10.0.0.1:2', 'aa')], 'call-1', 2),
      register([one(1, '10.9.9.9:3', 'bb')], 'call-2'),
    );
    expect(set.map((binding) => [binding.regId, binding.push?.tokens[0]?.token])).toEqual([
      [1, 'bb'],
      [2, 'aa'],
    ]);
  });

  test.each(['new, old', 'old, new'])(
    '[PN-INT-13] a phone that moved names its old address with expires=0 in the same REGISTER (%s)',
    (order) => {
      const more = ';+sip.instance="<urn:uuid:1>";reg-id=1';
      for (const extra of [more, '']) {
        const old = apns('10.0.0.1:1', 'aa', extra);
        const fresh = apns('10.0.0.2:2', 'aa', extra);
        const both: (readonly [string, number])[] = [
          [fresh, 3600],
          [old, 0],
        ];
        const set = after(register([old]), register(order === 'new, old' ? both : both.toReversed(), 'call-1', 2));
        expect(set.map(({ contact, id }) => ({ contact, id }))).toEqual([{ contact: fresh, id: bindingOf(old).id }]);
      }
    },
  );

  test('[PN-INT-03] the flows of one instance are one phone', () => {
    const flow = (regId: number): Binding =>
      bindingOf(`<sip:a@10.0.0.${regId}>;+sip.instance="<urn:uuid:1>";reg-id=${regId}`);
    expect(flow(1).id).not.toBe(flow(2).id);
    expect(phoneOf(flow(1))).toBe(phoneOf(flow(2)));
    expect(phoneOf(bindingOf('<sip:a@10.0.0.1>'))).not.toBe(phoneOf(bindingOf('<sip:a@10.0.0.2>')));
  });

  test('a reg-id that comes later is still the same phone', () => {
    const set = after(
      register(['<sip:a@10.0.0.1>;+sip.instance="<urn:uuid:1>"']),
      register(['<sip:a@10.0.0.2>;+sip.instance="<urn:uuid:1>";reg-id=1'], 'call-2'),
    );
    expect(set).toHaveLength(1);
  });

  test('[PN-PROXY-05] the same token from another port is the same phone', () => {
    const set = after(register([apns('10.0.0.1:1', 'aa')]), register([apns('10.0.0.1:2', 'aa')], 'call-2'));
    expect(set.map((binding) => binding.contact)).toEqual([apns('10.0.0.1:2', 'aa')]);
  });

  test('[PN-DEREG-04] a new token from the same address and port replaces the old one', () => {
    const set = after(register([apns('10.0.0.1:1', 'aa')]), register([apns('10.0.0.1:1', 'bb')], 'call-2'));
    expect(set.map((binding) => binding.push?.tokens[0]?.token)).toEqual(['bb']);
  });

  test('[PN-DEREG-04] a new token from a new port with the Call-ID of the old one replaces it', () => {
    const set = after(register([apns('10.0.0.1:1', 'aa')]), register([apns('10.0.0.1:2', 'bb')], 'call-1', 2));
    expect(set.map((binding) => binding.push?.tokens[0]?.token)).toEqual(['bb']);
  });

  test('[PN-PARAM-10] tokens that differ in case only are two phones', () => {
    const set = after(register([apns('10.0.0.1:1', 'aa')]), register([apns('10.0.0.2:1', 'AA')], 'call-2'));
    expect(set).toHaveLength(2);
  });

  test('two phones with one private address are told apart by their instance-ids', () => {
    const one = (instance: string): string => `<sip:a@192.168.1.10:5060>;+sip.instance="<urn:uuid:${instance}>"`;
    expect(after(register([one('1')]), register([one('2')], 'call-2'))).toHaveLength(2);
  });

  test('a token moves with the phone that brings it, also under a new instance-id', () => {
    const set = after(
      register([apns('10.0.0.1:1', 'aa', ';+sip.instance="<urn:uuid:1>"')]),
      register([apns('10.0.0.2:1', 'aa', ';+sip.instance="<urn:uuid:2>"')], 'call-2'),
    );
    expect(set.map((binding) => binding.instanceId)).toEqual(['urn:uuid:2']);
  });

  test('a known phone that brings the token of another one takes it over', () => {
    const a = (token: string): string => apns('10.0.0.1:1', token, ';+sip.instance="<urn:uuid:1>"');
    const b = apns('10.0.0.2:1', 'bb', ';+sip.instance="<urn:uuid:2>"');
    const set = after(register([a('aa')]), register([b], 'call-2'));
    const change = changed(acceptRegister(set, register([a('bb')], 'call-3'), now, limits));
    expect(change.bindings.map((binding) => binding.contact)).toEqual([a('bb')]);
    expect(change.removed).toEqual([bindingOf(b).id]);
    expect(change.refreshed).toEqual([bindingOf(a('aa')).id]);
  });

  test('[PN-REG-16] two Contacts of one REGISTER are two bindings though they share a Call-ID', () => {
    expect(after(register([apns('10.0.0.1:1', 'aa'), apns('10.0.0.1:2', 'bb'), '<sip:a@10.0.0.1>']))).toHaveLength(3);
  });

  test('plain contacts are told apart by URI comparison, transport included', () => {
    const set = after(
      register(['<sip:a@10.0.0.1:5060>']),
      register(['<sip:%61@10.0.0.1:5060;x=1>'], 'call-2'),
      register(['<sip:a@10.0.0.1:5060;transport=tcp>'], 'call-3'),
    );
    expect(set.map((binding) => binding.target)).toEqual([
      'sip:%61@10.0.0.1:5060;x=1',
      'sip:a@10.0.0.1:5060;transport=tcp',
    ]);
  });

  test('matchDevice finds what acceptRegister will refresh', () => {
    const set = after(register([apns('10.0.0.1:1', 'aa'), '<sip:a@10.0.0.7>']));
    const find = (text: string): string | undefined => {
      const { contact, ask } = contactOf(text);
      return matchDevice(set, contact, ask)?.id;
    };
    expect(find(apns('10.9.9.9:9', 'aa'))).toBe(set[0]?.id);
    expect(find('<sip:a@10.0.0.7;y=2>')).toBe(set[1]?.id);
    expect(find(apns('10.9.9.9:9', 'cc'))).toBeUndefined();
  });
});

describe('expiry and removal', () => {
  test('[PN-DEREG-02] a refresh without pn-prid makes the binding plain', () => {
    const set = after(register([apns('10.0.0.1:1', 'aa')]), register(['<sip:1001@10.0.0.1:1>'], 'call-2'));
    expect(set).toHaveLength(1);
    expect(set[0]).not.toHaveProperty('push');
  });

  test.each([
    ['<sip:1001@10.0.0.1:1>'],
    ['<sip:1001@10.0.0.1:1;pn-provider=apns>'],
    [apns('10.0.0.1:1', 'aa')],
    [apns('10.7.7.7:7', 'aa')],
  ])('[PN-DEREG-03] %s with expiry 0 removes the binding', (text) => {
    const set = after(register([apns('10.0.0.1:1', 'aa')]));
    const change = changed(acceptRegister(set, register([[text, 0]], 'call-2'), now, limits));
    expect(change).toMatchObject({ bindings: [], added: [], refreshed: [], removed: [set[0]?.id] });
  });

  test('[PN-DEREG-03] a removal creates nothing', () => {
    expect(acceptRegister([], register([[apns('10.0.0.1:1', 'aa'), 0]]), now, limits)).toEqual({
      is: 'unchanged',
      bindings: [],
    });
  });

  test('[PN-DEREG-05] a star removes all', () => {
    const set = after(register(['<sip:a@10.0.0.1>', '<sip:b@10.0.0.2>']));
    const change = changed(acceptRegister(set, { aor, callId: 'call-2', cseq: 1, contacts: '*' }, now, limits));
    expect(change.bindings).toEqual([]);
    expect(change.removed).toHaveLength(2);
    expect(acceptRegister([], { aor, callId: 'call-2', cseq: 1, contacts: '*' }, now, limits).is).toBe('unchanged');
  });

  test('[EDGE-REG-07] a star with a lower CSeq removes nothing', () => {
    const set = after(register(['<sip:a@10.0.0.1>'], 'call-1', 5), register(['<sip:b@10.0.0.2>'], 'call-2', 1));
    expect(acceptRegister(set, { aor, callId: 'call-1', cseq: 4, contacts: '*' }, now, limits)).toEqual({
      is: 'stale',
    });
  });

  test('expired bindings are gone, and their Call-ID with them', () => {
    const set = [bindingOf('<sip:a@10.0.0.1>', { cseq: 9, expiresAt: now }), bindingOf('<sip:b@10.0.0.2>')];
    expect(liveBindings(set, now)).toEqual([set[1]]);
    const change = changed(acceptRegister(set, register(['<sip:a@10.0.0.1>']), now, limits));
    expect(change.added).toHaveLength(1);
    expect(change.bindings).toHaveLength(2);
  });
});

describe('order and atomicity', () => {
  test('[EDGE-REG-10] same Call-ID and lower CSeq changes nothing', () => {
    const set = after(register([apns('10.0.0.1:1', 'bb')], 'call-1', 5));
    expect(acceptRegister(set, register([apns('10.0.0.1:1', 'bb')], 'call-1', 4), now, limits)).toEqual({
      is: 'stale',
    });
  });

  test('[PN-INT-12] a late REGISTER does not bring an old token back', () => {
    const set = after(register([apns('10.0.0.1:1', 'bb')], 'call-1', 12));
    expect(acceptRegister(set, register([apns('10.0.0.1:1', 'aa')], 'call-1', 11), now, limits)).toEqual({
      is: 'stale',
    });
    expect(acceptRegister(set, register([apns('10.0.0.1:1', 'aa')], 'call-1', 12), now, limits)).toEqual({
      is: 'stale',
    });
  });

  test('[EDGE-REG-10] another Call-ID updates whatever its CSeq', () => {
    const set = after(register([apns('10.0.0.1:1', 'aa')], 'call-1', 12));
    expect(acceptRegister(set, register([apns('10.0.0.1:1', 'bb')], 'call-2', 1), now, limits).is).toBe('changed');
  });

  test('a retransmission changes nothing and is no fault', () => {
    const again = register([apns('10.0.0.1:1', 'aa'), '<sip:a@10.0.0.2>'], 'call-1', 3);
    const set = after(again);
    expect(acceptRegister(set, again, now + 500, limits)).toEqual({ is: 'unchanged', bindings: set });
  });

  test('[PN-INT-13] one stale Contact leaves all as they were', () => {
    const set = after(register(['<sip:a@10.0.0.1>'], 'call-1', 5));
    expect(acceptRegister(set, register(['<sip:b@10.0.0.2>', '<sip:a@10.0.0.1>'], 'call-1', 4), now, limits)).toEqual({
      is: 'stale',
    });
    expect(set).toHaveLength(1);
  });

  test('[EDGE-REG-15] one binding too many is refused', () => {
    const contacts = Array.from({ length: 10 }, (_, at) => `<sip:a@10.0.0.${at}>`);
    const set = after(register(contacts));
    expect(acceptRegister(set, register(['<sip:a@10.0.1.1>'], 'call-2'), now, limits)).toEqual({ is: 'full' });
    expect(acceptRegister(set, register(['<sip:a@10.0.0.1>'], 'call-2'), now, limits).is).toBe('changed');
  });

  test('[EDGE-REG-15] a removal in the same REGISTER makes room', () => {
    const set = after(register(Array.from({ length: 10 }, (_, at) => `<sip:a@10.0.0.${at}>`)));
    const change = acceptRegister(set, register(['<sip:a@10.0.1.1>', ['<sip:a@10.0.0.3>', 0]], 'call-2'), now, limits);
    expect(changed(change).bindings).toHaveLength(10);
  });

  test('[EDGE-REG-15] another flow of a known phone takes the place of its oldest', () => {
    const flow = (regId: number): string => `<sip:a@10.0.0.${regId}>;+sip.instance="<urn:uuid:1>";reg-id=${regId}`;
    const set = after(register([flow(1)]), register([flow(2)], 'call-2'));
    const change = changed(acceptRegister(set, register([flow(3)], 'call-3'), now, { maxBindings: 2 }));
    expect(change.bindings.map((binding) => binding.regId)).toEqual([2, 3]);
    expect(change.removed).toHaveLength(1);
  });
});

describe('the id of a binding', () => {
  const idOf = (text: string, of = aor): string => {
    const { contact, ask } = contactOf(text);
    return bindingId('secret', of, contact, ask);
  };

  test('is 20 hexadecimal digits and depends on AOR and device only', () => {
    const one = apns('10.0.0.1:1', 'aa', ';+sip.instance="<urn:uuid:1>"');
    expect(idOf(one)).toMatch(/^[0-9a-f]{20}$/);
    expect(idOf(apns('10.2.2.2:2', 'bb', ';+sip.instance="<URN:UUID:1>"'))).toBe(idOf(one));
    expect(idOf(apns('10.2.2.2:2', 'aa'))).toBe(idOf(apns('10.3.3.3:3', 'aa')));
    expect(idOf(one, '1002@example.com')).not.toBe(idOf(one));
    expect(idOf(apns('10.0.0.1:1', 'aa'))).not.toBe(idOf(apns('10.0.0.1:1', 'ab')));
  });
});

describe('a dead token', () => {
  const set = after(register([apns('10.0.0.1:1', 'aa')]));
  const id = set[0]?.id ?? '';

  test('[PN-DEREG-06] is marked until a REGISTER brings one', () => {
    const dead = markTokenDead(set, id, 'aa', undefined, now + 10);
    expect(dead[0]?.push).toMatchObject({ deadSince: now + 10 });
    const alive = changed(acceptRegister(dead, register([apns('10.0.0.1:1', 'aa')], 'call-2'), now, limits));
    expect(alive.bindings[0]?.push).not.toHaveProperty('deadSince');
    expect(alive.refreshed).toEqual([id]);
  });

  test('[PN-DEREG-06] a REGISTER that came after the push, or after the time of death, saves it', () => {
    expect(markTokenDead(set, id, 'aa', undefined, now)).toBe(set);
    expect(markTokenDead(set, id, 'aa', now - 1000, now + 10)).toBe(set);
  });

  test('[PN-DEREG-06] another token or another binding is not touched', () => {
    expect(markTokenDead(set, id, 'bb', undefined, now + 10)).toBe(set);
    expect(markTokenDead(set, 'other', 'aa', undefined, now + 10)).toBe(set);
  });

  test('[PN-DEREG-06] one of two tokens goes, the other stays', () => {
    const both = after(register(['<sip:a@h;pn-provider=apns;pn-param=T.b.voip&remote;pn-prid=aa:voip&bb:remote>']));
    const left = markTokenDead(both, both[0]?.id ?? '', 'aa', undefined, now + 10);
    expect(left[0]?.push?.tokens).toEqual([{ kind: 'alert', token: 'bb' }]);
    expect(left[0]?.push).not.toHaveProperty('deadSince');
  });
});
