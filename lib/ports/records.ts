/**
 * Small named texts that outlive restarts and that all nodes of one store share: accounts, what is known of their registrations,
 * which nodes live. Each has a version, and a write says which one it has seen: whoever comes second learns it and starts anew.
 */

/**
 * account: what the edge may register with (its secret sealed); registration: where that stands; node: until when one lives;
 * census: how many bindings there were when somebody last counted.
 */
export type RecordKind = 'account' | 'registration' | 'node' | 'census';

export interface StoredRecord {
  readonly name: string;
  /** above 0; grows with every write and is never used again for this name */
  readonly version: number;
  readonly value: string;
}

export interface Records {
  /** Rejects with EDGE_STORE_UNAVAILABLE, as do the others. */
  read(kind: RecordKind, name: string): Promise<StoredRecord | undefined>;
  /**
   * Writes (or, without a value, forgets) if the version is still `expected`, 0 for none; the new version, 0 for none; undefined when
   * somebody else was faster. Resolves only when the change survives the death of this process.
   */
  swap(kind: RecordKind, name: string, expected: number, value: string | undefined): Promise<number | undefined>;
  /**
   * Every record of a kind that is there from the first page to the last, in pages; may show one twice. `cursor` '' starts; one that
   * is not ours starts anew. `limit` is a wish.
   */
  scan(
    kind: RecordKind,
    cursor: string,
    limit: number,
  ): Promise<{ readonly records: readonly StoredRecord[]; readonly next: string | undefined }>;
}
