/** Fills a store with phones the way accepted REGISTERs do: set, refresh task and token owners; lists it; waits for it to be empty. */
import { randomBytes } from 'node:crypto';
import { nextRefresh, refreshTask } from '../../lib/core/refresh-schedule.ts';
import type { Agenda } from '../../lib/ports/agenda.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { TokenOwners } from '../../lib/ports/token-owners.ts';
import { TokenMover } from '../../lib/tokens/owners.ts';
import { QuietLog } from '../../test/support/quiet-log.ts';
import { TelemetryRecorder } from '../../test/support/telemetry-recorder.ts';
import { aorOf, phoneAt } from './phones.ts';

export interface Filled {
  readonly store: LocationStore;
  readonly agenda: Agenda;
  readonly owners: TokenOwners;
}

/** as many as npm run bench -- register has under way */
const inFlight = 32;

export interface Filling {
  readonly phones: number;
  /** of each registration, seconds */
  readonly seconds: number;
  /** when the store may forget a set, ms since the epoch; the end of its registration when absent */
  readonly keepUntil?: number;
  /** hears each tenth */
  readonly say?: (text: string) => void;
}

/** Resolves to the seconds it took. Rejects when a phone could not be stored. */
export async function fill(
  { store, agenda, owners }: Filled,
  { phones, seconds, keepUntil, say }: Filling,
): Promise<number> {
  const tokenKey = randomBytes(32);
  const log = new QuietLog();
  const mover = new TokenMover({ store, owners, log, telemetry: new TelemetryRecorder(), tokenKey });
  const from = performance.now();
  await atOnce(phones, inFlight, async (n) => {
    const now = Date.now();
    const phone = phoneAt(n, now, seconds);
    const due = nextRefresh(phone, now, { leadSeconds: 300 });
    const [stored] = await Promise.all([
      store.swap(aorOf(n), 0, [phone], keepUntil ?? phone.expiresAt),
      due === undefined ? undefined : agenda.put(refreshTask(phone.aor, phone.id), due),
      mover.registered([phone], []),
    ]);
    if (stored !== 'stored') throw new Error(`${phone.aor} was not stored`);
    if (n > 0 && n % Math.ceil(phones / 10) === 0) say?.(`${n.toLocaleString('en')} loaded`);
  });
  if (log.lines.length > 0) throw new Error(`${log.lines.length} warnings, first: ${log.lines[0]?.message}`);
  return (performance.now() - from) / 1000;
}

/** Every AOR once, with its bindings, in pages; how many bindings there were and the longest page. */
export async function listAll(store: LocationStore): Promise<{ readonly bindings: number; readonly page: number }> {
  let bindings = 0;
  let page = 0;
  for (let cursor: string | undefined = ''; cursor !== undefined; ) {
    const found: Awaited<ReturnType<LocationStore['scan']>> = await store.scan(cursor, 100);
    const sets = await Promise.all(found.aors.map((aor) => store.read(aor)));
    for (const set of sets) bindings += set.bindings.length;
    page = Math.max(page, found.aors.length);
    cursor = found.next;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { bindings, page };
}

/**
 * So many at a time, each in a turn of the event loop of its own, as what comes from a socket does. lmdb may have written before we look:
 * whoever went on at once would then do one after the other in one long turn, which no edge does.
 */
export async function atOnce(count: number, most: number, task: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let n = next++; n < count; n = next++) {
      await new Promise((resolve) => setImmediate(resolve));
      await task(n);
    }
  };
  await Promise.all(Array.from({ length: most }, worker));
}
