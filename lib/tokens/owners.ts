/**
 * A token belongs to the address of record that registered it last (push-providers 8.4): who had it before keeps his binding and is not
 * woken by it any more. Somebody else has the phone now, and his calls must not ring there.
 */
import type { Aor, Binding } from '../core/binding.ts';
import { keptUntil } from '../core/binding-set.ts';
import { claimsDue, takeToken, tokenKey } from '../core/token-life.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { Log } from '../ports/log.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { TokenOwners } from '../ports/token-owners.ts';
import { pridHash } from '../telemetry/log-fields.ts';
import { providerLabel } from '../telemetry/metrics.ts';

export interface MoveDeps {
  readonly store: LocationStore;
  readonly owners: TokenOwners;
  readonly log: Log;
  readonly telemetry: Telemetry;
  readonly tokenKey: Buffer;
}

const attempts = 5;

export class TokenMover {
  readonly #deps: MoveDeps;

  constructor(deps: MoveDeps) {
    this.#deps = deps;
  }

  /**
   * These bindings of one AOR have just been registered; `before`: its set until then. To be called right after the swap was begun, so
   * that whoever claims later finds them stored. Never rejects; an index that does not answer costs a phone that is woken for two.
   */
  async registered(bindings: readonly Binding[], before: readonly Binding[]): Promise<void> {
    const claims = bindings.flatMap((binding) => {
      const known = before.find(({ id }) => id === binding.id);
      const { tokens, until } = claimsDue(known, binding);
      return tokens.map((token) => this.#claim(binding, token, until));
    });
    await Promise.all(claims);
  }

  async #claim(binding: Binding, token: string, until: number): Promise<void> {
    const { owners, log, tokenKey: key } = this.#deps;
    const { aor, push } = binding;
    if (push === undefined) return;
    try {
      const before = await owners.claim(tokenKey(key, push.provider, token), aor, until);
      if (before !== undefined && before !== aor) await this.#take(before, binding, token);
    } catch (err) {
      log.warn({ aor, bindingId: binding.id, err }, 'push token not claimed');
    }
  }

  async #take(from: Aor, to: Binding, token: string): Promise<void> {
    const { store, log, telemetry } = this.#deps;
    const provider = to.push?.provider ?? '';
    for (let attempt = 0; attempt < attempts; attempt++) {
      const { version, bindings } = await store.read(from);
      const left = takeToken(bindings, provider, token, to.registeredAt, to.instanceId);
      if (left === bindings) return;
      const keepUntil = keptUntil(left);
      if ((await store.swap(from, version, left, keepUntil)) === 'conflict') continue;
      telemetry.count('pushTokens', { provider: providerLabel(provider), event: 'moved' });
      const facts = { aor: from, provider, app: to.push?.app, pridHash: pridHash(token), kind: 'moved' };
      log.info(facts, 'push token moved to another address of record: this one cannot be woken by it any more');
      return;
    }
  }
}
