/** NodeDirectory in one hash: every node renews its entry, and is told of the others when something has changed. */
import { setTimeout as pause } from 'node:timers/promises';
import type { EdgeNode, EngineAddress, NodeDirectory, Standing } from '../../ports/node-directory.ts';
import { dropHeld, renewNode, takeHeld } from './commands/node-scripts.ts';
import { run } from './commands/script.ts';
import { inTime, type Commands } from './connection.ts';
import type { Keys } from './keys.ts';

/** Whether or not the answer to the one before is there: a slow link must not make renewals rare. */
const renewEveryMs = 300;
/** When a lease may be over, it is looked so soon after its end; where many look, each at a moment of its own. */
const afterLeaseMs = 5;
const longestSpreadMs = 100;
/** A lost connection is opened anew within about this time. */
const confirmAgainMs = 100;
/** A node that has not renewed for so long is gone for the others. Three renewals may be lost. */
const leaseMs = 1300;
/** The clocks of two machines run at nearly one pace. */
const driftMs = 50;
/** Whoever finishes what another has left is given so long, ms. */
const finishMs = 2000;
/** Who was given up is known for so long, ms: longer than a process sleeps and comes back. */
const goneMs = 3_600_000;
/** No key without expiry. */
const keepMs = 86_400_000;

export function redisNodes(redis: Commands, server: string, keys: Keys): NodeDirectory {
  return new RedisNodes(redis, server, keys);
}

class RedisNodes implements NodeDirectory {
  readonly #redis: Commands;
  readonly #server: string;
  readonly #key: string;
  readonly #goneListeners = new Set<(gone: EdgeNode) => void>();
  readonly #leftListeners = new Set<(gone: EdgeNode) => void>();
  readonly #givenUpListeners = new Set<(held: readonly string[]) => void>();
  #self: EdgeNode | undefined;
  /** of the first run of ours; those after it count on */
  #firstId = '';
  #runs = 1;
  #held: () => readonly string[] = () => [];
  /** as Redis has it when it has done all renewals that are under way; empty: not known */
  #heldText = '';
  /** what we held when we told it last */
  #told: readonly string[] = [];
  /** renewals that have no answer yet; each ends within `answerMs` */
  readonly #underWay = new Set<Promise<Standing>>();
  #comingBack: Promise<Standing> = Promise.resolve('given-up');
  /** Redis came back empty: until then (performance.now()) a node that is missing may only not have told of itself yet */
  #patientUntil = 0;
  #others: ReadonlyMap<string, EdgeNode> = new Map();
  #version = '';
  #timer: NodeJS.Timeout | undefined;
  /** performance.now() */
  #renewAt = 0;
  #sureUntil = 0;

  constructor(redis: Commands, server: string, keys: Keys) {
    this.#redis = redis;
    this.#server = server;
    this.#key = keys.nodes;
  }

  async announce(self: EdgeNode, held: () => readonly string[]): Promise<void> {
    this.#self = self;
    this.#firstId = self.id;
    this.#held = held;
    await this.#renew();
  }

  get others(): number {
    return this.#others.size;
  }

  get sureUntil(): number {
    return this.#sureUntil;
  }

  withEngine(engine: string): EdgeNode | undefined {
    for (const node of this.#others.values()) if (node.engine === engine) return node;
    return undefined;
  }

  onGone(listener: (gone: EdgeNode) => void): () => void {
    this.#goneListeners.add(listener);
    return () => this.#goneListeners.delete(listener);
  }

  onLeft(listener: (gone: EdgeNode) => void): () => void {
    this.#leftListeners.add(listener);
    return () => this.#leftListeners.delete(listener);
  }

  onGivenUp(listener: (held: readonly string[]) => void): () => void {
    this.#givenUpListeners.add(listener);
    return () => this.#givenUpListeners.delete(listener);
  }

  async takeOver(gone: EdgeNode): Promise<readonly string[]> {
    const text = await inTime(this.#server, run(this.#redis, takeHeld, this.#key, gone.id, String(finishMs)));
    const held: unknown = text === '' ? [] : JSON.parse(String(text));
    return Array.isArray(held) ? held.filter((one) => typeof one === 'string') : [];
  }

  async finished(gone: EdgeNode): Promise<void> {
    await inTime(this.#server, run(this.#redis, dropHeld, this.#key, gone.id));
  }

  /** What was asked before says nothing: its answer may have waited as long as we did. */
  async confirm(): Promise<Standing> {
    const until = performance.now() + leaseMs;
    for (;;) {
      if (this.#self === undefined) return 'unsure';
      const standing = await this.#renew();
      if (standing !== 'unsure' || performance.now() > until) return standing;
      await pause(confirmAgainMs);
    }
  }

  async close(): Promise<void> {
    const self = this.#self;
    this.#self = undefined;
    clearTimeout(this.#timer);
    this.#goneListeners.clear();
    this.#leftListeners.clear();
    this.#givenUpListeners.clear();
    await Promise.all(this.#underWay);
    if (self !== undefined) await this.#ask(self.id, '').catch(() => undefined);
  }

  #renew(): Promise<Standing> {
    const self = this.#self;
    if (self === undefined) return Promise.resolve('unsure');
    this.#renewIn(renewEveryMs);
    const renewal = this.#once(self).finally(() => this.#underWay.delete(renewal));
    this.#underWay.add(renewal);
    return renewal;
  }

  #renewIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#renewAt = performance.now() + ms;
    this.#timer = setTimeout(() => void this.#renew(), ms).unref();
  }

  /** When Redis is away, who was there last counts as there: their engines are asked, and say for themselves. */
  async #once(self: EdgeNode): Promise<Standing> {
    try {
      const names = this.#held();
      const before = this.#told;
      this.#told = names;
      const held = JSON.stringify(names);
      const asked = performance.now();
      const asking = this.#ask(self.id, JSON.stringify(self), held === this.#heldText ? '' : held);
      this.#heldText = held;
      const told = await asking;
      if (told.standing === 'given-up') return await this.#isGivenUp(self, before);
      this.#sureUntil = asked + leaseMs - driftMs;
      if (!told.holds) this.#heldText = '';
      this.#hear(self, told);
      this.#lookAtEnd(told.soonestMs);
      return performance.now() < this.#sureUntil ? 'sure' : 'unsure';
    } catch {
      // again at the next renewal, with everything, for Redis may come back empty
      this.#heldText = '';
      return 'unsure';
    }
  }

  /** What a node that has died holds should not wait for the next renewal of ours. */
  #lookAtEnd(soonestMs: number): void {
    const ms = soonestMs + afterLeaseMs + Math.random() * Math.min(this.#others.size, longestSpreadMs);
    if (this.#self !== undefined && soonestMs >= 0 && performance.now() + ms < this.#renewAt) this.#renewIn(ms);
  }

  /** `told`: before this renewal, which was refused with what it said. Renewals that were under way with it learn the same. */
  async #isGivenUp(self: EdgeNode, told: readonly string[]): Promise<Standing> {
    if (this.#self === undefined) return 'unsure';
    if (this.#self.id === self.id) this.#comingBack = this.#comeBack(self, told);
    return this.#comingBack;
  }

  /** Under another id, for what was said of the old one is over. */
  async #comeBack(self: EdgeNode, told: readonly string[]): Promise<Standing> {
    // what has ended since is nobody's any more
    const held = new Set(this.#held());
    const lost = told.filter((name) => held.has(name));
    this.#told = [];
    this.#heldText = '';
    this.#runs += 1;
    const again = { ...self, id: `${this.#firstId}-${this.#runs}` };
    this.#self = again;
    for (const listener of this.#givenUpListeners) listener(lost);
    await this.#once(again);
    return 'given-up';
  }

  #hear(self: EdgeNode, { version, list, left }: Told): void {
    if (list !== undefined && version !== this.#version) {
      if (Number(version) < Number(this.#version)) this.#patientUntil = performance.now() + leaseMs;
      const patient = performance.now() < this.#patientUntil;
      this.#version = patient ? '' : version;
      const others = new Map<string, EdgeNode>(patient ? this.#others : []);
      for (const text of list) {
        const node = nodeFrom(text);
        if (node !== undefined && node.id !== self.id) others.set(node.id, node);
      }
      const gone = [...this.#others.values()].filter(({ id }) => !others.has(id));
      this.#others = others;
      for (const node of gone) for (const listener of this.#goneListeners) listener(node);
    }
    for (const text of left) {
      const node = nodeFrom(text);
      if (node !== undefined) for (const listener of this.#leftListeners) listener(node);
    }
  }

  async #ask(id: string, text: string, held = ''): Promise<Told> {
    const args = [id, text, String(leaseMs), this.#version, String(keepMs), held, String(goneMs)];
    const told = await inTime(this.#server, run(this.#redis, renewNode, this.#key, ...args));
    const [version, standing, left, soonest, list] = Array.isArray(told) ? (told as readonly unknown[]) : [];
    return {
      version: String(version),
      standing: standing === 2 ? 'given-up' : 'known',
      holds: standing === 1,
      left: Array.isArray(left) ? left.map(String) : [],
      soonestMs: Number(soonest),
      list: Array.isArray(list) ? list.map(String) : undefined,
    };
  }
}

interface Told {
  readonly version: string;
  readonly standing: 'known' | 'given-up';
  /** Redis knows what we hold */
  readonly holds: boolean;
  /** have left something to which nobody is */
  readonly left: readonly string[];
  /** no lease ends sooner; below 0: this was not looked at */
  readonly soonestMs: number;
  /** undefined when nothing has changed */
  readonly list: readonly string[] | undefined;
}

/** Undefined for what is not one of ours. */
function nodeFrom(text: string): EdgeNode | undefined {
  try {
    const { id, engine, at } = JSON.parse(text) as Partial<EdgeNode>;
    if (typeof id !== 'string' || typeof engine !== 'string') return undefined;
    return at !== undefined && isAddress(at) ? { id, engine, at } : { id, engine };
  } catch {
    return undefined;
  }
}

function isAddress({ host, port, secret }: Partial<EngineAddress>): boolean {
  return typeof host === 'string' && typeof port === 'number' && typeof secret === 'string';
}
