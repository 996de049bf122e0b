/**
 * NodeBus over Redis' publish and subscribe: one channel per AOR somebody waits for, so that a node hears only what it asked
 * for and a REGISTER nobody waits for costs the others nothing. Redis keeps no news: what is published while a connection is
 * away is lost, and a `gap` says so.
 */
import { randomBytes } from 'node:crypto';
import type { Aor } from '../../core/binding.ts';
import type { BindingChange, BindingNews, NodeBus } from '../../ports/node-bus.ts';
import type { Ears, Heard } from './ears.ts';
import type { Keys } from './keys.ts';

/** News that Redis has not taken is said again so often and so long: a call is not held longer. */
const sayAgainMs = 250;
const unsaidForMs = 60_000;
const mostUnsaid = 10_000;

type Listener = (news: BindingNews) => void;

interface Channel {
  readonly aor: Aor;
  readonly subscriptions: Set<{ readonly listener: Listener }>;
  /** settles, never rejects, when Redis has confirmed the subscription or cannot */
  readonly asked: Promise<void>;
}

export class RedisNodeBus implements NodeBus {
  readonly #ears: Ears;
  readonly #keys: Keys;
  readonly #channels = new Map<string, Channel>();
  /** our mark on what we publish: this process has heard it already */
  readonly #node = randomBytes(8).toString('hex');
  /** news that Redis has perhaps not taken, and until when (performance.now()) it is worth saying; the oldest first */
  readonly #unsaid = new Map<string, { readonly name: string; readonly until: number }>();
  #again: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(keys: Keys, ears: (heard: Heard) => Ears) {
    this.#keys = keys;
    this.#ears = ears({
      hear: (name, text) => this.#hear(name, text),
      back: (missed) => void this.#resume(missed),
    });
  }

  async publish(change: BindingChange): Promise<void> {
    const name = this.#keys.news(change.aor);
    const local = this.#channels.get(name);
    if (local !== undefined) deliver(local, change);
    if (this.#closing !== undefined) return;
    void this.#say(name, JSON.stringify([this.#node, change]), performance.now() + unsaidForMs);
  }

  /** Nobody but us knows that it was not heard: who waits for it has a connection that never broke, and no gap. */
  async #say(name: string, text: string, until: number): Promise<boolean> {
    const taken = await this.#ears.publish(name, text);
    if (taken) this.#unsaid.delete(text);
    if (taken || this.#closing !== undefined) return taken;
    if (this.#unsaid.size < mostUnsaid) this.#unsaid.set(text, { name, until });
    this.#again ??= setTimeout(() => void this.#sayAgain(), sayAgainMs).unref();
    return false;
  }

  async #sayAgain(): Promise<void> {
    for (const [text, { name, until }] of this.#unsaid) {
      if (performance.now() > until) this.#unsaid.delete(text);
      else if (!(await this.#say(name, text, until))) break;
    }
    this.#again = undefined;
    if (this.#unsaid.size > 0 && this.#closing === undefined)
      this.#again = setTimeout(() => void this.#sayAgain(), sayAgainMs).unref();
  }

  async subscribe(aor: Aor, listener: Listener): Promise<() => void> {
    const name = this.#keys.news(aor);
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = { aor, subscriptions: new Set(), asked: this.#ears.ask([name]).then(() => undefined) };
      this.#channels.set(name, channel);
    }
    const { subscriptions, asked } = channel;
    const subscription = { listener };
    subscriptions.add(subscription);
    await asked;
    return () => {
      if (!subscriptions.delete(subscription) || subscriptions.size > 0) return;
      if (this.#channels.get(name)?.subscriptions !== subscriptions) return;
      this.#channels.delete(name);
      this.#ears.drop(name);
    };
  }

  lookAgain(): void {
    for (const channel of [...this.#channels.values()]) deliver(channel, { is: 'gap', aor: channel.aor });
  }

  close(): Promise<void> {
    this.#channels.clear();
    clearTimeout(this.#again);
    this.#unsaid.clear();
    this.#closing ??= this.#ears.close();
    return this.#closing;
  }

  /** Hearing again: ask for what was missed, then tell everybody who waits for it. */
  async #resume(missed: (name: string) => boolean): Promise<void> {
    const channels = [...this.#channels].filter(([name]) => missed(name));
    if (channels.length === 0) return;
    // when it fails, the ears come back once more
    if (!(await this.#ears.ask(channels.map(([name]) => name)))) return;
    for (const [name, channel] of channels) {
      if (this.#channels.get(name) === channel) deliver(channel, { is: 'gap', aor: channel.aor });
      // Ended while we asked for it: take the question back.
      else if (!this.#channels.has(name)) this.#ears.drop(name);
    }
  }

  #hear(name: string, text: string): void {
    const channel = this.#channels.get(name);
    if (channel === undefined) return;
    const change = changeFrom(text, this.#node, channel.aor);
    if (change !== undefined) deliver(channel, change);
  }
}

function deliver({ subscriptions }: Channel, news: BindingNews): void {
  for (const subscription of Array.from(subscriptions)) {
    if (!subscriptions.has(subscription)) continue; // ended by a listener before it
    try {
      subscription.listener(news);
    } catch (error) {
      // One listener must not keep the news from the others, nor fail the REGISTER that caused it.
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}

/** What another node has published; undefined for our own and for anything that is not news of this AOR. */
function changeFrom(text: string, own: string, aor: Aor): BindingChange | undefined {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(message) || message[0] === own) return undefined;
  const change: unknown = message[1];
  if (typeof change !== 'object' || change === null || !('is' in change) || !('bindingId' in change)) return undefined;
  const { is, bindingId } = change;
  if (typeof bindingId !== 'string') return undefined;
  switch (is) {
    case 'refresh-accepted':
      return { is, aor, bindingId };
    case 'removed':
      return { is, aor, bindingId, ...('moving' in change && change.moving === true ? { moving: true } : {}) };
    case 'refresh-rejected':
      return 'status' in change && typeof change.status === 'number'
        ? { is, aor, bindingId, status: change.status }
        : undefined;
    default:
      return undefined;
  }
}
