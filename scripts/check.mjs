/** npm run check: what must hold before a change lands, the quick part of it. */
import { bootstrap, helped, node, say } from './bootstrap.mjs';

const usage = `
Usage: npm run check [-- STEP...]

  types    tsc over programs, library, benchmarks and tests
  lint     oxlint with types: promises, exhaustive switches, the import map and cycles
  format   biome; "npm run format" mends what it finds
  unit     the unit tests, among them those that compare docs and code

All steps without arguments. Every step runs, also after one has failed.
`;

const steps = {
  types: ['node_modules/typescript/bin/tsc', ['-p', 'tsconfig.test.json']],
  lint: ['node_modules/oxlint/bin/oxlint', ['-c', 'oxlint.config.mjs', '--type-aware', '.']],
  format: ['node_modules/@biomejs/biome/bin/biome', ['format', '.']],
  unit: ['node_modules/vitest/vitest.mjs', ['run', '--project', 'unit']],
};

if (!helped(usage)) {
  const asked = process.argv.slice(2);
  const unknown = asked.filter((name) => !(name in steps));
  if (unknown.length > 0) {
    say(`There is no step ${unknown.join(', ')}.\n\n${usage.trim()}`);
    process.exit(2);
  }
  bootstrap();
  const failed = (asked.length > 0 ? asked : Object.keys(steps)).filter((name) => {
    say(`\n== ${name}`);
    return node(...steps[name]) !== 0;
  });
  say(failed.length === 0 ? '\nAll checks passed.' : `\nFailed: ${failed.join(', ')}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
