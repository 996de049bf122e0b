/**
 * NodeBus over Redis' publish and subscribe: one channel per AOR somebody waits for, so that a node hears only what it asked
 * for and a REGISTER nobody waits for costs the others nothing. Redis keeps no news: what is published while a connection is
 * away is lost, and a `gap` says so.
 */
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Aor } from '../../core/binding.ts';
import type { BindingChange, BindingNews, NodeBus } from '../../ports/node-bus.ts';
import { endConnection } from './connection.ts';
import type { Keys } from './keys.ts';

type Listener = (news: BindingNews) => void;

interface Channel {
  readonly aor: Aor;
  readonly subscriptions: Set<{ readonly listener: Listener }>;
  /** settles, never rejects, when Redis has confirmed the subscription or cannot */
  readonly asked: Promise<void>;
}

/** A subscriber only listens, so a connection that died without a word is found by asking for something now and then. */
const lifeSignEveryMs = 5000;
/** channels asked for in one command after a reconnect */
const channelsAtOnce = 500;

export class RedisNodeBus implements NodeBus {
  readonly #subscriber: Redis;
  readonly #commands: Redis;
  readonly #keys: Keys;
  readonly #channels = new Map<string, Channel>();
  /** our mark on what we publish: this process has heard it already */
  readonly #node = randomBytes(8).toString('hex');
  readonly #lifeSign: NodeJS.Timeout;
  #closing: Promise<void> | undefined;

  /** `subscriber` is ours alone and ready; `commands` is shared with the store. */
  constructor(subscriber: Redis, commands: Redis, keys: Keys) {
    this.#subscriber = subscriber;
    this.#commands = commands;
    this.#keys = keys;
    subscriber.on('message', (channel: string, text: string) => this.#hear(channel, text));
    subscriber.on('ready', () => void this.#resume());
    const askForLife = (): void => void this.#ask([keys.lifeSign]);
    this.#lifeSign = setInterval(askForLife, lifeSignEveryMs).unref();
    askForLife(); // at once, so that the connection listens for good and does not go in and out of that mode with every call
  }

  async publish(change: BindingChange): Promise<void> {
    const name = this.#keys.news(change.aor);
    const local = this.#channels.get(name);
    if (local !== undefined) deliver(local, change);
    if (this.#closing !== undefined) return;
    // Not awaited and not repeated: whoever waits looks into the store as well.
    this.#commands.publish(name, JSON.stringify([this.#node, change])).catch(() => undefined);
  }

  async subscribe(aor: Aor, listener: Listener): Promise<() => void> {
    const name = this.#keys.news(aor);
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = { aor, subscriptions: new Set(), asked: this.#ask([name]).then(() => undefined) };
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
      // Commands keep their order, so a subscribe that follows at once is not undone by this.
      if (this.#subscriber.status === 'ready') this.#subscriber.unsubscribe(name).catch(() => undefined);
    };
  }

  close(): Promise<void> {
    clearInterval(this.#lifeSign);
    this.#channels.clear();
    this.#closing ??= endConnection(this.#subscriber);
    return this.#closing;
  }

  /** Asks for channels; false when the connection is away or was found dead, and then #resume follows when it is back. */
  async #ask(names: readonly string[]): Promise<boolean> {
    if (this.#subscriber.status !== 'ready') return false;
    try {
      await this.#subscriber.subscribe(...names);
      return true;
    } catch {
      // No confirmation in time: only a new connection makes it certain again what is heard and what is not.
      if (this.#subscriber.status === 'ready' && this.#closing === undefined) this.#subscriber.disconnect(true);
      return false;
    }
  }

  /** The connection is back: ask for everything again, then tell everybody that something may have been missed. */
  async #resume(): Promise<void> {
    const channels = [...this.#channels];
    const names = [this.#keys.lifeSign, ...channels.map(([name]) => name)];
    for (let i = 0; i < names.length; i += channelsAtOnce) {
      if (!(await this.#ask(names.slice(i, i + channelsAtOnce)))) return; // the next connection begins anew
    }
    for (const [name, channel] of channels) {
      if (this.#channels.get(name) === channel) deliver(channel, { is: 'gap', aor: channel.aor });
      // Ended while we asked for it: take the question back.
      else if (!this.#channels.has(name)) this.#subscriber.unsubscribe(name).catch(() => undefined);
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
