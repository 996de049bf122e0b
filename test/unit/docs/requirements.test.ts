import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { complaints, conformanceSummary, conformanceTable, shownByTests } from '../../support/conformance.ts';

const file = join(import.meta.dirname, '../../../docs/conformance.md');
const shown = shownByTests();

describe('docs/conformance.md', () => {
  it('every id that an RFC demands of the edge is shown by a test over sockets, or excused with a reason', () => {
    expect(complaints(shown)).toEqual([]);
  });

  it('is what the tests say', () => {
    const now = page();
    // npm run conformance
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(file, now);
    expect(readFileSync(file, 'utf8')).toBe(now);
  });
});

function page(): string {
  return `# Conformance

Made by \`npm run conformance\` from the titles of the tests; do not edit. ${conformanceSummary(shown)}

- **mode**: P (\`path\`: the PBX is the registrar and keeps the phone's Contact), M (\`mid-registrar\`), R (\`registrar\`);
  *phone*: the duty of the phone or the operator, which the edge has to live with.
- **test**: the first one; **status** counts all whose titles begin with the id and which speak to a running edge or engine over
  sockets. *shown without sockets*: by a pure test only. Nothing: not shown, and no RFC demands it with a key word.
- "Shown" is what titles claim: whether a test passes is said by a run of \`npm test\`, whether it shows enough by reading it.

${conformanceTable(shown)}
`;
}
