/** Everything of a run that is a process of its own: Redis, push services, nodes; and where each of them lives. */
import { openHosts, whyNoHosts } from '../hosts/hosts.ts';
import type { FarSide } from './fault.ts';
import { ChaosNode, type NodePlan } from './node.ts';
import { PushStandIn } from './push-stand-in.ts';
import { ChaosRedis } from './redis.ts';

export interface WorldPlan {
  /** first three numbers of all addresses */
  readonly net: string;
  readonly folder: string;
  readonly nodes: number;
  readonly pushServices: number;
  readonly phones: number;
  readonly holdSeconds: number;
}

export interface World {
  readonly redis: ChaosRedis;
  readonly push: readonly PushStandIn[];
  readonly nodes: readonly ChaosNode[];
  /** addresses of phones and of the PBX */
  readonly phoneHosts: readonly string[];
  readonly pbxHosts: readonly string[];
  /** Cuts a node off from another part, silently; undefined where all parts are on one host. */
  readonly cut: ((node: number, from: FarSide, is: 'begins' | 'ends') => Promise<void>) | undefined;
  close(): Promise<void>;
}

const pbxPort = 5080;

/** Where each part lives. */
interface Places {
  at(part: string): { readonly host: string; readonly at: NodePlan['at'] };
  readonly phoneHosts: readonly string[];
  readonly pbxHosts: readonly string[];
  readonly cut: World['cut'];
  close(): Promise<void>;
}

/** A host of its own for every part where that can be; else addresses of the loopback. */
async function placesOf({ net, nodes, pushServices }: WorldPlan): Promise<Places> {
  const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${name}${n}`);
  const parts = ['redis', ...numbered('push', pushServices), ...numbered('node', nodes)];
  if (whyNoHosts() !== undefined)
    return {
      at: (part) => ({ host: `${net}.${11 + parts.indexOf(part)}`, at: (command, args) => ({ command, args }) }),
      ...{ phoneHosts: [`${net}.2`, `${net}.3`], pbxHosts: [`${net}.5`, `${net}.6`], cut: undefined },
      close: async () => undefined,
    };
  const hosts = await openHosts(parts);
  return {
    at: (part) => {
      const { address, within } = hosts.host(part);
      const [command = '', ...before] = within;
      return { host: address, at: (program, args) => ({ command, args: [...before, program, ...args] }) };
    },
    pbxHosts: [hosts.anAddress(), hosts.anAddress()],
    phoneHosts: Array.from({ length: 100 }, () => hosts.anAddress()),
    cut: (node, from, is) => {
      const other = from === 'phones and PBX' ? hosts.outside.name : from.replace(' ', '');
      return is === 'begins' ? hosts.cutBetween(`node${node}`, other) : hosts.healBetween(`node${node}`, other);
    },
    close: () => hosts.close(),
  };
}

export async function openWorld(plan: WorldPlan): Promise<World> {
  const { folder } = plan;
  const places = await placesOf(plan);
  const { pbxHosts, phoneHosts, cut } = places;
  const redisAt = places.at('redis');
  const redis = new ChaosRedis(redisAt.host, folder, redisAt.at);
  const push = Array.from({ length: plan.pushServices }, (_, n) => {
    const { host, at } = places.at(`push${n}`);
    return new PushStandIn(n, host, folder, at);
  });
  await Promise.all([redis.start(), ...push.map((one) => one.start())]);
  const nodes = Array.from(
    { length: plan.nodes },
    (_, index) =>
      new ChaosNode({
        ...{ ...places.at(`node${index}`), index, folder, redisUrl: redis.url, phones: plan.phones },
        pbx: pbxHosts.map((host) => `sip:${host}:${pbxPort};transport=udp`),
        pushServices: push.map((one) => one.plan),
        holdSeconds: plan.holdSeconds,
      }),
  );
  await Promise.all(nodes.map((node) => node.start()));
  for (const node of nodes) if (!(await node.ready(30_000))) throw new Error(`node ${node.index} is not ready`);
  return {
    redis,
    push,
    nodes,
    phoneHosts,
    pbxHosts,
    cut,
    close: async () => {
      await Promise.all(nodes.map((node) => node.kill()));
      await Promise.all([redis.kill(), ...push.map((one) => one.kill())]);
      await places.close();
    },
  };
}
