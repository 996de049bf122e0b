import { defineConfig } from 'vitest/config';

/** One project per kind of test (CONTRIBUTING.md). Only scenarios have the machine to themselves: they are real processes and real time. */
const project = (name: string, seconds: number, order: number, alone = false) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    expect: { requireAssertions: true },
    testTimeout: seconds * 1000,
    hookTimeout: seconds * 1000,
    sequence: { groupOrder: order },
    ...(alone ? { maxWorkers: 1, fileParallelism: false } : {}),
  },
});

export default defineConfig({
  test: {
    reporters: [['default', { summary: false }], './scripts/closing-lines.mjs'],
    passWithNoTests: true,
    projects: [
      project('unit', 10, 0),
      project('contract', 30, 1),
      project('rfc', 30, 2, true),
      project('scenario', 90, 3, true),
    ],
  },
});
