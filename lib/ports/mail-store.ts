/** Messages that were taken over for phones that could not be reached, until these come back (RFC 3428 7). Rules are the use-case's. */
import type { Aor } from '../core/binding.ts';

/** Plain data that survives JSON. */
export interface StoredMessage {
  /** the same for every copy of one request */
  readonly id: string;
  readonly aor: Aor;
  /** only for this phone (the id of a binding, or the name of its instance); when left out for the first of the AOR that comes */
  readonly bindingId?: string;
  readonly uri: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** one character per octet */
  readonly body: string;
  /** who sent it, for the border of trust */
  readonly from: 'phone' | 'upstream';
  /** ms since the epoch */
  readonly storedAt: number;
  readonly expiresAt: number;
}

export interface MailStore {
  /**
   * Puts a message behind the others of its AOR; resolves when it survives the death of this process. 'known': it was there already;
   * 'full': there are `most` others. Rejects with EDGE_STORE_UNAVAILABLE.
   */
  keep(message: StoredMessage, most: number): Promise<'kept' | 'known' | 'full'>;
  /** All messages of one AOR in the order they came, those past their time included. */
  waiting(aor: Aor): Promise<readonly StoredMessage[]>;
  /** Forgets one message, if it is there. */
  drop(aor: Aor, id: string): Promise<void>;
  /** Every AOR with messages, in pages; see LocationStore.scan. */
  scan(cursor: string, limit: number): Promise<{ readonly aors: readonly Aor[]; readonly next: string | undefined }>;
}
