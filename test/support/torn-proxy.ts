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
  /** From now on everything comes so much later, ms. */
  delay(ms: number): void;
  stop(): Promise<void>;
}

export async function startTornProxy(target: number): Promise<TornProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let frozen = false;
  let late = 0;
  let go: (() => void)[] = [];
  const pass = async (): Promise<void> => {
    if (late > 0) await new Promise((resolve) => setTimeout(resolve, late));
    while (frozen) await new Promise<void>((resolve) => go.push(resolve));
  };
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
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
        before = before.then(pass).then(() => {
          if (!to.destroyed) to.write(chunk);
        });
      });
      from.on('error', end);
      from.on('close', end);
    }
  });
  server.listen(0, '127.0.0.1');
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
