/** `reveille drain`: the edge takes no new calls, so that it can be stopped without anybody noticing. */
import { setTimeout as pause } from 'node:timers/promises';
import { commonOptions, commonUsage, readWords, type Command } from '../command.ts';
import { complaint, runningEdge } from '../running-edge.ts';

const usage = `Usage: reveille drain [--wait SECONDS] [--undo] [--config FILE] [--json]

New calls are answered 503 with Retry-After from now on and /readyz says no, so that the PBX and load balancers go elsewhere. Calls that
are held wait for their phones, calls that were answered go on, and phones may register. Stop the edge (SIGTERM) when none are left.

  --wait SECONDS  waits until no call is left, at most so long; exit code 1 when some are left then
  --undo          takes calls again
${commonUsage}`;

export const drain: Command = {
  does: 'no new calls, so that the edge can be stopped',
  run: async (words) => {
    const options = { ...commonOptions, wait: { type: 'string' }, undo: { type: 'boolean' } } as const;
    const asked = readWords(words, options, usage);
    if ('leave' in asked) return asked.leave;
    const { config, json, wait, undo } = asked.read.values;
    const seconds = wait === undefined ? 0 : Number(wait);
    if (!Number.isFinite(seconds) || seconds < 0) {
      process.stderr.write(`--wait: expected a number of seconds, found ${String(wait)}\n\n${usage}`);
      return 2;
    }
    const edge = runningEdge(config);
    const endAt = Date.now() + seconds * 1000;
    let answer = await edge.ask({ method: undo === true ? 'DELETE' : 'POST', path: '/drain' });
    while (answer.status === 200 && left(answer.body) > 0 && undo !== true && Date.now() < endAt) {
      if (json !== true) process.stderr.write(`${left(answer.body)} calls left\n`);
      await pause(1000);
      answer = await edge.ask({ path: '/status' });
    }
    if (answer.status !== 200) {
      process.stderr.write(`${complaint(answer)}\n`);
      return 1;
    }
    const count = left(answer.body);
    const draining = undo !== true;
    if (json === true) process.stdout.write(`${JSON.stringify({ draining, calls: count })}\n`);
    else process.stdout.write(draining ? `draining: ${count} calls left\n` : 'takes calls again\n');
    return draining && seconds > 0 && count > 0 ? 1 : 0;
  },
};

function left(body: unknown): number {
  const { held = 0, calls = 0 } = body as { readonly held?: number; readonly calls?: number };
  return held + calls;
}
