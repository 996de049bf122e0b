import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tables } from '../../support/operations-tables.ts';
import { expectCurrent } from '../../support/page-tables.ts';

const { config, engine, metrics, errors, placeholders } = tables;
const pages = { 'operations.md': { config, metrics, errors }, 'engine.md': { engine }, 'push.md': { placeholders } };

describe.each(Object.entries(pages))('docs/%s', (name, owned) => {
  it('has its tables, each as the code has it', () => {
    // UPDATE_DOCS=1 npm run test:unit -- operations
    expectCurrent(name, owned);
  });

  it('names only metrics that exist', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs', name), 'utf8');
    const known = metrics();
    const named = new Set(page.match(/\breveille_[a-z_]+/g) ?? []);
    expect([...named].filter((metric) => !known.includes(`\`${metric}\``))).toEqual([]);
  });
});
