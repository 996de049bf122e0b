/** Everything of a run that is a process of its own: Redis, push services, nodes; and where each of them lives. */
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
  /** of phones and of the PBX */
  readonly phonesHost: string;
  readonly pbxHosts: readonly string[];
  close(): Promise<void>;
}

const here: NodePlan['at'] = (command, args) => ({ command, args });
const pbxPort = 5080;

export async function openWorld(plan: WorldPlan): Promise<World> {
  const { net, folder } = plan;
  const redis = new ChaosRedis(`${net}.3`, folder, here);
  const push = Array.from({ length: plan.pushServices }, (_, n) => new PushStandIn(n, `${net}.4`, folder, here));
  const pbxHosts = [`${net}.5`, `${net}.6`];
  await Promise.all([redis.start(), ...push.map((one) => one.start())]);
  const nodes = Array.from(
    { length: plan.nodes },
    (_, index) =>
      new ChaosNode({
        ...{ index, host: `${net}.${11 + index}`, folder, redisUrl: redis.url, phones: plan.phones, at: here },
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
    phonesHost: `${net}.2`,
    pbxHosts,
    close: async () => {
      await Promise.all(nodes.map((node) => node.kill()));
      await Promise.all([redis.kill(), ...push.map((one) => one.kill())]);
    },
  };
}
