/** Many INVITEs held at once for phones that do not wake up, then all cancelled. Tells the moments at which memory is to be read. */
import { Caller, type Call } from './caller.ts';
import { phoneIdentity } from './phone-identity.ts';
import { paced, pause } from './pace.ts';
import type { Pbx } from './pbx.ts';
import type { PushStandIn } from './push-stand-in.ts';
import { wallMs } from './sip-text.ts';

export interface HoldPlan {
  readonly held: number;
  /** INVITEs and CANCELs a second */
  readonly rate: number;
  /** from the last 487 to the last reading, seconds; beyond the 32 s that transactions live on over UDP */
  readonly settleSeconds: number;
  /** tells the rounds of one run apart */
  readonly round: number;
}

export interface HoldFigures {
  readonly held: number;
  readonly proceeding: number;
  readonly pushes: number;
  readonly terminated: number;
  readonly cancelsAnswered: number;
  /** final responses other than 487 */
  readonly others: Readonly<Record<string, number>>;
  readonly repeatedByPbx: number;
  readonly holdSeconds: number;
}

export async function runHolds(
  plan: HoldPlan,
  pbx: Pbx,
  standIn: PushStandIn,
  onMoment: (at: 'before' | 'peak' | 'cancelled' | 'after') => void,
): Promise<HoldFigures> {
  const pushed = new Set<string>();
  standIn.onPush = (token) => void pushed.add(token);
  const caller = new Caller(pbx, `h${plan.round}-${process.pid}`, {});
  onMoment('before');
  const from = wallMs();
  const calls: Call[] = [];
  await paced(plan.held, plan.rate, (n) => calls.push(caller.call(n, phoneIdentity(n).user)));
  const all = (what: (call: Call) => boolean): boolean => calls.every(what);
  await until(() => all(({ proceeding }) => proceeding) && pushed.size >= plan.held, 20_000);
  await pause(1500);
  const proceeding = calls.filter((call) => call.proceeding && call.final === 0).length;
  const holdSeconds = (wallMs() - from) / 1000;
  onMoment('peak');
  await paced(plan.held, plan.rate * 2, (n) => caller.cancel(calls[n] as Call));
  await until(() => all(({ final }) => final !== 0), 15_000);
  await pause(500);
  onMoment('cancelled');
  await pause(plan.settleSeconds * 1000);
  onMoment('after');
  caller.close();
  const others: Record<string, number> = {};
  for (const { final } of calls)
    if (final !== 487) others[final === 0 ? 'none' : final] = (others[final === 0 ? 'none' : final] ?? 0) + 1;
  return {
    held: plan.held,
    proceeding,
    pushes: pushed.size,
    terminated: calls.filter(({ final }) => final === 487).length,
    cancelsAnswered: calls.filter((call) => call.cancelAnswered).length,
    others,
    repeatedByPbx: caller.repeated,
    holdSeconds,
  };
}

async function until(condition: () => boolean, ms: number): Promise<void> {
  const giveUpAt = wallMs() + ms;
  while (!condition() && wallMs() < giveUpAt) await pause(50);
}
