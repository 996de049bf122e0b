import { expect, test } from 'vitest';
import { drawing, machines, transactionParts, transitions } from '../../support/machines.ts';
import { expectCurrent } from '../../support/page-tables.ts';

test('docs/transactions.md draws the machines as they are', () => {
  // UPDATE_DOCS=1 npm run test:unit -- transactions
  expectCurrent('transactions.md', transactionParts);
});

test('a drawing has every transition', () => {
  for (const machine of Object.values(machines)) {
    const drawn = drawing(machine).split(/<br>|\n/);
    expect(drawn.filter((line) => / --> |^[a-z-]+( \/ .*)?$/.test(line)).length).toBe(transitions(machine).length + 1);
  }
});
