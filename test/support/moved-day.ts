/** Edges whose time of day a test moves, and ours with it; timers keep their pace. One for each test file. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { vi } from 'vitest';
import { Bed, type BedOptions } from './test-bed.ts';

const preload = pathToFileURL(join(import.meta.dirname, 'moved-time.mjs')).href;

export class MovedDay {
  readonly #dir = mkdtempSync(join(tmpdir(), 'reveille-day-'));
  readonly #file = join(this.#dir, 'ahead');
  readonly #beds: Bed[] = [];
  #ahead = 0;

  constructor() {
    writeFileSync(this.#file, '0');
    // before any bed is opened: the stand-in for APNs keeps this function
    const now = Date.now.bind(Date);
    vi.spyOn(Date, 'now').mockImplementation(() => now() + this.#ahead * 1000);
  }

  /** A bed that lives in this day, until it ends. */
  async open(options?: BedOptions): Promise<Bed> {
    const bed = await this.#started(() => Bed.open(options));
    this.#beds.push(bed);
    return bed;
  }

  /** Its edge ends and is started again, as far ahead as it was. */
  async restart({ edge }: Bed): Promise<void> {
    await edge.process.stop();
    await this.#started(() => edge.process.restart());
  }

  async #started<T>(start: () => Promise<T>): Promise<T> {
    vi.stubEnv('MOVED_DAY_FILE', this.#file).stubEnv('NODE_OPTIONS', `--import=${preload}`);
    try {
      return await start();
    } finally {
      vi.unstubAllEnvs();
    }
  }

  /** So many seconds pass for everybody. */
  async pass(seconds: number): Promise<void> {
    this.#ahead += seconds;
    writeFileSync(this.#file, String(this.#ahead));
    for (const { edge } of this.#beds) {
      edge.process.child.signal('SIGUSR2');
      await vi.waitUntil(() => edge.process.noise.includes(`seconds ahead: ${this.#ahead}`), {
        interval: 10,
        timeout: 10_000,
      });
    }
  }

  /** The time goes on until it is this time, ms since the epoch. */
  passUntil(at: number): Promise<void> {
    return this.pass(Math.max(0, Math.ceil((at - Date.now()) / 1000)));
  }

  /** Closes the beds, the newest first. */
  async end(): Promise<void> {
    vi.restoreAllMocks();
    for (const bed of this.#beds.splice(0).toReversed()) await bed.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
