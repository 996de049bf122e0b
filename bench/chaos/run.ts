/** One run: a world, phones that sleep in it, calls at a fixed rate, and faults. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { randomFrom, round } from '../figures.ts';
import { pause } from '../load/pace.ts';
import { wallMs } from '../load/sip-text.ts';
import { type Aftermath, lookAround } from './aftermath.ts';
import type { Fault, PlannedFault } from './fault.ts';
import { nameOf } from './fault.ts';
import { FailoverPbx } from './failover-pbx.ts';
import { Fleet } from './fleet.ts';
import { inject } from './injector.ts';
import { type Call, Ledger } from './ledger.ts';
import { endOf } from './verdict.ts';
import type { World } from './world.ts';

export interface RunPlan {
  readonly seed: number;
  readonly forMs: number;
  /** calls a second */
  readonly rate: number;
  readonly phones: number;
  readonly holdSeconds: number;
  readonly agenda: readonly PlannedFault[];
  /** calls go on until the agenda is through, however long that takes */
  readonly throughAgenda: boolean;
  /** from the end of the last call to the last reading of memory, ms */
  readonly settleMs: number;
}

export interface RunResult {
  readonly calls: readonly Call[];
  readonly faults: readonly Fault[];
  /** calls that were not placed because no phone slept */
  readonly skipped: number;
  readonly strangers: number;
  /** how late timers of the load were, ms: it times calls, and what it is late with it sees late */
  readonly loadLateMs: { readonly p99: number; readonly max: number };
  readonly aftermath: Aftermath;
  readonly failedStarts: number;
}

/** A phone rests for so long after a call before it is called again, ms. */
const restMs = 2500;
const progressEveryMs = 10_000;

export async function run(plan: RunPlan, world: World, say: (line: string) => void): Promise<RunResult> {
  let startedAt = wallMs();
  const now = (): number => wallMs() - startedAt;
  const ledger = new Ledger();
  const times = randomFrom(plan.seed);
  const rings = Array.from({ length: 997 }, () => 80 + times() * 500);
  const talks = Array.from({ length: 991 }, () => 400 + times() * 2000);
  const ringMs = (n: number): number => rings[n % rings.length] ?? 0;
  const talkMs = (n: number): number => talks[n % talks.length] ?? 0;
  const common = { nodes: world.nodes.map(({ sip }) => sip), ledger, now, talkMs };
  const fleet = new Fleet({
    ...{ ...common, ringMs, hosts: world.phoneHosts, phones: plan.phones, seed: plan.seed, tcpShare: 0.2 },
    teams: world.push.map(({ plan: { credentials } }) => credentials.teamId),
  });
  const pbx = await FailoverPbx.open({
    ...common,
    hosts: world.pbxHosts,
    silenceMs: 2000,
    patienceMs: (plan.holdSeconds + 12) * 1000,
  });
  for (const push of world.push)
    push.onPush = (phone) => {
      ledger.pushed(phone, now());
      fleet.pushed(phone);
    };
  await fleet.registerAll();
  const rssKibBefore = world.nodes.map((node) => node.memoryKib);
  say(`${plan.phones} phones have registered and sleep`);

  startedAt = wallMs();
  const latest = new Map<number, Call>();
  const isFree = (phone: number): boolean => {
    const call = latest.get(phone);
    return call === undefined || now() - call.overAt > restMs;
  };
  let skipped = 0;
  const injector = inject(plan.agenda, world, now, (fault, is) =>
    say(`${seconds(now())} ${nameOf(fault)} ${is === 'begins' ? '' : 'is over'}`.trimEnd()),
  );
  const progress = setInterval(() => say(progressLine(ledger.calls, now(), fleet.awake)), progressEveryMs);
  const place = (n: number): void => {
    const phone = fleet.sleeper(isFree);
    if (phone === undefined) {
      skipped += 1;
      return;
    }
    const { index } = phone.identity;
    latest.set(index, pbx.call({ n, phone: index, transport: phone.transport, push: fleet.pushOf(index) }));
  };
  let throughAgenda = !plan.throughAgenda;
  void injector.done.then(() => (throughAgenda = true));
  const lag = monitorEventLoopDelay({ resolution: 10 });
  lag.enable();
  for (let n = 0; now() < plan.forMs || !throughAgenda; await pause(2))
    for (const due = (now() / 1000) * plan.rate; n <= due; n++) place(n);
  lag.disable();
  await injector.done;
  const lastAt = now() + (plan.holdSeconds + 12) * 1000 + 25_000;
  while (now() < lastAt && ledger.calls.some(isGoingOn)) await pause(100);
  // what comes late is to be seen
  await pause(2000);
  clearInterval(progress);
  say(progressLine(ledger.calls, now(), fleet.awake));
  const aftermath = await lookAround(world, rssKibBefore, plan.settleMs);
  pbx.close();
  fleet.close();
  return {
    calls: ledger.calls,
    faults: injector.faults,
    skipped,
    strangers: ledger.strangers,
    loadLateMs: { p99: round(lag.percentile(99) / 1e6), max: round(lag.max / 1e6) },
    aftermath,
    failedStarts: world.nodes.reduce((sum, node) => sum + node.failedStarts, 0),
  };
}

function isGoingOn(call: Call): boolean {
  return Number.isNaN(call.overAt) || call.legs.some(({ end }) => end === '');
}

function progressLine(calls: readonly Call[], now: number, awake: number): string {
  const counts = new Map<string, number>();
  for (const call of calls) {
    const end = endOf(call);
    counts.set(end, (counts.get(end) ?? 0) + 1);
  }
  const ends = [...counts].map(([end, count]) => `${end} ${count}`).join(', ');
  return `${seconds(now)} calls ${calls.length}: ${ends}; ${awake} phones awake`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
