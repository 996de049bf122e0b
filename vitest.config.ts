import { defineConfig } from 'vitest/config';

/** A drachtio-server that was named serves one app at a time (CONTRIBUTING.md). */
const workers = process.env.REVEILLE_TEST_ENGINE === 'drachtio' ? 1 : 2;

/**
 * One project per kind of test (CONTRIBUTING.md). Those with real processes and real time get a second try, because a machine that
 * is busy for a moment is no fault of ours; each that needed it is listed at the end of the run, with what it said at first.
 */
const project = (name: string, seconds: number, order: number, tries: 1 | 2 = 1) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    expect: { requireAssertions: true },
    testTimeout: seconds * 1000,
    hookTimeout: seconds * 1000,
    sequence: { groupOrder: order },
    retry: tries - 1,
    maxWorkers: workers,
  },
});

export default defineConfig({
  test: {
    reporters: [['default', { summary: false }], './scripts/closing-lines.mjs'],
    passWithNoTests: true,
    projects: [
      project('unit', 10, 0),
      project('contract', 30, 1, 2),
      project('rfc', 30, 2, 2),
      project('scenario', 90, 3, 2),
    ],
  },
});
