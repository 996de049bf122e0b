/** Tables of text, and how figures are written in them. */
import type { Spread } from './figures.ts';

export function ms(spread: Spread | null): [string, string] {
  return spread === null ? ['-', '-'] : [spread.p50.toFixed(2), spread.p99.toFixed(2)];
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

export function mib(kib: number): string {
  return (kib / 1024).toFixed(0);
}

export function range(values: readonly number[]): string {
  if (values.length < 2) return '';
  const digits = Math.max(...values) < 10 ? 2 : 0;
  return `${Math.min(...values).toFixed(digits)}-${Math.max(...values).toFixed(digits)}`;
}

export function grid(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines
    .map(
      (line) =>
        `  ${line.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')}\n`,
    )
    .join('');
}
