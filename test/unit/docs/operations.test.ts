import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tables } from '../../support/operations-tables.ts';
import { expectCurrent } from '../../support/page-tables.ts';

const page = readFileSync(join(import.meta.dirname, '../../../docs/operations.md'), 'utf8');

describe('docs/operations.md', () => {
  it('has the tables of config keys, metrics and errors, each as the code has it', () => {
    // UPDATE_DOCS=1 npm run test:unit -- operations
    expectCurrent('operations.md', tables);
  });

  it('names only metrics that exist', () => {
    const known = tables.metrics();
    const named = new Set(page.match(/\breveille_[a-z_]+/g) ?? []);
    expect([...named].filter((name) => !known.includes(`\`${name}\``))).toEqual([]);
  });
});
