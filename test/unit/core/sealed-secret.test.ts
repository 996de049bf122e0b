import fc from 'fast-check';
import { expect, it } from 'vitest';
import { seal, sealingKey, unseal } from '../../../lib/core/sealed-secret.ts';

const one = sealingKey(Buffer.alloc(32, 1));
const two = sealingKey(Buffer.alloc(32, 2));
const nonce = '00112233445566778899aabb';

it('opens what it has sealed, for the same purpose only', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (text, about, other) => {
      const sealed = seal(one, text, about, nonce);
      expect(unseal([one], sealed, about)).toEqual({ is: 'opened', text: Buffer.from(text).toString(), old: false });
      if (Buffer.from(other).compare(Buffer.from(about)) !== 0)
        expect(unseal([one], sealed, other)).toEqual({ is: 'broken' });
    }),
  );
});

it('says when a key is old, and which key is missing', () => {
  const sealed = seal(one, 'password', 'alice', nonce);
  expect(unseal([two, one], sealed, 'alice')).toEqual({ is: 'opened', text: 'password', old: true });
  expect(unseal([two], sealed, 'alice')).toEqual({ is: 'unknown-key', name: one.name });
  expect(sealed).not.toContain('password');
});

it('an octet that was changed opens nothing', () => {
  const sealed = seal(one, 'password', 'alice', nonce);
  for (let at = sealed.lastIndexOf('.') + 1; at < sealed.length - 1; at++) {
    const changed = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`;
    expect(unseal([one], changed, 'alice').is).toBe('broken');
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(unseal([one], text, 'alice').is).not.toBe('opened');
    }),
  );
});
