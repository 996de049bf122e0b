/** Plays the recorded conversations with drachtio-server against the embedded engine. See drachtio-fixtures.ts and support/replay.ts. */
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Line, replay } from '../support/replay.ts';
import { type Deliberate, fixtures } from './drachtio-fixtures.ts';

const folder = new URL('../fixtures/drachtio/', import.meta.url);
// a loopback network for each conversation, so that all can use port 5060 at once and with other runs on this machine
const second = randomInt(64, 240);

function linesOf(name: string): Line[] {
  const text = readFileSync(new URL(`${name}.jsonl`, folder), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

const played = Object.entries(fixtures).flatMap(([name, fixture]) =>
  fixture.is === 'replayed' ? [{ name, deliberate: fixture.deliberate ?? [] }] : [],
);

describe('recorded conversations', () => {
  const over = (link: string, inMemory: boolean, from: number) =>
    played.map((each, at) => ({ ...each, link, inMemory, at: from + at }));
  test.concurrent.each([...over('a socket', false, 0), ...over('memory', true, played.length)])(
    '$name, the app over $link',
    { timeout: 60_000 },
    async ({ name, deliberate, at, inMemory }) => {
      const differences = await replay(linesOf(name), `127.${second + (at >> 8)}.${at & 255}.`, {}, inMemory);
      const isDeliberate = (difference: string): boolean =>
        deliberate.some((each: Deliberate) => each.difference.test(difference));
      expect(differences.filter((difference) => !isDeliberate(difference))).toEqual([]);
      for (const each of deliberate)
        expect(differences.some((difference) => each.difference.test(difference))).toBe(true);
    },
  );

  test('every recording kept here is played', () => {
    const kept = readdirSync(folder).map((file) => file.replace('.jsonl', ''));
    expect(kept.toSorted()).toEqual(played.map((each) => each.name).toSorted());
  });

  test('whatever is not played says why', () => {
    for (const fixture of Object.values(fixtures))
      if (fixture.is === 'not yet') expect(fixture.why.length).toBeGreaterThan(20);
  });
});
