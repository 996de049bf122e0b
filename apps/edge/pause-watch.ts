/**
 * Notices that this process stood still, or that others may have given it up, before anything is done about what it holds: every event
 * of a held request asks here first (call/hold-gate). Then what had come meanwhile is heard, and only then acted on.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { HoldGate } from '../../lib/call/hold-gate.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { NodeBus } from '../../lib/ports/node-bus.ts';

export interface PauseWatchDeps {
  /** milliseconds with fractions; never set back, and it goes on while the process stands still */
  readonly precise: () => number;
  /** False: others may have given us up. */
  readonly isSure: (now: number) => boolean;
  /** Hears what has come meanwhile; `paused` when we stood still. Must not reject. */
  readonly settle: (paused: boolean) => Promise<unknown>;
  readonly log: Log;
}

export interface PauseWatch extends HoldGate {
  stop(): void;
}

const lookEveryMs = 200;
/** Not heard of ourselves for so long: callers may have given up, and the lease of the node directory is nearly over. */
const pausedMs = 1000;
/** Once settled, it is not done again sooner. */
const settledForMs = 500;
/** However long it takes to hear of all: calls must not wait longer for that. */
const longestMs = 3000;
/** What came over other connections than that of the engine needs a moment, too. */
const shortestMs = 50;
/** A lost connection to the store is opened anew within about this time. */
const storeAgainMs = 100;

/** Connections to the store may be gone after a pause, and news with them: everybody looks, and has looked when the store has answered. */
export async function hearNews(bus: Pick<NodeBus, 'lookAgain'>, store: Pick<LocationStore, 'ping'>): Promise<void> {
  for (const until = performance.now() + longestMs; performance.now() < until; await pause(storeAgainMs)) {
    bus.lookAgain();
    // answered after what was asked before it
    const there = await store.ping().then(
      () => true,
      () => false,
    );
    if (there) return;
  }
}

export function watchPauses({ precise, isSure, settle, log }: PauseWatchDeps): PauseWatch {
  let looked = precise();
  let settledAt = Number.NEGATIVE_INFINITY;
  let closed = false;
  let again = false;
  let stopped = false;
  const waiting: (() => void)[] = [];

  const hear = async (paused: boolean): Promise<void> => {
    let cancel: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => (cancel = setTimeout(resolve, longestMs).unref()));
    const least = new Promise<void>((resolve) => setTimeout(resolve, paused ? shortestMs : 0));
    await Promise.race([Promise.all([settle(paused), least]), limit]);
    clearTimeout(cancel);
  };
  const close = async (paused: boolean): Promise<void> => {
    closed = true;
    again = false;
    await hear(paused);
    while (again) {
      again = false;
      await hear(true);
    }
    settledAt = precise();
    closed = false;
    for (const go of waiting.splice(0)) go();
  };
  const look = (): void => {
    const now = precise();
    const ms = now - looked;
    looked = now;
    if (ms > pausedMs) {
      log.warn(
        { ms: Math.round(ms) },
        'the process stood still; what it holds waits until it has heard what came meanwhile',
      );
      if (closed) again = true;
      else void close(true);
    } else if (!closed && now - settledAt > settledForMs && !isSure(now)) void close(false);
  };
  const timer = setInterval(look, lookEveryMs).unref();
  return {
    pass: (go) => {
      if (stopped) return true;
      look();
      if (closed) waiting.push(go);
      return !closed;
    },
    stop: () => {
      stopped = true;
      clearInterval(timer);
      for (const go of waiting.splice(0)) go();
    },
  };
}
