import { expect, test } from 'vitest';
import { headerKey, Headers } from '../../../lib/sip/headers.ts';

test('a header named like a member of Object is an ordinary header', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf']) {
    expect(headerKey(name)).toBe(name.toLowerCase());
    expect(Headers.of([[name, 'x']]).get(name)).toBe('x');
  }
});
