import { test } from 'vitest';
import { conformanceParts } from '../../support/conformance-tables.ts';
import { expectCurrent } from '../../support/page-tables.ts';

test('docs/engine-conformance.md lists what the replay and the torture test run', () => {
  // UPDATE_DOCS=1 npm run test:unit -- conformance
  expectCurrent('engine-conformance.md', conformanceParts);
});
