/** Pushes per second and CPU per push of the APNs adapter against the push lab in a process of its own, 30 ms away. Prints JSON. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type ApnsService, openApns } from '../lib/adapters/apns/apns-push-service.ts';
import type { PushRequest } from '../lib/ports/push-service.ts';

interface LabLine {
  readonly endpoint: string;
  readonly control: string;
  readonly teamId: string;
  readonly keyId: string;
  readonly ca: string;
  readonly key: string;
}

const { values } = parseArgs({
  options: {
    pushes: { type: 'string', default: '50000' },
    width: { type: 'string', default: '1000' },
    latency: { type: 'string', default: '30' },
    /** pushes a second for the paced run */
    rate: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '10' },
    sessions: { type: 'string', default: '4' },
  },
});

const here = fileURLToPath(import.meta.url);
const labMain = fileURLToPath(new URL(`../apps/push-lab/main${here.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));
const tokens = Array.from({ length: 10_000 }, () => randomBytes(32).toString('hex'));
let requests = 0;

function aRequest(): PushRequest {
  const now = Date.now();
  requests += 1;
  return {
    app: 'phone',
    class: 'call',
    environment: 'production',
    param: 'LABTEAM001.org.example.phone.voip',
    tokens: [{ kind: 'voip', token: tokens[requests % tokens.length] ?? '' }],
    instanceId: undefined,
    callId: `bench-${requests}@pbx.example.org`,
    from: { uri: 'sip:bob@example.org', display: 'Bob' },
    to: 'sip:alice@example.org',
    hasVideo: false,
    deadline: now + 5000,
    wakeUntil: now + 15_000,
  };
}

interface Figures {
  readonly pushes: number;
  readonly failed: number;
  readonly pushesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMsPerPush: number;
}

async function measure(run: (push: () => Promise<void>) => Promise<void>, apns: ApnsService): Promise<Figures> {
  const times: number[] = [];
  let failed = 0;
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await run(async () => {
    const at = performance.now();
    const outcome = await apns.push(aRequest(), new AbortController().signal);
    times.push(performance.now() - at);
    if (outcome.is !== 'accepted') failed += 1;
  });
  const seconds = (performance.now() - begun) / 1000;
  const used = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  const at = (part: number): number => Math.round((times[Math.floor(times.length * part)] ?? 0) * 10) / 10;
  return {
    pushes: times.length,
    failed,
    pushesPerSecond: Math.round(times.length / seconds),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    cpuMsPerPush: Math.round((used.user + used.system) / times.length) / 1000,
  };
}

/** `width` pushes on their way at any time. */
async function closedLoop(total: number, width: number, push: () => Promise<void>): Promise<void> {
  let begun = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (begun < total) {
        begun += 1;
        await push();
      }
    }),
  );
}

/** `rate` pushes a second, whatever the answers do. */
async function paced(rate: number, seconds: number, push: () => Promise<void>): Promise<void> {
  const all: Promise<void>[] = [];
  const begun = performance.now();
  while (performance.now() - begun < seconds * 1000) {
    const due = Math.floor(((performance.now() - begun) / 1000) * rate);
    while (all.length < due) all.push(push());
    await new Promise((done) => setTimeout(done, 5));
  }
  await Promise.all(all);
}

const lab = spawn(
  process.execPath,
  [...process.execArgv, labMain, '--apns-port', '0', '--control-port', '0', '--latency', values.latency],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
const [line] = (await once(createInterface({ input: lab.stdout }), 'line')) as [string];
const at = JSON.parse(line) as LabLine;
const apns = openApns({
  apps: [
    {
      name: 'phone',
      teamId: at.teamId,
      keyId: at.keyId,
      privateKey: readFileSync(at.key, 'utf8'),
      endpoint: { production: at.endpoint },
      ca: readFileSync(at.ca, 'utf8'),
      profile: 'generic',
      privacy: 'full',
      callExpiration: 'window',
    },
  ],
  limits: { maxSessions: Number(values.sessions) },
});
try {
  // compile and warm up
  await measure((push) => closedLoop(3000, 200, push), apns);
  const burst = await measure((push) => closedLoop(Number(values.pushes), Number(values.width), push), apns);
  // the pacing itself costs CPU, which is not the adapter's
  const idle = process.cpuUsage();
  await paced(Number(values.rate), Number(values.seconds), () => Promise.resolve());
  const { user, system } = process.cpuUsage(idle);
  const paceMs = (user + system) / 1000 / (Number(values.rate) * Number(values.seconds));
  const measured = await measure((push) => paced(Number(values.rate), Number(values.seconds), push), apns);
  const steady = { ...measured, cpuMsPerPush: Math.round((measured.cpuMsPerPush - paceMs) * 1000) / 1000 };
  const stats = (await (await fetch(`${at.control}/stats`)).json()) as { accepted: number; sessionsOpened: number };
  process.stdout.write(
    `${JSON.stringify({ latencyMs: Number(values.latency), width: Number(values.width), burst, rate: Number(values.rate), steady, connections: stats.sessionsOpened })}\n`,
  );
} finally {
  await apns.close();
  lab.kill('SIGTERM');
}
