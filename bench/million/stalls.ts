/**
 * The longest times something stood still: the event loop of this process, a Redis that is asked every few milliseconds, an edge
 * that is sent OPTIONS. Beside them a thread that does nothing but wait: what it misses, the machine has given to others.
 */
import { createSocket } from 'node:dgram';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { Samples } from '../figures.ts';
import type { HostPort } from '../load/wire.ts';

export interface Stalls {
  /** ms by the clock from one turn of the event loop to the next, less the 1 ms it was to rest */
  readonly loop: number;
  /** ms of CPU this thread used within one such gap: what is ours of it. NaN where the kernel does not tell */
  readonly own: number;
  /** ms, of a thread that only waits: the noise of the machine */
  readonly idle: number;
}

/** Call the result to end. */
export function watchLoop(): () => Promise<Stalls> {
  const cpu = ownCpu();
  let loop = 0;
  let own = 0;
  let last = { at: performance.now(), cpu: cpu.read() };
  const ticks = setInterval(() => {
    const now = { at: performance.now(), cpu: cpu.read() };
    loop = Math.max(loop, now.at - last.at - 1);
    own = Math.max(own, now.cpu - last.cpu);
    last = now;
  }, 1);
  const idle = new Worker(
    `const { monitorEventLoopDelay } = require('node:perf_hooks');
     const { parentPort } = require('node:worker_threads');
     const delay = monitorEventLoopDelay({ resolution: 1 });
     delay.enable();
     parentPort.once('message', () => { delay.disable(); parentPort.postMessage(delay.max / 1e6); });`,
    { eval: true },
  );
  return async () => {
    clearInterval(ticks);
    cpu.close();
    const missed = new Promise<number>((resolve) => idle.once('message', resolve));
    idle.postMessage('end');
    const waited = await missed;
    await idle.terminate();
    return { loop, own: Number.isNaN(last.cpu) ? Number.NaN : own, idle: waited };
  };
}

/** ms of CPU of the main thread so far (Linux). */
function ownCpu(): { read(): number; close(): void } {
  const file = `/proc/self/task/${process.pid}/schedstat`;
  if (!existsSync(file)) return { read: () => Number.NaN, close: () => undefined };
  const descriptor = openSync(file, 'r');
  const text = Buffer.alloc(64);
  return {
    read: () => Number.parseInt(text.toString('latin1', 0, readSync(descriptor, text, 0, 64, 0)), 10) / 1e6,
    close: () => closeSync(descriptor),
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
