import { expect, it } from 'vitest';
import { titlesIn } from '../../support/test-titles.ts';

/** `~` is to be left out: this file has titles of its own, which are read too. */
const read = (source: string) => titlesIn(source.replaceAll('~', ''));
const idsIn = (source: string): readonly string[] => read(source).flatMap(({ ids }) => ids);

it.each([
  [`i~t('[A-B-01] [A-B-02] both', () => {`, ['A-B-01', 'A-B-02']],
  ['te~st(`[A-B-01] as ${large} as it is`, async () => {', ['A-B-01']],
  [`de~scribe('[A-B-01] a suite', () => { i~t('of its own', go) })`, ['A-B-01']],
  [`i~t.each(rows.filter((row) => f(g(row)) === ')'))(\n  '[A-B-01] row %s',`, ['A-B-01']],
  [`i~t.skipIf(missing !== undefined)(\n'[A-B-01] where Redis is', go)`, ['A-B-01']],
  [`const rows = [{ id: 'A-B-01] [A-B-02' }]; i~t.each(rows)('[$id] [A-B-03] $row'`, ['A-B-01', 'A-B-02', 'A-B-03']],
  [`i~t('in the middle [A-B-01]', go)`, []],
  [`i~t.skip('[A-B-01] later', go); te~st.todo('[A-B-02] later'); i~t.fails('[A-B-03] not', go)`, []],
  [`submit('[A-B-01] no test'); audit.i~t('[A-B-02] neither')`, []],
])('%s', (source, ids) => {
  expect([...new Set(idsIn(source))]).toEqual(ids);
});

it('gives the title without its ids', () => {
  expect(read(`i~t('[A-B-01] rings once', go)`)).toEqual([{ ids: ['A-B-01'], title: 'rings once' }]);
});
