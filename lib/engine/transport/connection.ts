/** What every connection does, whatever it is made of: it has watchers, knows when it last heard something, and ends once. */
import type { Counters } from '../counters.ts';
import type { Limits, WebSocketOptions } from '../options.ts';
import type { Flow, FlowWatcher, Listener, Receiver } from './flow.ts';

/** What the connections of one engine share. */
export interface Surroundings {
  readonly receiver: Receiver;
  readonly limits: Limits;
  readonly counters: Counters;
  readonly webSocket: WebSocketOptions & { readonly pingMs: number };
}

export abstract class Connection implements Flow {
  readonly listener: Listener;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** the name it was made for, which its certificate was checked for; undefined for connections that were accepted */
  readonly verifiedFor: string | undefined;
  protected readonly around: Surroundings;
  #watchers: Set<FlowWatcher> | undefined;
  #open = true;
  #spoke = false;
  #lastHeard = performance.now();
  protected halfSince: number | undefined;

  constructor(
    listener: Listener,
    peer: { readonly address: string; readonly port: number; readonly name?: string },
    around: Surroundings,
  ) {
    this.listener = listener;
    this.remoteAddress = peer.address;
    this.remotePort = peer.port;
    this.verifiedFor = peer.name;
    this.around = around;
  }

  abstract send(text: string): boolean;
  abstract end(): void;
  /** Cuts it; what waits to be written is lost. */
  abstract destroy(): void;

  get open(): boolean {
    return this.#open;
  }

  get accepted(): boolean {
    return this.verifiedFor === undefined;
  }

  /** A SIP message or keep-alive has come over it. */
  get spoke(): boolean {
    return this.#spoke;
  }

  watch(watcher: FlowWatcher): void {
    this.#watchers ??= new Set();
    this.#watchers.add(watcher);
  }

  unwatch(watcher: FlowWatcher): void {
    this.#watchers?.delete(watcher);
  }

  /** Called now and then: closes what is too slow or has been silent for too long. */
  look(now: number): void {
    if (!this.#open) return;
    const { limits, counters } = this.around;
    if (this.halfSince !== undefined && now - this.halfSince > limits.halfMessageMs) {
      counters.slowClosed++;
      this.destroy();
      return;
    }
    const patience = this.#spoke ? limits.idleMs : Math.min(limits.idleMs, limits.firstMessageMs);
    // somebody waits for an answer over it
    if (now - this.#lastHeard <= patience || (this.#watchers !== undefined && this.#watchers.size > 0)) return;
    counters.idleClosed++;
    this.destroy();
  }

  protected heard(): void {
    this.#lastHeard = performance.now();
  }

  protected get lastHeard(): number {
    return this.#lastHeard;
  }

  protected noteSpoke(): void {
    this.#spoke = true;
  }

  /** Nothing more is sent or read; the watchers hear of it when the socket has closed. */
  protected shut(): void {
    this.#open = false;
  }

  /** True when so much waits to be written that the peer cannot be reading: it is cut. */
  protected isChoked(waiting: number): boolean {
    if (waiting <= this.around.limits.peerBacklogBytes) return false;
    if (this.#open) this.around.counters.backlogClosed++;
    this.destroy();
    return true;
  }

  protected onClosed(): void {
    this.#open = false;
    const watchers = this.#watchers;
    this.#watchers = undefined;
    if (watchers === undefined) return;
    for (const watcher of watchers) {
      try {
        watcher.onFlowLost();
      } catch {
        this.around.counters.faults++;
      }
    }
  }
}
