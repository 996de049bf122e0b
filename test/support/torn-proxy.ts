/** A TCP proxy that tears, freezes and delays what goes through it, as a network between a process and its Redis does. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TornProxy {
  readonly port: number;
  /** connections that stand now */
  readonly open: number;
  /** Ends one of them, or all, without a word. */
  tear(nth?: number): void;
  /** From now on octets wait, in both directions, and new connections too; until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** What comes from now on arrives so much later, ms, in its order. */
  delay(ms: number): void;
  stop(): Promise<void>;
}

/** `at`: where it listens; `host`: where the target is. */
export async function startTornProxy(target: number, at = '127.0.0.1', host = '127.0.0.1'): Promise<TornProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let frozen = false;
  let late = 0;
  let go: (() => void)[] = [];
  const pass = async (due: number): Promise<void> => {
    const ms = due - performance.now();
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    while (frozen) await new Promise<void>((resolve) => go.push(resolve));
  };
  const server = createServer((near) => {
    const far = connect(target, host);
    const pair = [near, far] as const;
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      // in order, however long the one before waits
      let before = Promise.resolve();
      from.on('data', (chunk: Buffer) => {
        const due = performance.now() + late;
        before = before
          .then(() => pass(due))
          .then(() => {
            if (!to.destroyed) to.write(chunk);
          });
      });
      from.on('error', end);
      from.on('close', end);
    }
  });
  server.listen(0, at);
  await once(server, 'listening');
  const thaw = (): void => {
    frozen = false;
    for (const one of go.splice(0)) one();
  };
  return {
    port: (server.address() as AddressInfo).port,
    get open() {
      return pairs.size;
    },
    tear: (nth) => {
      const all = [...pairs];
      for (const [near, far] of nth === undefined ? all : all.slice(nth % Math.max(1, all.length)).slice(0, 1)) {
        near.destroy();
        far.destroy();
      }
    },
    freeze: () => {
      frozen = true;
    },
    thaw,
    delay: (ms) => {
      late = ms;
    },
    stop: async () => {
      go = [];
      for (const [near, far] of pairs) {
        near.destroy();
        far.destroy();
      }
      server.close();
      await once(server, 'close');
    },
  };
}
