/** A few thousand inputs for every fuzz target, the same each time (`npm run fuzz` runs longer, and learns from coverage). */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { fuzz } from '../../../fuzz/fuzz.ts';
import { must, type Target } from '../../../fuzz/target.ts';
import { targets } from '../../../fuzz/targets/all.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

const run = (target: Target, executions: number): ReturnType<typeof fuzz> =>
  fuzz(target, { seed: 1, mostFindings: 5, done: (count) => count >= executions });

describe('no input breaks', () => {
  test.each([
    ['messages', 2500],
    ['values', 3000],
    ['streams', 2500],
    ['frames', 1500],
    ['engine', 500],
  ])('%s (%i inputs)', { timeout: 60_000 }, async (name, executions) => {
    const target = await targets[name]!(root);
    const { found, executions: done } = await run(target, executions);
    await target.close?.();
    expect(found).toEqual([]);
    expect(done).toBeGreaterThanOrEqual(executions);
  });
});

describe('the loop', () => {
  const target = (breaks: (input: string) => void, withinMs = 1000): Target => ({
    name: 'a target',
    seeds: ['OPTIONS sip:a SIP/2.0'],
    words: ['needle'],
    withinMs,
    run: breaks,
  });

  test('finds what breaks, once, and keeps the shortest input', async () => {
    const { found } = await run(
      target((input) => must(!input.includes('needle'), 'a needle')),
      2000,
    );
    expect(found.map(({ why }) => why.split('\n')[0])).toEqual(['Broken: a needle']);
    expect(found[0]?.input.length).toBeLessThan(60);
  });

  test('finds what is slow every time, and not what was slow once', async () => {
    let once = true;
    const spend = (ms: number): void => {
      const from = process.cpuUsage();
      for (let spent = 0; spent < ms * 1000; ) {
        for (let n = 0; n < 100_000; n++) spent += n % 2 === 0 ? 1e-9 : -1e-9;
        const { user, system } = process.cpuUsage(from);
        spent = user + system;
      }
    };
    const slow = target((input) => {
      if (input === 'needle') spend(20);
      else if (once) spend(20);
      once = false;
    }, 15);
    const { found } = await run({ ...slow, seeds: ['harmless', 'needle'] }, 2);
    expect(found.map(({ input, why }) => [input, why.slice(0, 5)])).toEqual([['needle', 'slow:']]);
  });

  test('the same seed makes the same inputs, another seed others', async () => {
    const inputsOf = async (seed: number): Promise<string[]> => {
      const inputs: string[] = [];
      const done = (count: number): boolean => count >= 300;
      await fuzz(
        target(() => {}),
        { seed, mostFindings: 1, done, onInput: (input) => void inputs.push(input) },
      );
      return inputs;
    };
    const [first, again, other] = [await inputsOf(7), await inputsOf(7), await inputsOf(8)];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });
});
