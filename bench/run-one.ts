/**
 * One run in a process of its own, on the load core: starts the servers on theirs, makes the load, reads CPU and memory of the
 * servers at the right moments and ends everything. A fresh process each time, so that no run inherits another's heap.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  CallsJob,
  CallsResult,
  FlowsJob,
  FlowsResult,
  HoldJob,
  HoldResult,
  HoldRound,
  Job,
  Memory,
  RegisterJob,
  RegisterResult,
  Result,
  RunMessage,
  RunOrder,
  WakeJob,
  WakeResult,
} from './job.ts';
import { round } from './figures.ts';
import { CallLoad } from './load/call-load.ts';
import { FlowLoad } from './load/flow-load.ts';
import { runHolds } from './load/hold-load.ts';
import { runParse } from './load/parse-load.ts';
import { Pbx } from './load/pbx.ts';
import { startPushStandIn, type PushStandIn } from './load/push-stand-in.ts';
import { RegisterLoad, type RegisterPlan } from './load/register-load.ts';
import { registerSleepers, runWakes } from './load/wake-load.ts';
import { startEdge, type PushAccess } from './servers/edge.ts';
import { startEngine } from './servers/engine.ts';
import { pausesOf, type GcPauses } from './servers/gc-pauses.ts';
import { placeIn, type Place } from './servers/place.ts';
import { coreSeconds, cpuByThread, cpuSecondsOf, usageOf } from './servers/process-usage.ts';
import { pause, serverCore, type RunningServer } from './servers/server.ts';
import { startKamailio, startResponder } from './servers/yardsticks.ts';

/** Before the push stand-in has told: an app that matches the phones and is never asked. */
const team = 'LABTEAM001';

process.once('message', (order: RunOrder) => {
  void perform(order).then(
    (result) => finish({ is: 'result', result }),
    (error: unknown) => finish({ is: 'failed', why: error instanceof Error ? error.message : String(error) }),
  );
});

function finish(message: RunMessage): void {
  process.send?.(message, () => process.exit(0));
}

function progress(text: string): void {
  process.send?.({ is: 'progress', text } satisfies RunMessage);
}

async function perform({ job, net, nodeArgs, keep }: RunOrder): Promise<Result> {
  const folder = keep ?? mkdtempSync(join(tmpdir(), 'bench-'));
  mkdirSync(folder, { recursive: true });
  const place = placeIn(net, folder);
  const servers: RunningServer[] = [];
  let pbx: Pbx | undefined;
  let standIn: PushStandIn | undefined;
  try {
    if (job.server.is === 'edge') standIn = await startPushStandIn();
    servers.push(...(await startServers(job, place, standIn?.access, nodeArgs)));
    if (job.server.is === 'edge') pbx = await Pbx.open(place.pbx.host, place.pbx.port, place.server);
    await pause(500);
    const pids = servers.map(({ pid }) => pid);
    switch (job.is) {
      case 'register':
        return await registers(job, place, pids, () => stopAll(servers));
      case 'calls':
        return await bridged(job, place, pids);
      case 'flows':
        return await flows(job, place, pids);
      case 'parse':
        return { is: 'parse', steps: runParse() };
      case 'wake':
        return await wakes(job, place, pids, required(pbx), required(standIn));
      case 'hold':
        return await holds(job, place, pids, required(pbx), required(standIn));
      default:
        return job satisfies never;
    }
  } finally {
    await stopAll(servers);
    pbx?.close();
    standIn?.close();
    if (keep === undefined) rmSync(folder, { recursive: true, force: true });
  }
}

async function stopAll(servers: RunningServer[]): Promise<void> {
  for (const server of servers.splice(0)) await server.stop();
}

async function startServers(
  job: Job,
  place: Place,
  push: PushAccess | undefined,
  nodeArgs: readonly string[],
): Promise<readonly RunningServer[]> {
  const { server } = job;
  switch (server.is) {
    case 'edge':
      return startEdge({ ...server, users: job.is === 'register' ? job.phones : 0, push, nodeArgs }, place);
    case 'engine':
      return startEngine({ ...server, nodeArgs }, place);
    case 'nothing':
      return [];
    case 'responder':
      return [await startResponder(server.map, place)];
    case 'kamailio':
      return [await startKamailio(place)];
    default:
      return server satisfies never;
  }
}

async function registers(
  job: RegisterJob,
  place: Place,
  pids: readonly number[],
  stopServers: () => Promise<void>,
): Promise<RegisterResult> {
  const plan: RegisterPlan = {
    transport: job.transport,
    server: place.server,
    localHost: place.phones,
    phones: job.phones,
    wires: 200,
    inFlight: job.inFlight,
    rate: job.rate,
    seconds: job.seconds,
    team,
  };
  const load = await RegisterLoad.open(plan);
  progress(`${job.phones} phones register for the first time`);
  await load.registerAll();
  progress(job.rate === undefined ? `refreshes, ${job.inFlight} in flight` : `refreshes, ${job.rate} a second`);
  const window = cpuWindow(pids, { done: () => load.accepted, everyMs: 200 });
  const figures = await load.run(window.at);
  const measured = measure(pids);
  load.close();
  const ofEngine = job.server.is === 'engine' && job.server.engine === 'embedded';
  const gcAtHalf = ofEngine ? await pausesAtHalf(plan, figures.rate / 2, place, pids, stopServers) : undefined;
  return {
    is: 'register',
    ...figures,
    ...measured,
    cpuMicros: round((window.cpuSeconds() * 1e6) / Math.max(1, figures.accepted)),
    leastMicros: round(window.leastSeconds() * 1e6),
    ...window.shares(),
    threadMicros: window.threads(Math.max(1, figures.accepted)),
    ...(gcAtHalf === undefined ? {} : { gcAtHalf }),
  };
}

/** Of the engine, which is the first of the processes; it tells when it ends. */
async function pausesAtHalf(
  plan: RegisterPlan,
  rate: number,
  place: Place,
  [engine = 0]: readonly number[],
  stopServers: () => Promise<void>,
): Promise<GcPauses | undefined> {
  progress(`garbage collection at ${Math.round(rate)} a second`);
  const load = await RegisterLoad.open({ ...plan, rate });
  const times: number[] = [];
  await load.run(() => times.push(Date.now()));
  load.close();
  await stopServers();
  const [from = 0, to = 0] = times;
  return pausesOf(engine, place, from, to);
}

async function bridged(job: CallsJob, place: Place, pids: readonly number[]): Promise<CallsResult> {
  const load = await CallLoad.open({
    server: place.server,
    callerHost: place.phones,
    callee: place.pbx,
    inFlight: job.inFlight,
    seconds: job.seconds,
  });
  progress(`${job.inFlight} calls at once`);
  const window = cpuWindow(pids);
  const figures = await load.run(3, window.at);
  const measured = measure(pids);
  load.close();
  const completed = Math.max(1, figures.completed);
  return {
    is: 'calls',
    ...figures,
    ...measured,
    cpuMicros: round((window.cpuSeconds() * 1e6) / completed),
    ...window.shares(),
    threadMicros: window.threads(completed),
  };
}

async function flows(job: FlowsJob, place: Place, pids: readonly number[]): Promise<FlowsResult> {
  const engine = pids.slice(0, 1);
  const before = measure(engine).memory;
  const cpu = cpuSecondsOf(pids);
  const load = new FlowLoad();
  await load.open({ over: job.over, server: place.server, localHost: place.phones, flows: job.flows, atOnce: 50 });
  const cpuMicros = round(((cpuSecondsOf(pids) - cpu) * 1e6) / job.flows);
  progress(`${load.accepted} registered`);
  await pause(5000);
  const measured = measure(engine);
  const { held } = load;
  load.close();
  const kibPerFlow = round((measured.memory.rssKib - before.rssKib) / job.flows);
  return { is: 'flows', flows: job.flows, held, before, kibPerFlow, cpuMicros, ...measured };
}

async function wakes(
  job: WakeJob,
  place: Place,
  pids: readonly number[],
  pbx: Pbx,
  standIn: PushStandIn,
): Promise<WakeResult> {
  progress(
    `${job.calls + job.warmUp} calls at ${job.rate} a second${job.bursts === undefined ? '' : ', random REGISTER bursts'}`,
  );
  let ended = 0;
  const window = cpuWindow(pids, { done: () => ended, everyMs: 500 });
  const figures = await runWakes(
    {
      transport: job.transport,
      server: place.server,
      phonesHost: place.phones,
      calls: job.calls,
      warmUp: job.warmUp,
      rate: job.rate,
      talkMs: 300,
      bursts: job.bursts,
    },
    pbx,
    standIn,
    window.at,
    () => ended++,
  );
  return {
    is: 'wake',
    ...figures,
    ...measure(pids),
    cpuMs: round((window.cpuSeconds() * 1000) / job.calls),
    leastMs: round(window.leastSeconds() * 1000),
    ...window.shares(),
    threadMicros: window.threads(job.calls),
  };
}

async function holds(
  job: HoldJob,
  place: Place,
  pids: readonly number[],
  pbx: Pbx,
  standIn: PushStandIn,
): Promise<HoldResult> {
  await registerSleepers({
    transport: job.transport,
    server: place.server,
    phonesHost: place.phones,
    phones: job.held,
    team: standIn.access.teamId,
  });
  await pause(3000);
  const rounds: HoldRound[] = [];
  for (let round_ = 1; round_ <= job.rounds; round_++) {
    progress(`round ${round_}: ${job.held} calls to be held`);
    const moments = new Map<string, Memory>();
    const cpu = cpuSecondsOf(pids);
    const figures = await runHolds(
      { held: job.held, rate: job.rate, settleSeconds: job.settleSeconds, round: round_ },
      pbx,
      standIn,
      (at) => {
        const memory = measure(pids).memory;
        moments.set(at, memory);
        progress(`round ${round_}: ${at}, RSS ${Math.round(memory.rssKib / 1024)} MiB`);
      },
    );
    const at = (moment: string): Memory => required(moments.get(moment));
    rounds.push({
      ...figures,
      before: at('before'),
      peak: at('peak'),
      cancelled: at('cancelled'),
      after: at('after'),
      kibPerHeld: round((at('peak').rssKib - at('before').rssKib) / job.held),
      cpuMs: round(((cpuSecondsOf(pids) - cpu) * 1000) / job.held),
    });
  }
  return { is: 'hold', rounds, ...measure(pids) };
}

interface CpuWindow {
  readonly at: (moment: 'begin' | 'end') => void;
  cpuSeconds(): number;
  /** CPU for one operation in the tenth of all slices that was disturbed least */
  leastSeconds(): number;
  shares(): { readonly cpuShare: number; readonly foreignShare: number; readonly loadShare: number };
  /** for each process microseconds of its busiest threads for one operation */
  threads(operations: number): readonly (readonly number[])[];
}

/** Slices of the window, each with what was done in it: others on the machine do not disturb all of them alike. */
interface Slices {
  /** operations since some moment */
  done(): number;
  readonly everyMs: number;
}

function cpuWindow(pids: readonly number[], slices?: Slices): CpuWindow {
  const perOperation: number[] = [];
  let slicer: NodeJS.Timeout | undefined;
  const slice = ({ done, everyMs }: Slices): void => {
    const read = (): { readonly cpu: number; readonly done: number } => ({
      cpu: [...cpuByThread(pids).values()].reduce((sum, seconds) => sum + seconds, 0),
      done: done(),
    });
    let last = read();
    slicer = setInterval(() => {
      const now = read();
      if (now.done > last.done) perOperation.push((now.cpu - last.cpu) / (now.done - last.done));
      last = now;
    }, everyMs);
  };
  let threadsBefore = new Map<string, number>();
  let threadsAfter = new Map<string, number>();
  const read = () => {
    const servers = cpuSecondsOf(pids);
    // the servers are children of this process
    return {
      servers,
      core: coreSeconds(serverCore),
      load: cpuSecondsOf([process.pid]) - servers,
      at: performance.now() / 1000,
    };
  };
  let before = read();
  let after = before;
  return {
    at: (moment) => {
      if (moment === 'begin') {
        threadsBefore = cpuByThread(pids);
        before = read();
        if (slices !== undefined) slice(slices);
      } else {
        clearInterval(slicer);
        after = read();
        threadsAfter = cpuByThread(pids);
      }
    },
    cpuSeconds: () => after.servers - before.servers,
    leastSeconds: () => perOperation.sort((a, b) => a - b)[Math.floor(perOperation.length / 10)] ?? Number.NaN,
    shares: () => {
      const seconds = after.at - before.at;
      const servers = after.servers - before.servers;
      return {
        cpuShare: round(servers / seconds),
        foreignShare: round(Math.max(0, after.core - before.core - servers) / seconds),
        loadShare: round((after.load - before.load) / seconds),
      };
    },
    threads: (operations) =>
      pids.map((pid) =>
        [...threadsAfter]
          .filter(([name]) => name.includes(` ${pid} / `))
          .map(([name, after]) => Math.round(((after - (threadsBefore.get(name) ?? 0)) * 1e6) / operations))
          .sort((a, b) => b - a)
          .slice(0, 5),
      ),
  };
}

function measure(pids: readonly number[]): {
  readonly processes: number;
  readonly threads: number;
  readonly memory: Memory;
} {
  const { processes, threads, rssKib, anonKib, pssKib } = usageOf(pids);
  return { processes, threads, memory: { rssKib, anonKib, pssKib } };
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('this measurement needs an edge');
  return value;
}
