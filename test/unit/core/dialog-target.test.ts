import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openTarget, sealTarget } from '../../../lib/core/dialog-target.ts';

const key = Buffer.alloc(32, 1);
const other = Buffer.alloc(32, 2);

describe('what a phone calls in a dialog that is not bridged', () => {
  it('opens to what was sealed, case of the name aside, and to nothing with another key', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 30 }), fc.string({ maxLength: 30 }), (aor, target) => {
        const name = sealTarget(key, { aor, target }) ?? '';
        expect(name).toMatch(/^[a-z0-9-]+$/);
        expect(openTarget(key, name.toUpperCase())).toEqual({ aor, target });
        expect(openTarget(other, name)).toBeUndefined();
      }),
    );
  });

  it('is never made of what would not fit, and never thrown over', () => {
    expect(sealTarget(key, { aor: 'a@b', target: `sip:${'x'.repeat(300)}@h` })).toBeUndefined();
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(openTarget(key, `d-${text}`)).toBeUndefined();
      }),
    );
  });
});
