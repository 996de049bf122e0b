/**
 * How many users have brought one push token to this node (RFC 8599 13, PN-SEC-08): a phone has a few accounts, a stolen token many.
 * Kept in memory, by hash, as long as the registrations last; the least recently seen go first when there are too many.
 */
import type { Aor } from '../core/binding.ts';
import { pridHash } from '../telemetry/log-fields.ts';

/** tokens; some 30 MB when full */
const mostTokens = 100_000;

export class TokenUsers {
  readonly #mostUsers: number;
  /** by hash of the token: until when each user has it, ms since the epoch */
  readonly #users = new Map<string, Map<Aor, number>>();

  /** `mostUsers` 0: nothing is counted. */
  constructor(mostUsers: number) {
    this.#mostUsers = mostUsers;
  }

  /** True when the user may bring this token: he has it already, or few enough others have. */
  admits(token: string, aor: Aor, now: number): boolean {
    if (this.#mostUsers === 0) return true;
    const users = this.#users.get(pridHash(token));
    if (users === undefined || users.has(aor)) return true;
    for (const [other, until] of users) if (until <= now) users.delete(other);
    return users.size < this.#mostUsers;
  }

  /** `until`: end of the registration, ms since the epoch; not later than now when it was removed. */
  note(token: string, aor: Aor, until: number, now: number): void {
    if (this.#mostUsers === 0) return;
    const key = pridHash(token);
    const users = this.#users.get(key) ?? new Map<Aor, number>();
    this.#users.delete(key);
    if (until <= now) users.delete(aor);
    else users.set(aor, until);
    if (users.size === 0) return;
    this.#users.set(key, users);
    const oldest = this.#users.size > mostTokens ? this.#users.keys().next() : undefined;
    if (oldest?.done === false) this.#users.delete(oldest.value);
  }
}
