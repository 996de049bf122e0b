/** The ladder as text: four columns, one line for each message, times on the left. Colour is the caller's choice. */
import { type Chapter, columns, type Rung, type RungKind } from './rungs.ts';

/** where the line of each column stands; the second gap is wide, because most is said there */
const places = [0, 25, 54, 70] as const;
const end = 70;
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

/** `heads`: what stands above the columns, when that is not their names. */
export function drawLadder(
  rungs: readonly Rung[],
  chapters: readonly Chapter[],
  colour: boolean,
  heads: readonly string[] = columns,
): string {
  const tint = ([on, off]: readonly [number, number], text: string): string =>
    colour ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  const head = atPlaces((index) => heads[index] ?? '');
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
  return atPlaces(() => '│');
}

function atPlaces(text: (index: number) => string): string {
  return places.reduce((line, place, index) => `${line.padEnd(place)}${text(index)}`, '');
}

function rungLine({ atMs, from, to, what, kind }: Rung, tint: Tint): string {
  const time = `${atMs.toFixed(1).padStart(margin - 2)}  `;
  const cells = rail()
    .padEnd(end + 1)
    .split('');
  const [here, there] = [place(from), place(to)];
  if (here === there) {
    // something that happened at one of them, told beside its line
    const before = cells.slice(0, here + 1).join('');
    const after = cells.slice(here + what.length + 3).join('');
    return `${time}${before} ${tint(paint[kind], what)} ${after}`.trimEnd();
  }
  const left = Math.min(here, there);
  const width = Math.abs(here - there) - 1;
  const body = ` ${fitted(what, width - 4)} `;
  const tips = kind === 'voice' ? 2 : 1;
  const dashes = Math.max(0, width - body.length - tips);
  const lead = Math.min(2, dashes);
  const shaft = `${'─'.repeat(lead)}${body}${'─'.repeat(dashes - lead)}`;
  const arrow = `${here > there || kind === 'voice' ? '◀' : ''}${shaft}${here < there || kind === 'voice' ? '▶' : ''}`;
  return `${time}${cells.slice(0, left + 1).join('')}${tint(paint[kind], arrow)}${cells.slice(left + 1 + width).join('')}`;
}

function place(column: Rung['from']): number {
  return places[columns.indexOf(column)] ?? 0;
}

/** The reason phrase goes first when there is no room: `401 Unauthorized (REGISTER)` becomes `401 (REGISTER)`. */
function fitted(what: string, room: number): string {
  const shorter = what.length <= room ? what : what.replace(/^(\d{3}) [^(]*/, '$1 ');
  return shorter.slice(0, room);
}
