/** A vitest reporter for the end of a run: every test that needed a second try and every skipped one with its reason, then the counts alone on a line. */
import { writeFileSync } from 'node:fs';

export default class ClosingLines {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const skipped = new Map();
    const again = [];
    for (const module of modules) {
      let tests = 0;
      let failed = 0;
      for (const test of module.children.allTests()) {
        tests++;
        const { state, note, errors } = test.result();
        if (state === 'passed') {
          counts.passed++;
          if (test.diagnostic()?.retryCount > 0) again.push([`${module.relativeModuleId} > ${test.fullName}`, errors]);
        } else if (state === 'failed') failed++;
        else {
          counts.skipped++;
          const reason =
            note ??
            reasonIn(test.fullName) ??
            (test.options.mode === 'todo' ? 'not yet' : 'not selected, or without a reason');
          skipped.set(reason, [...(skipped.get(reason) ?? []), test.fullName]);
        }
      }
      // a file or a suite that breaks before its tests run has failed as well
      if (failed === 0 && module.state() === 'failed') failed = 1;
      counts.failed += failed;
      if (tests === 0 && failed === 0 && module.state() === 'skipped') counts.skipped++;
    }
    if (again.length > 0) console.log(`\nPassed at the second try (${again.length}), at the first:`);
    for (const [name, errors] of again)
      console.log(`  - ${name}: ${errors?.[0]?.message?.split('\n')[0] ?? 'no message'}`);
    for (const [reason, names] of skipped) {
      console.log(`\nSkipped (${names.length}): ${reason}`);
      for (const name of names) console.log(`  - ${name}`);
    }
    const file = process.env.REVEILLE_TEST_COUNTS;
    if (file === undefined)
      console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
    else writeFileSync(file, JSON.stringify(counts));
  }
}

/** Suites that cannot run here say why in their title: `... (skipped: redis-server is not installed)`. */
function reasonIn(title) {
  return /\(skipped: ([^)]+)\)/.exec(title)?.[1];
}
