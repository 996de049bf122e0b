import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** A drachtio-server that was named serves one app at a time (CONTRIBUTING.md). */
const workers = process.env.REVEILLE_TEST_ENGINE === 'drachtio' ? 1 : 2;

/** What takes longer than 20 s, slowest first: at the end of a run the workers shall end together. */
const slowest = [
  'chaos',
  'on-behalf-nodes',
  'doctor',
  'hosts-redis',
  'hosts-partitions',
  'upstream-ways',
  'engine-process',
  'on-behalf-kamailio',
  'interop-whole-calls',
  'survival',
  'on-behalf-answers',
  'many-nodes',
  'upstream-failover',
  'torture',
  'hosts-movers',
  'paused-edges',
  'interop-linphone',
  'hosts-deaths',
  'interop-browser',
  'streams',
  'push-service.all',
  'redis-groups.redis',
  'refresh-pushes',
];

/** A fresh clone remembers no durations, so it is told. */
class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = slowest.indexOf(basename(moduleId).replace(/\.test\.ts$/, ''));
      return at < 0 ? slowest.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

/**
 * One project per kind of test (CONTRIBUTING.md). Those with real processes and real time run in one group, and get a second try,
 * because a machine that is busy for a moment is no fault of ours; each that needed it is listed at the end of the run, with what it
 * said at first.
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
    maxConcurrency: 12,
  },
});

export default defineConfig({
  test: {
    reporters: [['default', { summary: false }], './scripts/closing-lines.mjs'],
    passWithNoTests: true,
    sequence: { sequencer: SlowestFirst },
    projects: [
      project('unit', 30, 0),
      project('contract', 30, 1, 2),
      project('rfc', 30, 1, 2),
      project('scenario', 90, 1, 2),
    ],
  },
});
