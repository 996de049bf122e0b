/**
 * What one REGISTER, one call, one refresh push and one idle edge ask of Redis, as Redis counts it (INFO commandstats and its own CPU
 * time): two real edges on one Redis, phones over UDP and TCP, a fake PBX, a push stand-in. `node scripts/run.mjs bench/redis-ops [N]`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { openRedis } from '../lib/adapters/redis/open-redis.ts';
import { refreshTask } from '../lib/core/refresh-schedule.ts';
import { startRefreshPushes } from '../lib/refresh/refresh-pushes.ts';
import { systemClock } from '../lib/adapters/system/clock.ts';
import { MovedClock } from '../test/support/moved-clock.ts';
import { QuietLog } from '../test/support/quiet-log.ts';
import { startRedis } from '../test/support/redis-server.ts';
import { TelemetryRecorder } from '../test/support/telemetry-recorder.ts';
import { aTokenKeeper } from '../test/support/token-keeper.ts';
import { grid } from './grid.ts';
import { Caller } from './load/caller.ts';
import { paced } from './load/pace.ts';
import { Pbx } from './load/pbx.ts';
import { Phone } from './load/phone.ts';
import { indexOfToken, phoneIdentity } from './load/phone-identity.ts';
import { type PushStandIn, startPushStandIn } from './load/push-stand-in.ts';
import { RegisterLoad } from './load/register-load.ts';
import type { Transport } from './load/wire.ts';
import { aorOf, phoneAt } from './million/phones.ts';
import { startEdge } from './servers/edge.ts';
import { placeIn, type Place } from './servers/place.ts';
import { pause, type RunningServer } from './servers/server.ts';

const count = Number(process.argv[2] ?? 300);
const net = '127.0.44';
/** what an edge sends; the others are done by its scripts */
const sent = new Set(['evalsha', 'get', 'publish', 'subscribe', 'unsubscribe', 'zadd', 'pexpire', 'scan', 'ping']);

type Calls = ReadonlyMap<string, number>;
interface Counted {
  readonly calls: Calls;
  /** ms of CPU of Redis */
  readonly cpu: number;
  readonly seconds: number;
}

async function counted(operator: Redis, work: () => Promise<unknown>): Promise<Counted> {
  await operator.config('RESETSTAT');
  const cpu = await cpuOf(operator);
  const from = performance.now();
  await work();
  const seconds = (performance.now() - from) / 1000;
  const used = (await cpuOf(operator)) - cpu;
  const calls = new Map<string, number>();
  for (const [, name = '', found = ''] of (await operator.info('commandstats')).matchAll(
    /cmdstat_([a-z|]+):calls=(\d+)/g,
  ))
    if (!/^(?:info|config)/.test(name)) calls.set(name, Number(found));
  return { calls, cpu: used, seconds };
}

async function cpuOf(operator: Redis): Promise<number> {
  const text = await operator.info('cpu');
  const part = (name: string): number => Number(new RegExp(`${name}:([\\d.]+)`).exec(text)?.[1]) * 1000;
  return part('used_cpu_user') + part('used_cpu_sys');
}

/** For one operation, without what two idle edges do in that time. */
function each({ calls, cpu, seconds }: Counted, operations: number, idle: Counted | undefined): Counted {
  const share = idle === undefined ? 0 : seconds / idle.seconds;
  const names = [...calls].map(([name, found]): [string, number] => [
    name,
    Math.max(0, found - (idle?.calls.get(name) ?? 0) * share) / operations,
  ]);
  return {
    calls: new Map(names.filter(([, found]) => found >= 0.01)),
    cpu: Math.max(0, cpu - (idle?.cpu ?? 0) * share) / operations,
    seconds,
  };
}

function row(name: string, { calls, cpu }: Counted): readonly string[] {
  const text = (wanted: boolean): string =>
    [...calls]
      .filter(([command]) => sent.has(command) === wanted)
      .sort(([, a], [, b]) => b - a)
      .map(([command, found]) => `${found.toFixed(2)} ${command}`)
      .join(', ');
  const sum = [...calls].reduce((total, [command, found]) => total + (sent.has(command) ? found : 0), 0);
  return [name, sum.toFixed(2), (cpu * 1000).toFixed(0), text(true), text(false)];
}

interface World {
  readonly near: Place;
  readonly far: Place;
  readonly pbx: Pbx;
  readonly farPbx: Pbx;
  readonly standIn: PushStandIn;
}

function registers(place: Place, standIn: PushStandIn): Promise<RegisterLoad> {
  const plan = { transport: 'udp', server: place.server, localHost: place.phones, phones: count } as const;
  const team = standIn.access.teamId;
  return RegisterLoad.open({ ...plan, wires: 32, inFlight: 8, rate: undefined, seconds: 1, team });
}

let callIds = 0;

/** Calls by the near edge to phones that wake at, or are connected to, one of the two. */
async function calls(world: World, phonesAt: 'near' | 'far', transport: Transport, begin: 'asleep' | 'awake') {
  const { pbx, standIn } = world;
  const team = standIn.access.teamId;
  const caller = new Caller(pbx, `${phonesAt}${begin}${process.pid}`, {
    onAnswered: (call) => void setTimeout(() => caller.hangUp(call), 50),
  });
  let over = 0;
  const phones = Array.from(
    { length: count },
    (_, n) =>
      new Phone(phoneIdentity(n), {
        ...{ transport, server: world[phonesAt].server, host: world.near.phones, team },
        ...{ ringMs: 10, onLegOver: () => over++ },
      }),
  );
  // another Call-ID than in the calls before, or the same CSeq would come twice
  callIds += 1;
  const wake = [{ after: 0, port: 0, callId: callIds, again: false }];
  let pushes = 0;
  standIn.onPush = (token) => {
    pushes += 1;
    phones[indexOfToken(token)]?.wake(wake);
  };
  if (begin === 'awake') {
    for (const phone of phones) phone.wake(wake);
    await until(() => phones.every(({ acceptedAt }) => !Number.isNaN(acceptedAt)), 'phones to register');
    await pause(500);
  }
  // the near edge knows a Contact of the far one by its own name as well
  for (const [user, contact] of world.farPbx.contacts)
    if (phonesAt === 'far' && begin === 'awake')
      pbx.contacts.set(user, contact.replace(world.far.server.host, world.near.server.host));
  return {
    run: async () => {
      await paced(count, 50, (n) => caller.call(n, phoneIdentity(n).user));
      await until(() => over === count, `${count} calls to end`);
    },
    close: async () => {
      caller.close();
      for (const phone of phones) phone.sleep();
      await pause(1000);
      const expected = begin === 'asleep' ? count : 0;
      if (pushes !== expected) throw new Error(`${pushes} pushes instead of ${expected} (${phonesAt}, ${begin})`);
    },
  };
}

async function until(done: () => boolean, what: string): Promise<void> {
  const giveUpAt = performance.now() + 60_000;
  while (!done()) {
    if (performance.now() > giveUpAt) throw new Error(`waited in vain for ${what}`);
    await pause(10);
  }
}

/** On an agenda of its own: tasks of phones whose time has come, and a service that accepts all. */
async function refreshes(url: string, operator: Redis): Promise<Counted> {
  const opened = await openRedis({ url, keyPrefix: 'refresh:' });
  const now = Date.now();
  const clock = new MovedClock(now);
  for (let n = 0; n < count; n++) {
    const phone = phoneAt(n, now - 3_500_000, 3600);
    await opened.store.swap(aorOf(n), 0, [phone], phone.expiresAt);
    await opened.agenda.put(refreshTask(phone.aor, phone.id), now);
  }
  let pushed = 0;
  const [log, telemetry] = [new QuietLog(), new TelemetryRecorder()];
  const { store, agenda } = opened;
  const stop = startRefreshPushes({
    ...{ store, agenda, clock, precise: () => performance.now(), log, telemetry },
    tokens: aTokenKeeper({ store, clock: systemClock, log, telemetry }),
    push: { push: async () => ({ is: 'accepted', id: String(pushed++) }), close: async () => undefined },
    policy: { leadSeconds: 300, perSecond: 10_000, perAppPerSecond: 10_000, pushDeadlineMs: 5000 },
  });
  const found = await counted(operator, async () => {
    clock.move(1000);
    await until(() => pushed === count, 'refresh pushes');
    await stop();
  });
  await opened.nodes.close();
  await opened.bus.close();
  await opened.store.close();
  return found;
}

async function main(): Promise<void> {
  const server = await startRedis();
  process.env['BENCH_REDIS_URL'] = server.url;
  const operator = new Redis(server.url);
  const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'reveille-ops-')));
  const near: Place = {
    ...placeIn(net, folders[0] ?? ''),
    server: { host: `${net}.10`, port: 5060 },
    http: { host: `${net}.10`, port: 9090 },
    pbx: { host: `${net}.14`, port: 5080 },
  };
  const far: Place = {
    ...near,
    folder: folders[1] ?? '',
    server: { host: `${net}.11`, port: 5060 },
    http: { host: `${net}.11`, port: 9090 },
    pbx: { host: `${net}.15`, port: 5080 },
  };
  const servers: RunningServer[] = [];
  const standIn = await startPushStandIn();
  const pbx = await Pbx.open(near.pbx.host, near.pbx.port, near.server);
  const farPbx = await Pbx.open(far.pbx.host, far.pbx.port, far.server);
  const rows: (readonly string[])[] = [['', 'commands', 'us of Redis', 'sent by the edge', 'inside scripts']];
  try {
    const plan = { engine: 'embedded', registration: 'mid-registrar', store: 'redis', users: 0, nodeArgs: [] } as const;
    for (const place of [near, far]) servers.push(...(await startEdge({ ...plan, push: standIn.access }, place)));
    const world: World = { near, far, pbx, farPbx, standIn };
    await pause(3000);
    const idle = await counted(operator, () => pause(10_000));
    rows.push(row('edge with nothing to do, a second', each(idle, 2 * idle.seconds, undefined)));
    const load = await registers(near, standIn);
    const measure = async (name: string, work: () => Promise<unknown>): Promise<void> => {
      process.stderr.write(`${name}\n`);
      rows.push(row(name, each(await counted(operator, work), count, idle)));
    };
    await measure('REGISTER, first', () => load.registerAll());
    await measure('REGISTER, refresh', () => load.registerAll());
    load.close();
    for (const at of ['near', 'far'] as const) {
      const woken = await calls(world, at, 'udp', 'asleep');
      const where = at === 'near' ? 'the same node' : 'another node';
      await measure(`call, phone wakes at ${where} (REGISTER in it)`, woken.run);
      await woken.close();
      const awake = await calls(world, at, 'tcp', 'awake');
      await measure(`call, phone awake at ${where}`, awake.run);
      await awake.close();
      // asleep again, and known by the near PBX
      const again = await registers(near, standIn);
      await again.registerAll();
      again.close();
    }
    for (const one of servers.splice(0)) await one.stop();
    process.stderr.write('refresh pushes\n');
    rows.push(
      row('refresh push (its REGISTER not in it)', each(await refreshes(server.url, operator), count, undefined)),
    );
  } finally {
    for (const one of servers) await one.stop();
    pbx.close();
    farPbx.close();
    standIn.close();
    await operator.quit();
    await server.stop();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  }
  process.stdout.write(grid(rows));
}

// so that servers of ours end with us
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
