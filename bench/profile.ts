/** Reads a CPU profile of node (--cpu-prof) and tells where the time itself was spent, by function and by room, in terms of our sources. */
import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from './servers/place.ts';

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
      readonly columnNumber: number;
    };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  /** microseconds since the sample before */
  readonly timeDeltas: readonly number[];
}

export interface HotSpot {
  /** function and file:line */
  readonly where: string;
  readonly selfMs: number;
  /** of the time that was not idle */
  readonly share: number;
}

export interface ProfileSummary {
  readonly busyMs: number;
  readonly functions: readonly HotSpot[];
  readonly rooms: readonly HotSpot[];
  /** self time charged to the nearest caller in our own sources */
  readonly charged: readonly HotSpot[];
}

/** `skip`: share of the profile at its begin that is left out (start and warm-up). */
export function readProfile(file: string, skip: number): ProfileSummary {
  const profile = JSON.parse(readFileSync(file, 'utf8')) as Profile;
  const parents = new Map<number, number>();
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node.id);
  const self = new Map<number, number>();
  const total = profile.timeDeltas.reduce((sum, delta) => sum + delta, 0);
  let at = 0;
  profile.samples.forEach((id, index) => {
    const delta = profile.timeDeltas[index] ?? 0;
    at += delta;
    if (at >= total * skip) self.set(id, (self.get(id) ?? 0) + delta);
  });
  const functions = new Map<string, number>();
  const rooms = new Map<string, number>();
  const charged = new Map<string, number>();
  let busy = 0;
  const add = (sums: Map<string, number>, key: string, micros: number): void =>
    void sums.set(key, (sums.get(key) ?? 0) + micros);
  for (const [id, micros] of self) {
    const frame = nodes.get(id)?.callFrame;
    if (frame === undefined || frame.functionName === '(idle)') continue;
    busy += micros;
    add(functions, nameOf(frame), micros);
    let owner: number | undefined = id;
    while (owner !== undefined && !isOurs(nodes.get(owner)?.callFrame.url ?? '')) owner = parents.get(owner);
    const ours = owner === undefined ? undefined : nodes.get(owner)?.callFrame;
    add(charged, ours === undefined ? nameOf(frame) : nameOf(ours), micros);
    add(
      rooms,
      roomOf(
        frame.url === '' || frame.url.startsWith('node:') ? (ours?.url ?? frame.url) : frame.url,
        frame.functionName,
      ),
      micros,
    );
  }
  const sorted = (sums: Map<string, number>): HotSpot[] =>
    [...sums]
      .sort(([, a], [, b]) => b - a)
      .map(([where, micros]) => ({ where, selfMs: Math.round(micros / 1000), share: micros / busy }));
  return {
    busyMs: Math.round(busy / 1000),
    functions: sorted(functions),
    rooms: sorted(rooms),
    charged: sorted(charged),
  };
}

export function printProfile(file: string, skip: number, rows = 15): string {
  const { busyMs, functions, rooms, charged } = readProfile(file, skip);
  const list = (title: string, spots: readonly HotSpot[]): string =>
    `  ${title}\n${spots
      .slice(0, rows)
      .map(
        ({ where, selfMs, share }) =>
          `    ${(share * 100).toFixed(1).padStart(5)} %  ${String(selfMs).padStart(6)} ms  ${where}\n`,
      )
      .join('')}`;
  return `${file}: busy ${busyMs} ms\n${list('self time by function', functions)}${list('self time with what is called in node and packages, by our function', charged)}${list('by room', rooms)}`;
}

function isOurs(url: string): boolean {
  return url.startsWith('file:') && !url.includes('/node_modules/') && url.includes('/dist/');
}

function roomOf(url: string, functionName: string): string {
  if (url === '') return functionName;
  if (url.startsWith('node:')) return 'node';
  const inPackage = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url);
  if (inPackage !== null) return `package ${inPackage[1]}`;
  const parts = relative(projectRoot, fileURLToPath(url)).split('/').slice(1, -1);
  return parts.slice(0, 3).join('/');
}

const maps = new Map<string, SourceMap | undefined>();

function nameOf({ functionName, url, lineNumber, columnNumber }: Profile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  if (!url.startsWith('file:')) return `${name} ${url}:${lineNumber + 1}`;
  const path = fileURLToPath(url);
  const short = relative(projectRoot, path).replace(/^.*node_modules\//, '');
  if (!maps.has(path)) {
    const map = `${path}.map`;
    maps.set(path, existsSync(map) && isOurs(url) ? new SourceMap(JSON.parse(readFileSync(map, 'utf8'))) : undefined);
  }
  const entry = maps.get(path)?.findEntry(lineNumber, columnNumber);
  if (entry !== undefined && 'originalLine' in entry)
    return `${name} ${short.replace(/^dist\//, '').replace(/\.js$/, '.ts')}:${entry.originalLine + 1}`;
  return `${name} ${short}:${lineNumber + 1}`;
}
