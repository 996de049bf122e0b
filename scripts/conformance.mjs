/** npm run conformance: writes docs/conformance.md from the titles of the tests, from a fresh clone. */
import { bootstrap, helped, node } from './bootstrap.mjs';

const usage = `
Usage: npm run conformance

Writes docs/conformance.md. Exit code 1 when an id is neither shown by a test over sockets nor explained in test/rfc/not-yet.ts.
`;

if (!helped(usage)) {
  bootstrap();
  process.exitCode = node(
    'node_modules/vitest/vitest.mjs',
    ['run', '--project', 'unit', 'test/unit/docs/requirements.test.ts'],
    { env: { ...process.env, UPDATE_DOCS: '1' } },
  );
}
