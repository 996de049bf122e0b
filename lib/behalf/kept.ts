/** What is written of each registration, and how it is read, found and forgotten; every write names the version it has seen. */
import type { Aor } from '../core/binding.ts';
import type { OutboundRegistration } from '../core/outbound-registration.ts';
import type { Records } from '../ports/records.ts';

export interface Kept {
  readonly one: OutboundRegistration;
  /** the node that has registered last */
  readonly owner: string;
  /** fingerprint of the account it was made with */
  readonly account: string;
  /** what the PBX knows it by, `sip:user@registrar` */
  readonly identity: string;
  /** what it was made with, so that it can be taken back when the account is gone; none without a key to seal with */
  readonly login?: KeptLogin;
  /** the account is gone: taken back, then forgotten */
  readonly leaving?: true;
}

export interface KeptLogin {
  readonly authUser: string;
  readonly realm?: string;
  /** where the PBX was */
  readonly nextHop?: string;
  /** the password as core/sealed-secret has it */
  readonly sealed: string;
}

/** How often another writer may come between. */
const attempts = 20;
const pageSize = 200;

export class KeptRegistrations {
  readonly #records: Records;

  constructor(records: Records) {
    this.#records = records;
  }

  async read(aor: Aor): Promise<{ readonly kept: Kept; readonly version: number } | undefined> {
    const record = await this.#records.read('registration', aor);
    const kept = record === undefined ? undefined : parse(record.value);
    return record === undefined || kept === undefined ? undefined : { kept, version: record.version };
  }

  /** As `Records.swap`. */
  write(aor: Aor, expected: number, kept: Kept): Promise<number | undefined> {
    return this.#records.swap('registration', aor, expected, JSON.stringify(kept));
  }

  async forget(aor: Aor): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const record = await this.#records.read('registration', aor);
      if (record === undefined) return;
      if ((await this.#records.swap('registration', aor, record.version, undefined)) !== undefined) return;
    }
  }

  async any(): Promise<boolean> {
    for await (const _ of this.all()) return true;
    return false;
  }

  async *all(): AsyncGenerator<readonly [Aor, Kept, number]> {
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page: Awaited<ReturnType<KeptRegistrations['scan']>> = await this.scan(cursor, pageSize);
      yield* page.found;
      cursor = page.next;
    }
  }

  /** As `Records.scan`. */
  async scan(
    cursor: string,
    limit: number,
  ): Promise<{ readonly found: readonly (readonly [Aor, Kept, number])[]; readonly next: string | undefined }> {
    const { records, next } = await this.#records.scan('registration', cursor, limit);
    const found = records.flatMap(({ name, value, version }): [Aor, Kept, number][] => {
      const kept = parse(value);
      return kept === undefined ? [] : [[name, kept, version]];
    });
    return { found, next };
  }
}

function parse(value: string): Kept | undefined {
  try {
    return JSON.parse(value) as Kept;
  } catch {
    return undefined;
  }
}
