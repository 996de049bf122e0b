/** Chaos with a seed: `npm run chaos -- --help`. Exit code 1 when a call ended and no fault explains it, or anything else was wrong. */
import { mkdtempSync, readdirSync, rmSync, copyFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { whyNoHosts } from '../hosts/hosts.ts';
import { draw, rolling } from './agenda.ts';
import { type FaultKind, faultKinds } from './fault.ts';
import { readRun } from './judge-again.ts';
import { redisServer } from './redis.ts';
import { isGood, summarise, tableOf, writeReport } from './report.ts';
import { run } from './run.ts';
import { judge } from './verdict.ts';
import { openWorld } from './world.ts';

const help = `Usage: npm run chaos -- [options]

Calls to sleeping phones at a fixed rate through several edges on one Redis, while edges, Redis and push services are killed, frozen,
drained and cut off. Every call is followed from both ends; an end that no fault explains makes the exit code 1. Needs redis-server.

Options
  --seed N       of the faults, the phones that are called and how long they ring and talk (drawn and printed)
  --minutes M    of calls (2)
  --rate R       calls a second (50)
  --nodes N      edges (3)
  --pause A-B    seconds from one fault to the next (5-12)
  --phones P     phones (40 for each call a second)
  --hold S       seconds a call is held for a phone that does not come (15)
  --settle S     seconds of quiet before memory is read (40)
  --only NAMES   rolling: each edge is drained and restarted in turn, and no call may fail; or kinds of faults, as node-kill,redis-freeze
  --net A.B.C    first three numbers of the addresses where there can be no network namespaces (127.0.42)
  --report DIR   calls.jsonl, faults.jsonl, report.json, report.txt, chaos.svg and the logs of the edges
  --judge DIR    no run: judges the one whose report is in this folder once more, and writes that report anew
  --json         the report as one JSON object on stdout
  --help
`;

const options = {
  seed: { type: 'string' },
  minutes: { type: 'string', default: '2' },
  rate: { type: 'string', default: '50' },
  nodes: { type: 'string', default: '3' },
  pause: { type: 'string', default: '5-12' },
  phones: { type: 'string' },
  hold: { type: 'string', default: '15' },
  settle: { type: 'string', default: '40' },
  only: { type: 'string' },
  net: { type: 'string', default: '127.0.42' },
  report: { type: 'string' },
  judge: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

const pushServices = 2;

async function main(): Promise<number> {
  const { values } = parseArgs({ options });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  if (values.judge !== undefined) return judgeAgain(resolve(values.judge), values.json);
  if (redisServer() === undefined) {
    process.stderr.write('redis-server is not installed (Debian: apt install redis-server)\n');
    return 2;
  }
  const rate = number(values.rate, '--rate');
  const minutes = number(values.minutes, '--minutes');
  const nodes = number(values.nodes, '--nodes');
  const phones = values.phones === undefined ? Math.ceil(rate * 40) : number(values.phones, '--phones');
  const seed = values.seed === undefined ? Math.floor(Math.random() * 1e6) : number(values.seed, '--seed');
  const holdSeconds = number(values.hold, '--hold');
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  say(`seed ${seed}`);
  const forMs = minutes * 60_000;
  const whyNot = whyNoHosts();
  const isRolling = values.only === 'rolling';
  const agenda = isRolling
    ? rolling(nodes)
    : draw({
        ...{ seed, forMs, nodes, pushServices, partitions: whyNot === undefined, pauseMs: pauseIn(values.pause) },
        ...(values.only === undefined ? {} : { only: kindsIn(values.only) }),
      });
  const mayFail = !isRolling;
  const leftOut = whyNot === undefined ? [] : [`partitions: ${whyNot}`];
  const folder = mkdtempSync(join(tmpdir(), 'reveille-chaos-'));
  const world = await openWorld({ net: values.net, folder, nodes, pushServices, phones, holdSeconds });
  try {
    const settleMs = number(values.settle, '--settle') * 1000;
    const result = await run(
      { ...{ seed, forMs, rate, phones, holdSeconds, agenda, settleMs }, throughAgenda: isRolling },
      world,
      say,
    );
    const judged = result.calls.map((call) => ({ call, verdict: judge(call, result.faults, mayFail) }));
    const report = summarise({ seed, minutes, rate, nodes, phones, leftOut, mayFail }, result, judged);
    if (values.report !== undefined) {
      const into = resolve(values.report);
      writeReport(into, report, result, judged);
      for (const file of readdirSync(folder).filter((name) => name.endsWith('.log')))
        copyFileSync(join(folder, file), join(into, file));
      say(`report in ${into}`);
    }
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : tableOf(report, result, judged));
    return isGood(report) ? 0 : 1;
  } finally {
    await world.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function judgeAgain(folder: string, json: boolean): number {
  const { report: before, result } = readRun(folder);
  const judged = result.calls.map((call) => ({ call, verdict: judge(call, result.faults, before.mayFail) }));
  const report = summarise(before, result, judged);
  writeReport(folder, report, result, judged);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : tableOf(report, result, judged));
  return isGood(report) ? 0 : 1;
}

function pauseIn(text: string): readonly [number, number] {
  const [least = '', most = least] = text.split('-');
  return [number(least, '--pause') * 1000, number(most, '--pause') * 1000];
}

function kindsIn(names: string): readonly FaultKind[] {
  return names.split(',').map((name) => {
    const kind = faultKinds.find((one) => one === name);
    if (kind !== undefined) return kind;
    process.stderr.write(`--only: expected rolling or some of ${faultKinds.join(', ')}, found ${name}\n`);
    return process.exit(2);
  });
}

function number(text: string, option: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    process.stderr.write(`${option}: expected a number, found ${text}\n\n${help}`);
    process.exit(2);
  }
  return value;
}

process.exit(await main());
