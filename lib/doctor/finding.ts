/** One thing the doctor has looked at, and how all of them are told. */

export type Result = 'ok' | 'warn' | 'fail' | 'skipped';

export interface Finding {
  readonly check: string;
  /** what was looked at: a server, a file, a section of the config; no secret */
  readonly about: string;
  readonly result: Result;
  /** what was found; of `skipped` the reason */
  readonly found: string;
  /** what would be well, where that does not go without saying */
  readonly expected?: string;
  /** one sentence: which key or setting to change */
  readonly fix?: string;
}

/** 0: nothing has failed; 1: something has. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 {
  return findings.some(({ result }) => result === 'fail') ? 1 : 0;
}

const colours: Readonly<Record<Result, number>> = { ok: 32, warn: 33, fail: 31, skipped: 90 };

/** Aligned lines, a headline for each `about`; ends with the totals. */
export function findingsAsText(findings: readonly Finding[], colour: boolean): string {
  const tint = (code: number, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[39m` : text);
  const width = Math.max(0, ...findings.map(({ check }) => check.length));
  const lines: string[] = [];
  for (const [at, { about, check, result, found, expected, fix }] of findings.entries()) {
    if (findings[at - 1]?.about !== about) lines.push(...(at === 0 ? [] : ['']), about);
    const indent = ' '.repeat(width + 13);
    const told = found.replaceAll('\n', `\n${indent}`);
    lines.push(`  ${tint(colours[result], result.padEnd(7))}  ${check.padEnd(width)}  ${told}`);
    if (expected !== undefined && result !== 'ok') lines.push(`${indent}expected: ${expected}`);
    if (fix !== undefined && result !== 'ok') lines.push(`${indent}fix: ${fix}`);
  }
  const count = (result: Result): number => findings.filter((one) => one.result === result).length;
  const totals = (['ok', 'warn', 'fail', 'skipped'] as const).map((result) => `${count(result)} ${result}`).join(', ');
  return `${lines.join('\n')}\n\n${totals}\n`;
}
