/** What must be so when everything is over: nothing held, no call left, no memory kept, every key of Redis with an end. */
import { Redis } from 'ioredis';
import { pause } from '../load/pace.ts';
import type { World } from './world.ts';

export interface Aftermath {
  readonly nodes: readonly {
    readonly ready: boolean;
    readonly held: number;
    readonly calls: number;
    readonly otherNodes: number;
    /** by object of the engine */
    readonly objects: Readonly<Record<string, number>>;
    readonly rssKibBefore: number;
    readonly rssKibAfter: number;
  }[];
  readonly redisKeys: number;
  /** keys without an end, without what names one phone or one node */
  readonly endless: Readonly<Record<string, number>>;
  readonly wrong: readonly string[];
}

/** Keys that all nodes share and that must outlive them. */
const lasting = /edge-secret/;

export async function lookAround(world: World, rssKibBefore: readonly number[], settleMs: number): Promise<Aftermath> {
  const wrong: string[] = [];
  const giveUpAt = Date.now() + 15_000;
  let nodes = await look(world, rssKibBefore);
  const isQuiet = (): boolean =>
    nodes.every(
      ({ held, calls, ready, otherNodes }) =>
        held === 0 && calls === 0 && ready && otherNodes === world.nodes.length - 1,
    );
  while (!isQuiet() && Date.now() < giveUpAt) {
    await pause(250);
    nodes = await look(world, rssKibBefore);
  }
  if (settleMs > 0) {
    await pause(settleMs);
    nodes = await look(world, rssKibBefore);
  }
  for (const [n, node] of nodes.entries()) {
    if (!node.ready) wrong.push(`node ${n} is not ready`);
    if (node.held > 0) wrong.push(`node ${n} holds ${node.held} INVITEs still`);
    if (node.calls > 0) wrong.push(`node ${n} has ${node.calls} calls still`);
    if (node.otherNodes !== world.nodes.length - 1) wrong.push(`node ${n} knows ${node.otherNodes} others`);
  }
  const { keys, endless } = await lookIntoRedis(world.redis.url);
  for (const [name, count] of Object.entries(endless)) wrong.push(`${count} keys ${name} have no end`);
  return { nodes, redisKeys: keys, endless, wrong };
}

async function look(world: World, before: readonly number[]): Promise<Aftermath['nodes']> {
  return Promise.all(
    world.nodes.map(async (node, n) => {
      const [text, ready] = await Promise.all([node.metrics(), node.http('/readyz')]);
      const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
      const objects: Record<string, number> = {};
      for (const [, labels = '', count] of text.matchAll(/^reveille_engine_objects\{([^}]*)\} (\S+)$/gm))
        objects[labels.replace(/^\w+="|"$/g, '')] = Number(count);
      return {
        ready: ready?.status === 200,
        held: value('reveille_held_invites'),
        calls: value('reveille_calls'),
        otherNodes: value('reveille_other_nodes'),
        objects,
        rssKibBefore: before[n] ?? 0,
        rssKibAfter: node.memoryKib,
      };
    }),
  );
}

async function lookIntoRedis(
  url: string,
): Promise<{ readonly keys: number; readonly endless: Record<string, number> }> {
  const client = new Redis(url, { lazyConnect: true });
  await client.connect();
  try {
    let keys = 0;
    const endless: Record<string, number> = {};
    let cursor = '0';
    do {
      const [next, found] = await client.scan(cursor, 'COUNT', 1000);
      cursor = next;
      keys += found.length;
      const left = await client.pipeline(found.map((key) => ['pttl', key])).exec();
      for (const [at, key] of found.entries()) {
        if (left?.[at]?.[1] !== -1 || lasting.test(key)) continue;
        const name = key.replace(/u\d+@\S*|[0-9a-f]{8,}/g, '*');
        endless[name] = (endless[name] ?? 0) + 1;
      }
    } while (cursor !== '0');
    return { keys, endless };
  } finally {
    client.disconnect();
  }
}
