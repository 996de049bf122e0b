/** npm test: every suite, from a fresh clone. What needs a Debian package or root that is not there is skipped with its reason. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrap, helped, node, say } from './bootstrap.mjs';
import { whyNot } from './drachtio-answers.mjs';

const usage = `
Usage: npm test [-- [--only redis|drachtio] [names of test files or other words for vitest]]

  --only redis      the suites that speak to a real redis-server
  --only drachtio   the scenarios and the contract of the SIP ports against the drachtio-server that DRACHTIO_HOST,
                    DRACHTIO_PORT (9022) and DRACHTIO_SECRET (cymru) name; it runs on this machine, with no other app connected

Ends with one line: N passed, N failed, N skipped. Exit code 0 when nothing failed.
`;

const selections = {
  redis: { words: ['redis'], env: {} },
  drachtio: {
    words: ['--project', 'scenario', '--project', 'contract', '--exclude', 'test/scenario/engine-*'],
    /** unless files are named */
    files: ['test/scenario/', 'sip-ports'],
    env: { REVEILLE_TEST_ENGINE: 'drachtio' },
  },
};

if (!helped(usage)) process.exitCode = await test(process.argv.slice(2));

async function test(words) {
  const at = words.indexOf('--only');
  const only = at < 0 ? undefined : words[at + 1];
  const selection = only === undefined ? { words: [], env: {} } : selections[only];
  if (selection === undefined || (at >= 0 && only === undefined)) {
    say(usage.trim());
    return 2;
  }
  if (only === 'drachtio') {
    if (!process.env.DRACHTIO_HOST) {
      console.log(
        'Skipped (1): DRACHTIO_HOST names no drachtio-server\n  - scenarios and contract of the SIP ports on drachtio-server',
      );
      console.log('\n0 passed, 0 failed, 1 skipped');
      return 0;
    }
    const why = await whyNot(process.env);
    if (why !== undefined) {
      // it was asked for by name: not to find it is no reason to be content
      say(why);
      console.log('\n0 passed, 1 failed, 0 skipped');
      return 1;
    }
  }
  bootstrap();
  const rest = at < 0 ? words : words.toSpliced(at, 2);
  const files = rest.some((word) => !word.startsWith('-')) ? [] : (selection.files ?? []);
  const folder = mkdtempSync(join(tmpdir(), 'reveille-test-'));
  const file = join(folder, 'counts.json');
  const env = { ...process.env, ...selection.env, REVEILLE_TEST_COUNTS: file };
  const code = node('node_modules/vitest/vitest.mjs', ['run', ...selection.words, ...files, ...rest], { env });
  const counts = read(file);
  rmSync(folder, { recursive: true, force: true });
  console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  return code !== 0 ? code : counts.failed > 0 ? 1 : 0;
}

/** A run that ended before its report has failed. */
function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}
