/** The ladder as text: four columns, one line for each message, times on the left. Colour is the caller's choice. */
import { type Chapter, columns, type Rung, type RungKind } from './rungs.ts';

const gap = 26;
const margin = 10;

const paint: Readonly<Record<RungKind, readonly [number, number]>> = {
  request: [36, 39],
  progress: [90, 39],
  success: [32, 39],
  failure: [33, 39],
  push: [35, 39],
  voice: [34, 39],
  note: [90, 39],
};

export function drawLadder(rungs: readonly Rung[], chapters: readonly Chapter[], colour: boolean): string {
  const tint = ([on, off]: readonly [number, number], text: string): string =>
    colour ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  const head = columns.map((name) => name.padEnd(gap)).join('');
  const lines = [tint([1, 22], `${'ms'.padStart(margin - 2)}  ${head}`.trimEnd())];
  const rest = [...chapters];
  for (const rung of rungs) {
    while (rest[0] !== undefined && rest[0].atMs <= rung.atMs)
      lines.push(...chapterLines(rest.shift()?.title ?? '', tint));
    lines.push(rungLine(rung, tint));
  }
  return `${lines.join('\n')}\n`;
}

type Tint = (colours: readonly [number, number], text: string) => string;

function chapterLines(title: string, tint: Tint): string[] {
  return [
    `${' '.repeat(margin)}${rail()}`,
    `${' '.repeat(margin)}${tint([1, 22], title)}`,
    `${' '.repeat(margin)}${rail()}`,
  ];
}

function rail(): string {
  return columns
    .map(() => '│'.padEnd(gap))
    .join('')
    .trimEnd();
}

function rungLine({ atMs, from, to, what, kind }: Rung, tint: Tint): string {
  const time = `${atMs.toFixed(1).padStart(margin - 2)}  `;
  const cells = [...rail().padEnd((columns.length - 1) * gap + 1)];
  const [left, right] = [columns.indexOf(from), columns.indexOf(to)].sort((a, b) => a - b) as [number, number];
  if (left === right) {
    // something that happened at one of them, told beside its line
    const at = left * gap;
    const before = cells.slice(0, at + 1).join('');
    const after = cells.slice(at + 2 + what.length + 1).join('');
    return `${time}${before} ${tint(paint[kind], what)} ${after}`.trimEnd();
  }
  const start = left * gap + 1;
  const width = (right - left) * gap - 1;
  const label = ` ${what} `;
  const rightwards = columns.indexOf(from) < columns.indexOf(to);
  const dashes = Math.max(0, width - label.length - 1);
  const lead = Math.min(2, dashes);
  const arrow = rightwards
    ? `${'─'.repeat(lead)}${label}${'─'.repeat(dashes - lead)}▶`
    : `◀${'─'.repeat(lead)}${label}${'─'.repeat(dashes - lead)}`;
  return `${time}${cells.slice(0, start).join('')}${tint(paint[kind], arrow)}${cells.slice(start + width).join('')}`;
}
