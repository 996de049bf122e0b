/** How connections end whose credentials were replaced: when their streams have, or at once because the key was revoked. */
export type RenewHow = 'drain' | 'at-once';

/** What a service that delivers over HTTP can say about itself at any time, and be told. */
export interface Watched {
  load(): ServiceLoad;
  /** The config was read again and is the same for it: what its breakers wait for may have been repaired, so pushes try again at once. */
  askAgain(): void;
}

export interface ServiceLoad {
  /** HTTP/2 connections that take pushes or are about to; undefined over HTTP/1.1 */
  readonly sessions?: number;
  /** pushes on their way */
  readonly streams: number;
  /** pushes that wait for a stream */
  readonly waiting: number;
  /** provider tokens in use, by app */
  readonly tokens: readonly TokenLife[];
}

export interface TokenLife {
  readonly app: string;
  /** ms since the epoch */
  readonly madeAt: number;
  /** as `madeAt`; undefined when only the service knows */
  readonly endsAt?: number;
}

/** Sums. */
export function loadOf(parts: Iterable<Omit<ServiceLoad, 'tokens'>>, tokens: readonly TokenLife[] = []): ServiceLoad {
  let sessions: number | undefined;
  let streams = 0;
  let waiting = 0;
  for (const part of parts) {
    if (part.sessions !== undefined) sessions = (sessions ?? 0) + part.sessions;
    streams += part.streams;
    waiting += part.waiting;
  }
  return { ...(sessions === undefined ? {} : { sessions }), streams, waiting, tokens };
}
