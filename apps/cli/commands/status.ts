/** `reveille status`: whether the edge is ready, and what it does at the moment. */
import { commonOptions, commonUsage, readWords, type Command } from '../command.ts';
import { complaint, runningEdge } from '../running-edge.ts';

const usage = `Usage: reveille status [--config FILE] [--json]

Shows what the running edge does at the moment. Exit code 0 when it is ready for calls, 1 when it is not.

${commonUsage}`;

export const status: Command = {
  does: 'what the running edge does at the moment',
  run: async (words) => {
    const asked = readWords(words, commonOptions, usage);
    if ('leave' in asked) return asked.leave;
    const { config, json } = asked.read.values;
    const edge = runningEdge(config);
    const answer = await edge.ask({ path: '/status' });
    if (answer.status !== 200) {
      process.stderr.write(`${complaint(answer)}\n`);
      return 1;
    }
    const told = answer.body as Readonly<Record<string, unknown>>;
    if (json === true) process.stdout.write(`${JSON.stringify(told)}\n`);
    else
      for (const [name, value] of Object.entries(told)) process.stdout.write(`${name.padEnd(16)} ${String(value)}\n`);
    return told['ready'] === true ? 0 : 1;
  },
};
