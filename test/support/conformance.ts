/**
 * Which requirement is shown by which test: reads the titles in test/ and holds them against test/rfc/requirements.ts. A test is
 * evidence when its title, or that of the suite it stands in, begins with the id in brackets; it is proof when its file speaks
 * to a running edge or engine over sockets.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { isDemanded, requirements } from '../rfc/requirements.ts';
import { notYet } from '../rfc/not-yet.ts';
import { titlesIn } from './test-titles.ts';

const testRoot = join(import.meta.dirname, '..');

/** Whoever imports one of these, directly or by another helper, has the real program at the other end of a socket. */
const speaksToTheRealOne = new Set(
  ['edge', 'test-bed', 'interop-world', 'engine-process', 'program', 'raw-app', 'replay'].map((name) =>
    join(testRoot, 'support', `${name}.ts`),
  ),
);

export interface Evidence {
  /** path from test/ */
  readonly file: string;
  /** without the ids */
  readonly title: string;
  readonly overSockets: boolean;
}

/** By id. */
export type Shown = ReadonlyMap<string, readonly Evidence[]>;

/** What the titles in test/ claim. Skipped, todo and failing-as-expected tests claim nothing. */
export function shownByTests(): Shown {
  const shown = new Map<string, Evidence[]>();
  for (const path of testFiles()) {
    const source = readFileSync(path, 'utf8');
    const overSockets = reaches(path, new Set());
    for (const { ids, title } of titlesIn(source)) {
      const evidence = { file: relative(testRoot, path), title, overSockets };
      for (const id of ids) shown.set(id, [...(shown.get(id) ?? []), evidence]);
    }
  }
  return shown;
}

/** Everything that is wrong, a sentence each; empty when every demanded id is proven or explained. */
export function complaints(shown: Shown): readonly string[] {
  const known = new Set(requirements.map(({ id }) => id));
  const proven = (id: string): boolean => shown.get(id)?.some(({ overSockets }) => overSockets) ?? false;
  return [
    ...[...shown]
      .filter(([id]) => !known.has(id))
      .map(([id, [one]]) => `${id}: ${one?.file} names it, no page knows it`),
    ...Object.keys(notYet)
      .filter((id) => !known.has(id))
      .map((id) => `${id}: not-yet.ts names it, and no page knows it`),
    ...Object.keys(notYet)
      .filter(proven)
      .map((id) => `${id}: not-yet.ts excuses what a test shows`),
    ...Object.entries(notYet)
      .filter(([, reason]) => reason.length < 30)
      .map(([id]) => `${id}: the reason in not-yet.ts says too little`),
    ...requirements
      .filter((one) => isDemanded(one) && !proven(one.id) && !(one.id in notYet))
      .map(({ id, level }) => `${id} (${level}): no test over sockets, and no reason in not-yet.ts`),
    ...tautologies(),
  ];
}

/** The table of docs/conformance.md. */
export function conformanceTable(shown: Shown): string {
  const rows = requirements.map((one) => {
    const evidence = shown.get(one.id) ?? [];
    const wired = evidence.filter(({ overSockets }) => overSockets);
    const best = (wired.length > 0 ? wired : evidence)[0];
    const test = best === undefined ? '' : `${best.file}: ${best.title === '' ? one.id : best.title}`;
    return [one.id, one.source, one.level, one.modes || 'phone', test, statusOf(one.id, wired.length, evidence.length)];
  });
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  return [
    line(['id', 'source', 'level', 'mode', 'test', 'status']),
    '|---|---|---|---|---|---|',
    ...rows.map(line),
  ].join('\n');
}

/** `120 of 155 demanded ids are shown over sockets, 35 are explained.` */
export function conformanceSummary(shown: Shown): string {
  const demanded = requirements.filter(isDemanded);
  const excused = demanded.filter(({ id }) => id in notYet).length;
  const wired = requirements.filter(({ id }) => shown.get(id)?.some(({ overSockets }) => overSockets)).length;
  return `${requirements.length} ids; ${wired} are shown over sockets. Of the ${demanded.length} that an RFC demands of the edge, ${demanded.length - excused} are shown over sockets and ${excused} are not yet.`;
}

function statusOf(id: string, wired: number, all: number): string {
  const reason = notYet[id];
  if (reason !== undefined) return `not yet: ${reason}`;
  if (wired > 0) return `shown by ${wired}`;
  return all > 0 ? 'shown without sockets' : '';
}

/** Assertions about constants, which pass whatever the program does. */
function tautologies(): readonly string[] {
  const empty = /expect\(\s*(?:true|false|null|undefined|\d+|'[^']*')\s*\)/;
  return testFiles()
    .filter((path) => empty.test(readFileSync(path, 'utf8')))
    .map((path) => `${relative(testRoot, path)}: an assertion about a constant cannot fail`);
}

function testFiles(): readonly string[] {
  return readdirSync(testRoot, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .sort()
    .map((name) => join(testRoot, name));
}

function reaches(path: string, seen: Set<string>): boolean {
  if (speaksToTheRealOne.has(path)) return true;
  if (seen.has(path)) return false;
  seen.add(path);
  const source = readFileSync(path, 'utf8');
  const imports = [...source.matchAll(/^(?:import|export)\s(?!type\b)[^;]*?from\s+'(\.[^']+\.ts)'/gm)];
  return imports.some(([, name = '']) => {
    const target = join(dirname(path), name);
    return target.startsWith(testRoot) && reaches(target, seen);
  });
}
