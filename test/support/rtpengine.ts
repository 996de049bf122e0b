/** A real rtpengine in userspace, on loopback: nothing of the kernel, no configuration but these arguments. */
import { randomInt } from 'node:crypto';
import { freePort } from '../../apps/demo/edge-process.ts';
import { NgClient } from '../../lib/adapters/rtpengine/ng-client.ts';
import { Program } from './foreign-program.ts';

export class Rtpengine {
  readonly address: string;
  readonly port: number;
  readonly program: Program;
  readonly #client: NgClient;

  private constructor(address: string, port: number) {
    this.address = address;
    this.port = port;
    const first = randomInt(250, 480) * 100;
    this.program = new Program('rtpengine', [
      ...['--config-file=none', '--table=-1', '--foreground', '--log-stderr', '--log-level=6', '--num-threads=1'],
      ...[`--interface=${address}`, `--listen-ng=${address}:${port}`],
      ...[`--port-min=${first}`, `--port-max=${first + 99}`],
    ]);
    this.#client = new NgClient({ timeoutMs: 10_000, attempts: 200 });
  }

  /** Ready when it answers. */
  static async start(address: string): Promise<Rtpengine> {
    const rtpengine = new Rtpengine(address, await freePort(address));
    const answer = await Promise.race([
      rtpengine.#client.ask(rtpengine.server, { command: 'ping' }),
      rtpengine.program.exited.then((code) => ({ is: `ended with ${code}` })),
    ]);
    if (answer.is !== 'ok') throw new Error(`rtpengine: ${answer.is}: ${rtpengine.program.tail}`);
    return rtpengine;
  }

  get server(): { readonly host: string; readonly port: number } {
    return { host: this.address, port: this.port };
  }

  get where(): string {
    return `${this.address}:${this.port}`;
  }

  /** Ids of the calls it has. */
  async calls(): Promise<readonly unknown[]> {
    const answer = await this.#client.ask(this.server, { command: 'list' });
    const calls = answer.is === 'ok' ? answer.fields['calls'] : undefined;
    return Array.isArray(calls) ? calls : [];
  }

  async stop(): Promise<void> {
    this.#client.close();
    await this.program.stop();
  }
}
