/** What the node bus hears with: asks a server for channels and says when something may have been missed. One server or a cluster. */
import { type Cluster, Redis } from 'ioredis';
import calculateSlot from 'cluster-key-slot';
import { endConnection, forgetsSilence, nodeOptions, type Connection, type RedisAddress } from './connection.ts';
import type { Keys } from './keys.ts';

export interface Ears {
  /** Settles, never rejects: true when these channels are heard for certain, false when not; then `back` follows. */
  ask(names: readonly string[]): Promise<boolean>;
  /** Ends one channel. */
  drop(name: string): void;
  /** Settles, never rejects: false when nobody may have heard it. */
  publish(name: string, text: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface Heard {
  hear(name: string, text: string): void;
  /** News of these channels may have been missed, and they must be asked for again. */
  back(missed: (name: string) => boolean): void;
}

/** A subscriber only listens, so a connection that died without a word is found by asking for something now and then. */
const lifeSignEveryMs = 5000;
/** Channels asked for in one command after a reconnect. */
const channelsAtOnce = 500;

/** `subscriber` is ours alone and ready; `commands` is shared with the store. */
export function earsOfOne(subscriber: Redis, commands: Redis, keys: Keys, heard: Heard): Ears {
  let closing: Promise<void> | undefined;
  const ask = async (names: readonly string[]): Promise<boolean> => {
    if (subscriber.status !== 'ready') return false;
    try {
      for (let i = 0; i < names.length; i += channelsAtOnce)
        await subscriber.subscribe(...names.slice(i, i + channelsAtOnce));
      return true;
    } catch {
      // No confirmation in time: only a new connection makes it certain again what is heard and what is not.
      if (subscriber.status === 'ready' && closing === undefined) subscriber.disconnect(true);
      return false;
    }
  };
  const askForLife = (): void => void ask([keys.lifeSign]);
  const lifeSign = setInterval(askForLife, lifeSignEveryMs).unref();
  askForLife(); // at once, so that the connection listens for good and does not go in and out of that mode with every call
  subscriber.on('message', (channel: string, text: string) => heard.hear(channel, text));
  subscriber.on('ready', () => {
    askForLife();
    heard.back(() => true);
  });
  return {
    ask,
    drop: (name) => {
      // Commands keep their order, so a subscribe that follows at once is not undone by this.
      if (subscriber.status === 'ready') subscriber.unsubscribe(name).catch(() => undefined);
    },
    publish: (name, text) => taken(commands.publish(name, text)),
    close: () => {
      clearInterval(lifeSign);
      closing ??= endConnection(subscriber);
      return closing;
    },
  };
}

/** How often the owners of the channels are looked at, and how soon after one was found to be wrong. */
const ownersEveryMs = 2000;
const ownersSoonMs = 250;

/** Sharded channels (Redis 7): one connection to each primary that has a channel somebody waits for. */
export function earsOfCluster({ redis: cluster }: Connection<Cluster>, address: RedisAddress, heard: Heard): Ears {
  return new ClusterEars(cluster, address, heard);
}

class ClusterEars implements Ears {
  readonly #cluster: Cluster;
  readonly #address: RedisAddress;
  readonly #heard: Heard;
  /** by `host:port` of the primary */
  readonly #ears = new Map<string, Redis>();
  readonly #opening = new Map<Redis, Promise<void>>();
  /** channel, and the primary we asked for it; '' when it could not be asked */
  readonly #asked = new Map<string, string>();
  readonly #watch: NodeJS.Timeout;
  #soon: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(cluster: Cluster, address: RedisAddress, heard: Heard) {
    this.#cluster = cluster;
    this.#address = address;
    this.#heard = heard;
    let ticks = 0;
    this.#watch = setInterval(() => {
      this.#followOwners();
      ticks += 1;
      if (ticks % 2 === 0) for (const ear of this.#ears.values()) ear.ping().catch(() => this.#doubt(ear));
    }, ownersEveryMs).unref();
  }

  async ask(names: readonly string[]): Promise<boolean> {
    const all = await Promise.all(names.map((name) => this.#askOne(name)));
    const heardAll = all.every(Boolean);
    if (!heardAll) this.#lookSoon();
    return heardAll;
  }

  drop(name: string): void {
    const owner = this.#asked.get(name);
    this.#asked.delete(name);
    const ear = owner === undefined ? undefined : this.#ears.get(owner);
    if (ear?.status === 'ready') ear.sunsubscribe(name).catch(() => undefined);
  }

  publish(name: string, text: string): Promise<boolean> {
    return taken(this.#cluster.spublish(name, text));
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#watch);
    clearTimeout(this.#soon);
    this.#asked.clear();
    await Promise.all([...this.#ears.values()].map((ear) => endConnection(ear)));
  }

  async #askOne(name: string): Promise<boolean> {
    const owner = this.#ownerOf(name);
    this.#asked.set(name, '');
    const ear = owner === undefined ? undefined : await this.#earAt(owner);
    if (owner === undefined || ear === undefined || this.#closed) return false;
    try {
      await ear.ssubscribe(name);
    } catch (error) {
      const moved = error instanceof Error && /MOVED|CLUSTERDOWN/.test(error.message);
      if (moved) this.#cluster.refreshSlotsCache();
      else this.#doubt(ear);
      return false;
    }
    // dropped while we asked for it
    if (this.#asked.has(name)) this.#asked.set(name, owner);
    else ear.sunsubscribe(name).catch(() => undefined);
    return true;
  }

  #ownerOf(name: string): string | undefined {
    return this.#cluster.slots[calculateSlot(name)]?.[0];
  }

  async #earAt(owner: string): Promise<Redis | undefined> {
    const known = this.#ears.get(owner);
    const ear = known ?? this.#open(owner);
    if (ear.status !== 'ready') await this.#settled(ear);
    return ear.status === 'ready' ? ear : undefined;
  }

  /** However many ask at once, one of them listens. */
  #settled(ear: Redis): Promise<void> {
    const waiting = this.#opening.get(ear) ?? readyOrNot(ear).finally(() => this.#opening.delete(ear));
    this.#opening.set(ear, waiting);
    return waiting;
  }

  #open(owner: string): Redis {
    const at = owner.lastIndexOf(':');
    const ear = new Redis({
      ...nodeOptions(this.#address),
      host: owner.slice(0, at),
      port: Number(owner.slice(at + 1)),
      autoResubscribe: false,
    });
    forgetsSilence(ear);
    this.#ears.set(owner, ear);
    ear.on('error', () => undefined);
    ear.on('smessage', (name: string, text: string) => this.#heard.hear(name, text));
    ear.on('close', () => {
      for (const [name, asked] of this.#asked) if (asked === owner) this.#asked.set(name, '');
      this.#cluster.refreshSlotsCache();
      this.#lookSoon();
    });
    ear.connect().catch(() => undefined);
    return ear;
  }

  /** No answer in time: only a new connection makes it certain again what is heard and what is not. */
  #doubt(ear: Redis): void {
    if (ear.status === 'ready' && !this.#closed) ear.disconnect(true);
  }

  #lookSoon(): void {
    if (this.#closed) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#followOwners();
    }, ownersSoonMs).unref();
  }

  /** Slots move, primaries fail over: what is not heard where it belongs is asked for again, and missed meanwhile. */
  #followOwners(): void {
    if (this.#closed) return;
    const wrong = new Set<string>();
    const used = new Set<string>();
    for (const [name, asked] of this.#asked) {
      const owner = this.#ownerOf(name);
      if (owner !== undefined) used.add(owner);
      if (asked !== '' && asked === owner) continue;
      const ear = this.#ears.get(asked);
      if (ear?.status === 'ready') ear.sunsubscribe(name).catch(() => undefined);
      wrong.add(name);
    }
    for (const [owner, ear] of this.#ears) {
      if (used.has(owner) || this.#cluster.slots.some((nodes) => nodes?.[0] === owner)) continue;
      this.#ears.delete(owner);
      ear.disconnect();
    }
    if (wrong.size > 0) this.#heard.back((name) => wrong.has(name));
  }
}

function taken(work: Promise<unknown>): Promise<boolean> {
  return work.then(
    () => true,
    () => false,
  );
}

/** Resolves when it can be used, when it cannot, and after a while. */
function readyOrNot(redis: Redis): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      redis.off('ready', done);
      redis.off('close', done);
      resolve();
    };
    const timer = setTimeout(done, 1000);
    redis.once('ready', done);
    redis.once('close', done);
  });
}
