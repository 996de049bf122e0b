/**
 * The longest times something stood still: the event loop of this process, a Redis that is asked every few milliseconds, an edge
 * that is sent OPTIONS. Beside them a thread that does nothing but wait: what it misses, the machine has given to others.
 */
import { createSocket } from 'node:dgram';
import { Worker } from 'node:worker_threads';
import { Samples } from '../figures.ts';
import type { HostPort } from '../load/wire.ts';
import { type Turns, watchTurns } from './turns.ts';

export interface Stalls extends Turns {
  /** ms, of a thread that only waits: the noise of the machine */
  readonly idle: number;
}

/** Call the result to end. */
export function watchLoop(): () => Promise<Stalls> {
  const turns = watchTurns();
  const idle = new Worker(
    `const { monitorEventLoopDelay } = require('node:perf_hooks');
     const { parentPort } = require('node:worker_threads');
     const delay = monitorEventLoopDelay({ resolution: 1 });
     delay.enable();
     parentPort.once('message', () => { delay.disable(); parentPort.postMessage(delay.max / 1e6); });`,
    { eval: true },
  );
  return async () => {
    const seen = turns.take();
    turns.stop();
    const missed = new Promise<number>((resolve) => idle.once('message', resolve));
    idle.postMessage('end');
    const waited = await missed;
    await idle.terminate();
    return { ...seen, idle: waited };
  };
}

/** Round trips that began one after the other, at most every so often. */
export interface RoundTrips {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** `ask` every `everyMs`, also while others are under way. Call the result to end. */
export function probe(everyMs: number, ask: () => Promise<unknown>): () => RoundTrips {
  const samples = new Samples();
  const timer = setInterval(() => {
    const from = performance.now();
    void ask().then(
      () => samples.add(performance.now() - from),
      () => samples.add(Number.POSITIVE_INFINITY),
    );
  }, everyMs);
  return () => {
    clearInterval(timer);
    const spread = samples.spread();
    return { count: spread?.count ?? 0, p50: spread?.p50 ?? 0, p99: spread?.p99 ?? 0, max: spread?.max ?? 0 };
  };
}

/** Sends OPTIONS to a server over UDP. */
export async function optionsProbe(server: HostPort, host: string): Promise<{ ask(): Promise<void>; close(): void }> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, host, resolve));
  const { port } = socket.address();
  const waiting = new Map<string, () => void>();
  socket.on('message', (bytes) => {
    const [, id = ''] = /\r\nCall-ID: (\S+)/i.exec(bytes.toString('latin1')) ?? [];
    waiting.get(id)?.();
    waiting.delete(id);
  });
  let count = 0;
  return {
    ask: () =>
      new Promise((resolve, reject) => {
        const id = `probe${(count += 1)}`;
        const text =
          `OPTIONS sip:${server.host}:${server.port} SIP/2.0\r\nVia: SIP/2.0/UDP ${host}:${port};branch=z9hG4bK${id}\r\n` +
          `Max-Forwards: 70\r\nFrom: <sip:probe@${host}>;tag=${id}\r\nTo: <sip:${server.host}>\r\nCall-ID: ${id}\r\n` +
          'CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n';
        const lost = setTimeout(() => {
          waiting.delete(id);
          reject(new Error('no answer'));
        }, 2000);
        waiting.set(id, () => {
          clearTimeout(lost);
          resolve();
        });
        socket.send(text, server.port, server.host);
      }),
    close: () => socket.close(),
  };
}
