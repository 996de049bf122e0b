/** SIPp runs: one of our scenario files each, strict about every message, its exit code and its logs to be looked at. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Remote } from '../../apps/demo/wire.ts';
import { Program } from './foreign-program.ts';

export interface SippOptions {
  /** name of a file in test/scenario/sipp, without .xml */
  readonly scenario: string;
  /** where it lives; its port must be free */
  readonly address: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
  /** whom it sends to; absent: it waits */
  readonly to?: Remote;
  /** a folder for its logs */
  readonly dir: string;
  /** [name] in the scenario */
  readonly keys?: Readonly<Record<string, string>>;
  /** plays this when a request comes that belongs to no call of its own */
  readonly whenCalled?: string;
  /** calls in all; 1 when absent, 0: until it is stopped */
  readonly calls?: number;
  /** calls a second; 500 when absent */
  readonly rate?: number;
  readonly timeoutSeconds?: number;
  /** length of a `<pause/>` without one of its own; none when absent */
  readonly pauseMs?: number;
}

const folder = fileURLToPath(new URL('../scenario/sipp/', import.meta.url));

export class Sipp {
  readonly program: Program;
  readonly #dir: string;

  constructor(options: SippOptions) {
    const {
      scenario,
      address,
      port,
      transport,
      to,
      keys = {},
      whenCalled,
      calls = 1,
      rate = 500,
      pauseMs = 0,
      timeoutSeconds = 30,
    } = options;
    this.#dir = mkdtempSync(join(options.dir, `sipp-${scenario}-`));
    const file = (name: string): string => join(this.#dir, name);
    this.program = new Program('sipp', [
      ...(to === undefined ? [] : [`${to.address}:${to.port}`]),
      ...[
        '-sf',
        `${folder}${scenario}.xml`,
        '-i',
        address,
        '-p',
        String(port),
        '-t',
        transport === 'udp' ? 'u1' : 't1',
      ],
      ...(whenCalled === undefined ? [] : ['-oocsf', `${folder}${whenCalled}.xml`]),
      ...(calls === 0 ? [] : ['-m', String(calls)]),
      ...['-r', String(rate), '-rp', '1000', '-deadcall_wait', '0', '-d', String(pauseMs)],
      ...['-timeout', `${timeoutSeconds}s`, '-timeout_error', '-nostdin'],
      ...['-trace_err', '-error_file', file('errors'), '-trace_msg', '-message_file', file('messages')],
      ...['-trace_logs', '-log_file', file('log')],
      // what [authentication] uses
      ...(keys['password'] === undefined ? [] : ['-au', keys['user'] ?? '', '-ap', keys['password']]),
      ...Object.entries(keys).flatMap(([name, value]) => ['-key', name, value]),
    ]);
  }

  /** 0 when every call of the main scenario went as the scenario says. With what it complains about otherwise. */
  async verdict(): Promise<string> {
    const code = await this.program.exited;
    return code === 0 ? 'as it should be' : `exit ${code}: ${this.errors || this.program.tail}`;
  }

  /** What it found wrong, in all its scenarios. */
  get errors(): string {
    return this.#read('errors')
      .split('\n')
      .filter((line) => !/using the out-of-call scenario|^The following events occurred:$|^$/.test(line))
      .join('\n');
  }

  /** What the scenarios said with `log`. */
  get said(): readonly string[] {
    return this.#read('log')
      .split('\n')
      .filter((line) => line !== '');
  }

  /** Every message that crossed its socket, retransmissions included: first lines, with the direction in front. */
  get messages(): readonly string[] {
    const first = /message (sent|received)[^\n]*\n\n(\S[^\r\n]*)/g;
    return [...this.#read('messages').matchAll(first)].map(
      ([, way, line]) => `${way === 'sent' ? '>' : '<'} ${line ?? ''}`,
    );
  }

  /** Waits until its scenarios have said this with `log`, so many times. */
  async hears(text: string, times = 1, withinMs = 10_000): Promise<void> {
    const endAt = performance.now() + withinMs;
    while (this.said.filter((line) => line.includes(text)).length < times) {
      if (performance.now() > endAt || !this.program.running)
        throw new Error(`SIPp did not say "${text}": ${this.errors || this.program.tail}`);
      // it writes to a file, which tells nobody
      await pause(20);
    }
  }

  async stop(): Promise<void> {
    await this.program.stop('SIGKILL');
  }

  #read(name: string): string {
    try {
      return readFileSync(join(this.#dir, name), 'latin1');
    } catch {
      return '';
    }
  }
}
