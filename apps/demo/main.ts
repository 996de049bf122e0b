/** `npm run demo`: plays the story with a real edge, a PBX, a phone and an APNs stand-in, draws the ladder, says whether all went well. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { drawLadder } from './ladder.ts';
import { drawSvg } from './ladder-svg.ts';
import { playStory, type StoryResult } from './story.ts';

const help = `Usage: npm run demo -- [options]

Plays a call to a sleeping phone on loopback: PBX, edge, phone and an APNs stand-in as processes of their own.

  --json             one JSON object on stdout: calls, answered, invitesPerPhone, pushToRegisterMs, registerToInviteMs, ladder
  --svg FILE         also write the ladder as a picture
  --transport NAME   udp (default) or tcp, between phone and edge and between PBX and edge
  --help             this text

Exit code 0: the phone got exactly one INVITE for each call and the caller a 200, ACK and BYE both ways.
`;

const limitMs = 30_000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      svg: { type: 'string' },
      transport: { type: 'string', default: 'udp' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const { transport } = values;
  if (transport !== 'udp' && transport !== 'tcp')
    throw new Error(`--transport: expected udp or tcp, found ${transport}`);

  const dir = mkdtempSync(join(tmpdir(), 'reveille-demo-'));
  const running: { stop(graceMs?: number): Promise<number> }[] = [];
  const tidy = async (): Promise<void> => {
    await Promise.all(running.map((child) => child.stop(1000)));
    rmSync(dir, { recursive: true, force: true });
  };
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      stopped = true;
      process.stderr.write('\nstopped\n');
      void tidy().finally(() => process.exit(130));
    });
  }

  const startedAt = performance.now();
  const progress = (text: string): void => {
    process.stderr.write(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s  ${text}\n`);
  };
  try {
    const result = await playStory({ transport, dir, limitMs, progress, adopt: (child) => running.push(child) });
    if (stopped) return 130;
    report(result, values);
    return result.faults.length === 0 ? 0 : 1;
  } finally {
    await tidy();
  }
}

function report(
  result: StoryResult,
  { json, svg }: { readonly json: boolean; readonly svg?: string | undefined },
): void {
  const { calls, answered, invitesPerPhone, pushToRegisterMs, registerToInviteMs, ladder, chapters, faults } = result;
  const times = `push to REGISTER ${pushToRegisterMs ?? '?'} ms, REGISTER to INVITE ${registerToInviteMs ?? '?'} ms (means)`;
  const summary = `${answered} of ${calls} calls answered, ${invitesPerPhone} INVITE per call at the phone; ${times}`;
  if (svg !== undefined) writeFileSync(svg, drawSvg(ladder, chapters, summary));
  if (json) {
    const rungs = ladder.map(({ atMs, from, to, what }) => ({ atMs, from, to, what }));
    process.stdout.write(
      `${JSON.stringify({ calls, answered, invitesPerPhone, pushToRegisterMs, registerToInviteMs, ladder: rungs })}\n`,
    );
  } else {
    const colour = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
    process.stdout.write(`\n${drawLadder(ladder, chapters, colour)}\n${summary}.\n`);
  }
  for (const fault of faults) process.stderr.write(`fault: ${fault}\n`);
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  },
);
