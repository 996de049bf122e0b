/** The same in an lmdb file: what a million phones take on the disk, and how long the event loop stands still while they come, are listed, and end. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLmdbStore } from '../../lib/adapters/lmdb/location-store.ts';
import { fill, listAll } from './load.ts';
import type { Phase } from './phase.ts';
import { watchLoop } from './stalls.ts';

export interface LmdbFigures {
  readonly phones: number;
  /** of the file for each phone */
  readonly bytes: number;
  readonly loadRate: number;
  readonly listRate: number;
  readonly expireSeconds: number;
  readonly phases: readonly Phase[];
}

const notNow = 3_600_000;

export async function onLmdb(phones: number, say: (text: string) => void): Promise<LmdbFigures> {
  const path = mkdtempSync(join(tmpdir(), 'reveille-million-'));
  const file = join(path, 'data.mdb');
  const phases: Phase[] = [];
  const during = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    say(name);
    const loop = watchLoop();
    const from = performance.now();
    const result = await work();
    const seconds = (performance.now() - from) / 1000;
    const { idle, ...turns } = await loop();
    phases.push({ name, seconds, turns, idle });
    return result;
  };
  try {
    let store = await openLmdbStore({ path, sweepEveryMs: notNow });
    const before = statSync(file).size;
    // the sets may be forgotten at once: the sweep below shall find a million of them
    const filled = { store, agenda: store.agenda, owners: store.owners };
    const took = await during('load', () => fill(filled, { phones, seconds: 7200, keepUntil: Date.now(), say }));
    const bytes = (statSync(file).size - before) / phones;
    const listed = await during('list', () => listAll(store));
    if (listed.bindings !== phones) throw new Error(`${listed.bindings} of ${phones} were listed`);
    await during('claim refresh tasks', async () => {
      const at = Date.now() + 7_200_000;
      for (let n = 0; n < 20; n++) await store.agenda.claim(at, at + 60_000, 400);
    });
    await store.close();
    store = await during('open again', () => openLmdbStore({ path, sweepEveryMs: 1000 }));
    const expireSeconds = await during('expire', async () => {
      const from = performance.now();
      while ((await store.scan('', 1)).aors.length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
      return (performance.now() - from) / 1000;
    });
    await store.close();
    const secondsOf = (name: string): number => phases.find((phase) => phase.name === name)?.seconds ?? Number.NaN;
    return { phones, bytes, loadRate: phones / took, listRate: phones / secondsOf('list'), expireSeconds, phases };
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}
