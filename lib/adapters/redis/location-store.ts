/** LocationStore in Redis: one key per AOR, changed by one script, so that it is atomic over all nodes. */
import type { Aor, Binding } from '../../core/binding.ts';
import { type Packed, packBinding, unpackBinding } from '../../core/packed-binding.ts';
import { lengthen, shorten } from '../../core/short-text.ts';
import { EdgeError } from '../../errors.ts';
import type { BindingSet, LocationStore } from '../../ports/location-store.ts';
import { runSharedValue } from './commands/shared-value.ts';
import { runSwapSet, versionDigits } from './commands/swap-set.ts';
import { endConnection, inTime } from './connection.ts';
import type { Commands, Connection } from './connection.ts';
import type { Keys } from './keys.ts';
import { scanPage } from './scan.ts';

const dayMs = 86_400_000;

export class RedisLocationStore implements LocationStore {
  readonly #redis: Commands;
  readonly #server: string;
  readonly #keys: Keys;
  /** values this node has asked for: it keeps them from expiring, and puts them back should Redis have lost them */
  readonly #shared = new Map<string, string>();
  readonly #renewal: NodeJS.Timeout;
  readonly #underWay = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor({ redis, server }: Connection, keys: Keys) {
    this.#redis = redis;
    this.#server = server;
    this.#keys = keys;
    const renew = (): void => {
      for (const [name, value] of this.#shared) {
        runSharedValue(redis, keys.shared(name), value).catch(() => undefined); // again tomorrow, or at the next reconnect
      }
    };
    this.#renewal = setInterval(renew, dayMs).unref();
    redis.on('ready', renew);
  }

  read(aor: Aor): Promise<BindingSet> {
    return this.#attempt(async () => toSet(aor, await this.#redis.get(this.#keys.set(aor))));
  }

  swap(aor: Aor, expected: number, bindings: readonly Binding[], keepUntil: number): Promise<'stored' | 'conflict'> {
    return this.#attempt(() =>
      runSwapSet(this.#redis, {
        key: this.#keys.set(aor),
        expected,
        text: bindings.length === 0 ? '' : shorten(JSON.stringify(bindings.map((one) => packBinding(one, aor)))),
        // a span, not a point in time: the clocks of this node and of Redis may differ
        keepMs: keepUntil - Date.now(),
      }),
    );
  }

  scan(cursor: string, limit: number): Promise<{ readonly aors: readonly Aor[]; readonly next: string | undefined }> {
    return this.#attempt(async () => {
      const { keys, next } = await scanPage(this.#redis, cursor, this.#keys.everySet, limit);
      return { aors: keys.map((key) => this.#keys.aorOfSet(key)).filter((aor) => aor !== undefined), next };
    });
  }

  readSecret(user: string, realm: string): Promise<{ readonly md5?: string; readonly sha256?: string } | undefined> {
    return this.#attempt(async () => {
      const [first, second] = await this.#redis.hmget(this.#keys.secret(user, realm), 'md5', 'sha256');
      const md5 = hexOf(first, 32);
      const sha256 = hexOf(second, 64);
      if (md5 === undefined && sha256 === undefined) return undefined;
      return { ...(md5 === undefined ? {} : { md5 }), ...(sha256 === undefined ? {} : { sha256 }) };
    });
  }

  shared(name: string, make: () => string): Promise<string> {
    return this.#attempt(async () => {
      const key = this.#keys.shared(name);
      const known = await this.#redis.get(key);
      const value = await runSharedValue(this.#redis, key, known ?? make());
      this.#shared.set(name, value);
      return value;
    });
  }

  async ping(): Promise<void> {
    await this.#attempt(() => this.#redis.ping());
  }

  close(): Promise<void> {
    clearInterval(this.#renewal);
    this.#closing ??= this.#end();
    return this.#closing;
  }

  /** Commands wait for one another in ioredis, but not the one that ends the connection: so wait here, also for last news. */
  async #end(): Promise<void> {
    await Promise.allSettled([...this.#underWay, this.#redis.ping()]);
    await endConnection(this.#redis);
  }

  async #attempt<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new EdgeError('EDGE_STORE_UNAVAILABLE', 'The location store is closed.');
    const work = inTime(this.#server, task());
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }
}

/** A text that is not one of ours counts as absent, here and in the script: the next accepted REGISTER writes it anew. */
function toSet(aor: Aor, text: string | null): BindingSet {
  const version = text === null ? Number.NaN : Number(text.slice(0, versionDigits));
  if (text === null || Number.isNaN(version)) return { version: 0, bindings: [] };
  try {
    const bindings: unknown = JSON.parse(lengthen(text.slice(versionDigits)));
    return { version, bindings: Array.isArray(bindings) ? bindings.map((one) => bindingFrom(one, aor)) : [] };
  } catch {
    return { version, bindings: [] };
  }
}

/** Bindings were written whole before they were packed. */
function bindingFrom(one: unknown, aor: Aor): Binding {
  return 'aor' in (one as object) && 'contact' in (one as object)
    ? (one as Binding)
    : unpackBinding(one as Packed, aor);
}

function hexOf(text: string | null | undefined, digits: number): string | undefined {
  const hex = text?.trim().toLowerCase();
  return hex !== undefined && hex.length === digits && /^[0-9a-f]+$/.test(hex) ? hex : undefined;
}
