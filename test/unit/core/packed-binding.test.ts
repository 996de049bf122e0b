/** Bindings as they lie in a store: they come back as they were, take little room, and those of before are read. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Binding } from '../../../lib/core/binding.ts';
import { type Packed, packBinding, unpackBinding } from '../../../lib/core/packed-binding.ts';
import { aBinding } from '../../support/a-binding.ts';

const through = (binding: Binding, setAor: string): Binding =>
  unpackBinding(JSON.parse(JSON.stringify(packBinding(binding, setAor))) as Packed, setAor);

const hexToken = fc.uint8Array({ minLength: 8, maxLength: 80 }).map((octets) => Buffer.from(octets).toString('hex'));
const token = fc.oneof(
  hexToken,
  hexToken.map((text) => text.toUpperCase()),
  hexToken.map((text) => `${text}a`),
  fc.string({ minLength: 1, maxLength: 200 }),
);
const address = fc.constantFrom('192.0.2.17', '10.0.0.1', '2001:db8::1');
const target = fc.oneof(
  fc.constantFrom('sip:alice@192.0.2.17:50612;transport=tls', 'sip:alice@[2001:db8::1]:50612;transport=tls'),
  fc.constantFrom('sip:alice@192.0.2.17:50612', 'sip:bob@192.0.2.17:50612;transport=tls', 'sips:x@y', ''),
);

describe('a packed binding', () => {
  it('comes back as it was, whatever its tokens, its target and the AOR of its set', () => {
    fc.assert(
      fc.property(
        fc.array(token, { minLength: 1, maxLength: 3 }),
        target,
        address,
        fc.constantFrom('alice@example.com', 'other@example.com'),
        (tokens, its, from, setAor) => {
          const { push, ...sample } = aBinding();
          if (push === undefined) throw new Error('no push');
          const binding: Binding = {
            ...sample,
            target: its,
            contact: `<${its};pn-prid=${tokens.join('&')}>;+sip.instance="<${sample.instanceId}>"`,
            flow: { transport: 'tls', address: from, port: 50_612, engine: 'e' },
            push: { ...push, tokens: tokens.map((text) => ({ kind: 'alert' as const, token: text })) },
          };
          expect(through(binding, setAor)).toEqual(binding);
        },
      ),
    );
  });

  it('says nothing twice: two tokens of APNs and the usual target', () => {
    const tokens = ['ab'.repeat(32), 'cd'.repeat(32)] as const;
    const { push, ...sample } = aBinding();
    if (push === undefined) throw new Error('no push');
    const binding: Binding = {
      ...sample,
      contact: `<${sample.target};pn-provider=apns;pn-param=${push.param}&remote;pn-prid=${tokens[0]}:voip&${tokens[1]}:remote>`,
      push: {
        ...push,
        tokens: [
          { kind: 'voip', token: tokens[0] },
          { kind: 'alert', token: tokens[1] },
        ],
      },
    };
    const text = JSON.stringify(packBinding(binding, binding.aor));
    for (const once of [sample.target, ...tokens, push.param ?? ''])
      expect(text.split(once).length).toBeLessThanOrEqual(2);
    expect(text).not.toContain(tokens[0]);
    expect(text.length).toBeLessThan(600);
    expect(through(binding, binding.aor)).toEqual(binding);
  });

  it('is read as it was written before: tokens as they are, the target in full', () => {
    const of = '0123456789abcdef'.repeat(4);
    const before = {
      ...{
        i: 'f0',
        c: `<\u007f;pn-prid=\u0081:voip&${'cd'.repeat(32)}:remote>`,
        t: 'sip:alice@192.0.2.17:1;transport=tcp',
      },
      ...{ l: 'c', s: 1, f: { t: 'tcp', a: '192.0.2.17', p: 1, e: 'e' }, g: 5, e: 10 },
      u: {
        ...{ p: 'apns', a: 'phone' },
        t: [
          { k: 'voip', t: of },
          { k: 'alert', t: 'cd'.repeat(32) },
        ],
      },
    } as Packed;
    const binding = unpackBinding(before, 'alice@example.com');
    expect(binding.target).toBe('sip:alice@192.0.2.17:1;transport=tcp');
    expect(binding.push?.tokens.map((one) => one.token)).toEqual([of, 'cd'.repeat(32)]);
    expect(binding.contact).toBe(`<${binding.target};pn-prid=${of}:voip&${'cd'.repeat(32)}:remote>`);
  });
});
