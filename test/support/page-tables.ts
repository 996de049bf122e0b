/** Parts of a page that are made from the code they are about: each stands between `<!-- table: name -->` and `<!-- end -->`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';

export type Makers = Readonly<Record<string, () => string>>;

export const code = (text: string): string => `\`${text}\``;
// a bar would end the cell
const cell = (text: string): string => text.replaceAll('|', '\\|');

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

/** Puts each part between its markers; unknown markers are an error. */
export function withParts(page: string, makers: Makers): string {
  return page.replace(
    /(<!-- table: ([\w-]+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, start: string, name: string, end: string) => {
      const make = makers[name];
      if (make === undefined) throw new Error(`There is no table ${name}.`);
      return `${start}${make()}\n${end}`;
    },
  );
}

/** The page has every part, as the code has it now; with UPDATE_DOCS=1 it is written anew instead. */
export function expectCurrent(name: string, makers: Makers): void {
  const file = join(import.meta.dirname, '../../docs', name);
  const page = readFileSync(file, 'utf8');
  for (const part of Object.keys(makers)) expect(page).toContain(`<!-- table: ${part} -->\n`);
  const now = withParts(page, makers);
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(file, now);
  else expect(page).toBe(now);
}
