import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tables, withTables } from '../../support/operations-tables.ts';

const file = join(import.meta.dirname, '../../../docs/operations.md');
const page = readFileSync(file, 'utf8');

describe('docs/operations.md', () => {
  it('has the tables of config keys, metrics and errors, each as the code has it', () => {
    for (const name of Object.keys(tables)) expect(page).toContain(`<!-- table: ${name} -->\n`);
    const now = withTables(page);
    // UPDATE_DOCS=1 npm run test:unit -- operations
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(file, now);
    else expect(page).toBe(now);
  });

  it('names only metrics that exist', () => {
    const known = tables.metrics();
    const named = new Set(page.match(/\breveille_[a-z_]+/g) ?? []);
    expect([...named].filter((name) => !known.includes(`\`${name}\``))).toEqual([]);
  });
});
