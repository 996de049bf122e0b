/** Rows of the page: what the stand-ins saw, newest last, each with what the virtual phone behind the token made of it. No device token gets in here, only the start of its SHA-256. */
import { type Sighting, shortHash } from './activity.ts';

export interface PhoneMark {
  readonly user: string;
  readonly state: string;
  /** ms from the push to the REGISTER that was accepted */
  readonly latencyMs?: number;
}

export interface Row extends Sighting {
  /** counted from 1 */
  readonly number: number;
  /** ms since the epoch */
  readonly at: number;
  readonly phone?: PhoneMark;
}

const longestText = 300;

/** The push got to its phone, whatever whoever sent it was told. */
function hasArrived({ outcome, why }: Row): boolean {
  return outcome === 'accepted' || (outcome === 'fault' && why === 'drop after');
}

export class Feed {
  readonly #keep: number;
  readonly #listeners = new Set<(row: Row) => void>();
  #rows: Row[] = [];
  #count = 0;

  /** `keep`: rows that are remembered */
  constructor(keep = 500) {
    this.#keep = keep;
  }

  put(one: Sighting): void {
    this.#count += 1;
    const row: Row = {
      ...one,
      token: shortHash(one.token),
      class: one.class.slice(0, longestText),
      ...(one.why === undefined ? {} : { why: one.why.slice(0, longestText) }),
      number: this.#count,
      at: Date.now(),
    };
    this.#rows.push(row);
    if (this.#rows.length >= 2 * this.#keep) this.#rows = this.#rows.slice(-this.#keep);
    this.#tell(row);
  }

  /** Where the phone with this device token is now; told on the newest push it got. */
  mark(token: string, phone: PhoneMark): void {
    const hash = shortHash(token);
    const at = this.#rows.findLastIndex((row) => row.token === hash && hasArrived(row));
    const row = this.#rows[at];
    if (row === undefined) return;
    const latencyMs = phone.latencyMs ?? row.phone?.latencyMs;
    const marked = { ...row, phone: { ...phone, ...(latencyMs === undefined ? {} : { latencyMs }) } };
    this.#rows[at] = marked;
    this.#tell(marked);
  }

  /** The newest, oldest first. */
  rows(): readonly Row[] {
    return this.#rows.slice(-this.#keep);
  }

  clear(): void {
    this.#rows = [];
  }

  get followers(): number {
    return this.#listeners.size;
  }

  /** Called for each row that comes or changes; the returned function ends it. */
  on(listener: (row: Row) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(row: Row): void {
    for (const listener of this.#listeners) listener(row);
  }
}
