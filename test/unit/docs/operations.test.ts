import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tables, withTables } from '../../support/operations-tables.ts';

const pages = {
  'operations.md': ['config', 'metrics', 'errors'],
  'engine.md': ['engine'],
} as const;
const fileOf = (page: string): string => join(import.meta.dirname, '../../../docs', page);

describe.each(Object.entries(pages))('docs/%s', (name, owned) => {
  const page = readFileSync(fileOf(name), 'utf8');

  it('has its tables, each as the code has it', () => {
    for (const table of owned) expect(page).toContain(`<!-- table: ${table} -->\n`);
    const now = withTables(page);
    // UPDATE_DOCS=1 npm run test:unit -- operations
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(fileOf(name), now);
    else expect(page).toBe(now);
  });

  it('names only metrics that exist', () => {
    const known = tables.metrics();
    const named = new Set(page.match(/\breveille_[a-z_]+/g) ?? []);
    expect([...named].filter((metric) => !known.includes(`\`${metric}\``))).toEqual([]);
  });
});

it('every table stands on a page', () => {
  expect(Object.values(pages).flat().toSorted()).toEqual(Object.keys(tables).toSorted());
});
