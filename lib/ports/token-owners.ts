/** Which address of record each push token belongs to. Tokens are known by a keyed name (core/token-life, tokenKey), never as they are. */
import type { Aor } from '../core/binding.ts';

export interface TokenOwners {
  /**
   * Makes `aor` the owner until `until` (ms since the epoch), and tells whose it was: undefined, nobody's that is known any more. Last
   * writer wins, over all nodes of one store; atomic for each token. Rejects with EDGE_STORE_UNAVAILABLE.
   */
  claim(name: string, aor: Aor, until: number): Promise<Aor | undefined>;
}
