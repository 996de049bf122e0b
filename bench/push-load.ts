/** Load for the figures of push delivery: requests, loops that keep so many on their way, and what came of them. */
import { randomBytes } from 'node:crypto';
import type { PushOutcome, PushRequest, PushService } from '../lib/ports/push-service.ts';

const deviceTokens = Array.from({ length: 10_000 }, () => randomBytes(32).toString('hex'));
const registration = `dQw4w9WgXcQ:${'A1b2_-'.repeat(20)}`;
let requests = 0;

export function aRequest(app: 'ios' | 'android', deadlineMs = 5000): PushRequest {
  const now = Date.now();
  requests += 1;
  return {
    app,
    class: 'call',
    environment: 'production',
    param: app === 'ios' ? 'LABTEAM001.org.example.phone.voip' : 'lab-project',
    tokens: [
      app === 'ios'
        ? { kind: 'voip', token: deviceTokens[requests % deviceTokens.length] ?? '' }
        : { kind: 'fcm', token: registration },
    ],
    instanceId: undefined,
    callId: `bench-${requests}@pbx.example.org`,
    from: { uri: 'sip:bob@example.org', display: 'Bob' },
    to: 'sip:alice@example.org',
    hasVideo: false,
    deadline: now + deadlineMs,
    wakeUntil: now + 15_000,
  };
}

export interface Measured {
  readonly pushes: number;
  readonly failed: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** of this process, per push */
  readonly cpuMs: number;
  /** part of the time in which this process had a core to itself, or as good as */
  readonly cpuShare: number;
  /** what came of the pushes that failed */
  readonly reasons: Readonly<Record<string, number>>;
}

/** One push, true when it was taken over. */
export type Push = () => Promise<PushOutcome | { readonly is: 'accepted' }>;

export async function measure(run: (push: Push) => Promise<void>, push: Push): Promise<Measured> {
  const times: number[] = [];
  const reasons: Record<string, number> = {};
  let failed = 0;
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await run(async () => {
    const at = performance.now();
    const outcome = await push();
    times.push(performance.now() - at);
    if (outcome.is !== 'accepted') {
      failed += 1;
      const reason = 'reason' in outcome ? `${outcome.is}: ${outcome.reason}` : outcome.is;
      reasons[reason] = (reasons[reason] ?? 0) + 1;
    }
    return outcome;
  });
  const seconds = (performance.now() - begun) / 1000;
  const used = process.cpuUsage(cpu);
  const cpuSeconds = (used.user + used.system) / 1e6;
  times.sort((a, b) => a - b);
  const at = (part: number): number => Math.round((times[Math.floor(times.length * part)] ?? 0) * 10) / 10;
  return {
    pushes: times.length,
    failed,
    perSecond: Math.round(times.length / seconds),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    cpuMs: Math.round((cpuSeconds * 1e6) / times.length) / 1000,
    cpuShare: Math.round((cpuSeconds / seconds) * 100) / 100,
    reasons,
  };
}

export function pushTo(service: PushService, app: 'ios' | 'android', deadlineMs?: number): Push {
  // of the calls, who have one each anyway; none of them is used by two pushes on their way
  const signals = Array.from({ length: 4096 }, () => new AbortController().signal);
  let count = 0;
  return () => service.push(aRequest(app, deadlineMs), signals[count++ % signals.length] as AbortSignal);
}

/** `width` pushes on their way at any time; `at` is told how many have ended. */
export async function closedLoop(
  total: number,
  width: number,
  push: Push,
  at: (done: number) => void = () => undefined,
): Promise<void> {
  let begun = 0;
  let done = 0;
  const lane = async (): Promise<void> => {
    while (begun < total) {
      begun += 1;
      await push();
      done += 1;
      at(done);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
}

/** `rate` pushes a second, whatever the answers do. */
export async function paced(rate: number, seconds: number, push: Push): Promise<void> {
  const all: Promise<unknown>[] = [];
  const begun = performance.now();
  while (performance.now() - begun < seconds * 1000) {
    const due = Math.floor(((performance.now() - begun) / 1000) * rate);
    while (all.length < due) all.push(push());
    await new Promise((done) => setTimeout(done, 5));
  }
  await Promise.all(all);
}
