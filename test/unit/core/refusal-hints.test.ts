import { expect, test } from 'vitest';
import { hintOf, type Refusal } from '../../../lib/core/refusal-hints.ts';

const refusal: Refusal = { status: 403, unsupported: [], byPath: false, requirePath: true, throttled: false };

test('a refusal of the PBX is explained by its likely cause', () => {
  expect(hintOf(refusal)).toContain('max_contacts');
  const path = { ...refusal, status: 420, unsupported: ['path'], byPath: true };
  expect(hintOf(path)).toContain('require_path: false');
  expect(hintOf({ ...path, requirePath: false })).not.toContain('require_path');
  expect(hintOf({ ...path, byPath: false })).toContain('Unsupported');
  expect(hintOf({ ...refusal, status: 423 })).toBeUndefined();
  expect(hintOf({ ...refusal, status: 423, throttled: true })).toContain('throttle.upstream_expires');
  expect(hintOf({ ...refusal, status: 600 })).toBeUndefined();
});
