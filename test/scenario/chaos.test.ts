/** Chaos runs as `npm run chaos` makes them, short ones: several edges on one Redis, every call followed from both ends. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Report } from '../../bench/chaos/report.ts';
import { needs, titled } from '../support/needs.ts';

const program = fileURLToPath(new URL('../../dist/bench/chaos/main.js', import.meta.url));
const why = needs('redis-server');

/** What went wrong is told with all that the edges say of it. */
async function chaos(...options: readonly string[]): Promise<{ readonly report: Report; readonly said: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'reveille-chaos-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const words = [program, '--json', '--settle', '0', '--net', '127.0.43', '--report', folder, ...options];
  const stdout = await new Promise<string>((done, fail) => {
    execFile(process.execPath, words, { maxBuffer: 1 << 24 }, (error, text, stderr) => {
      if (text === '') fail(new Error(`no report: ${stderr}`, { cause: error }));
      else done(text);
    });
  });
  const table = readFileSync(join(folder, 'report.txt'), 'utf8');
  const wrong = [...table.matchAll(/^ {2}call (\d+) /gm)].map(([, n]) => `chaos-${n}.`);
  const logs = readdirSync(folder).filter((name) => name.startsWith('node-'));
  const lines = logs.flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'));
  const theirs = lines.filter((line) => wrong.some((id) => line.includes(id)));
  return { report: JSON.parse(stdout) as Report, said: [table, ...theirs].join('\n') };
}

describe.skipIf(why !== undefined)(titled('chaos', why), () => {
  it('loses no call while each of three edges is drained and started again', async () => {
    const { report, said } = await chaos('--only', 'rolling', '--seed', '3', '--rate', '8', '--minutes', '0.1');
    expect(report.ends, said).toEqual({ answered: report.calls });
    expect(report.faults).toEqual({ 'node-drain': 2, 'node-told-to-drain': 1 });
    expect(report.calls).toBeGreaterThan(40);
    expect(report.retried).toBeGreaterThan(0);
  });

  it('leaves no call unexplained while edges, Redis and push services are killed and frozen', async () => {
    const { report, said } = await chaos(
      '--seed',
      '207',
      '--rate',
      '8',
      '--minutes',
      '0.4',
      '--pause',
      '2-4',
      '--hold',
      '8',
    );
    expect(report.wrong, said).toEqual({});
    expect(report.strangers).toBe(0);
    expect(report.ends['answered']).toBeGreaterThan(report.calls / 2);
    expect(Object.values(report.faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(4);
  });
});
