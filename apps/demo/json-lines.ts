/** JSON lines between the demo and its peers: commands in on stdin, events out on stdout. A peer whose stdin ends, ends. */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export type Line = Readonly<Record<string, unknown>>;

/** Calls `take` with each line that is a JSON object; other lines go to `other`. Resolves when the stream ends. */
export async function readLines(
  stream: Readable,
  take: (line: Line) => void,
  other: (text: string) => void = () => undefined,
): Promise<void> {
  for await (const text of createInterface({ input: stream })) {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) take(value as Line);
    else other(text);
  }
}

export function tell(event: string, facts: Line = {}): void {
  process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`);
}

/** Runs each command in its own time; a failure is told as the event `failed` and ends the process. */
export function obey(commands: Readonly<Record<string, (line: Line) => Promise<void>>>): void {
  const fail = (cause: unknown): void => {
    tell('failed', { why: cause instanceof Error ? cause.message : String(cause) });
    process.exitCode = 1;
    process.stdin.destroy();
    // the event must have left before the process does
    setTimeout(() => process.exit(1), 50);
  };
  process.on('unhandledRejection', fail);
  void readLines(process.stdin, (line) => {
    const command = commands[String(line['do'])];
    if (command === undefined) fail(new Error(`no such command: ${String(line['do'])}`));
    else command(line).catch(fail);
  }).then(() => process.exit());
}
