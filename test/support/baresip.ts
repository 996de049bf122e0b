/** A real baresip as phone: headless, a file for a microphone, told what to do over its control port. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../apps/demo/edge-process.ts';
import type { Remote } from '../../apps/demo/wire.ts';
import { Program } from './foreign-program.ts';

export interface BaresipOptions {
  readonly user: string;
  readonly password: string;
  readonly domain: string;
  readonly address: string;
  /** where all goes; its transport is baresip's */
  readonly edge: Remote;
  /** `pn-provider=...;...`; none: a plain phone */
  readonly pushParameters?: string;
  readonly answers: 'auto' | 'manual';
  /** a folder for its files; a second start with the same folder is the same installation */
  readonly dir: string;
}

export class Baresip {
  readonly program: Program;
  readonly #address: string;
  readonly #control: number;

  private constructor(program: Program, address: string, control: number) {
    this.program = program;
    this.#address = address;
    this.#control = control;
  }

  static async start(options: BaresipOptions): Promise<Baresip> {
    const { address, user } = options;
    const dir = join(options.dir, `baresip-${user}`);
    const control = await freePort(address);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'config'), settings(address, control, dir));
    writeFileSync(join(dir, 'accounts'), account(options), { mode: 0o600 });
    writeFileSync(join(dir, 'contacts'), '');
    writeFileSync(join(dir, 'said.wav'), silence(30));
    return new Baresip(new Program('baresip', ['-f', dir, '-s'], { cwd: dir }), address, control);
  }

  async registered(): Promise<void> {
    await this.program.says(/\} 200 OK \(/);
  }

  /** INVITEs without a To tag that reached it. */
  get invites(): number {
    return new Set(this.program.output.match(/^INVITE sip:[\s\S]*?^Call-ID: .*$/gm) ?? []).size;
  }

  /** One command as in its menu: `hangup`, `dial sip:...`, `accept`. */
  tell(command: string, params = ''): Promise<void> {
    const text = JSON.stringify({ command, params });
    return new Promise((done, fail) => {
      const socket = connect({ host: this.#address, port: this.#control }, () =>
        socket.write(`${text.length}:${text},`),
      );
      socket.once('data', () => {
        socket.destroy();
        done();
      });
      socket.once('error', fail);
      socket.setTimeout(10_000, () => {
        socket.destroy();
        fail(new Error(`baresip said nothing to ${command}: ${this.program.tail}`));
      });
    });
  }

  stop(): Promise<number> {
    return this.program.stop();
  }
}

function settings(address: string, control: number, dir: string): string {
  return `sip_listen ${address}:0
module_path /usr/lib/baresip/modules
audio_player aufile,${join(dir, 'heard.wav')}
audio_alert aufile,${join(dir, 'rang.wav')}
audio_source aufile,${join(dir, 'said.wav')}
ctrl_tcp_listen ${address}:${control}
module g711.so
module aufile.so
module_tmp uuid.so
module_tmp account.so
module_app ctrl_tcp.so
module_app menu.so
`;
}

/**
 * baresip 1.0 has no setting for more Contact parameters. What stands in `regq` is written behind `q=` as it is, so it carries them,
 * outside the angle brackets.
 */
function account({ user, password, domain, edge, pushParameters, answers }: BaresipOptions): string {
  const to = `transport=${edge.transport}`;
  const push = pushParameters === undefined ? '' : `;regq="1.0;${pushParameters}"`;
  return `<sip:${user}@${domain};${to}>;auth_user=${user};auth_pass=${password};outbound="sip:${edge.address}:${edge.port};${to}";regint=600;pubint=0;answermode=${answers}${push}\n`;
}

/** A WAV file: 8000 samples a second, 16 bit, one channel. */
function silence(seconds: number): Buffer {
  const samples = Buffer.alloc(seconds * 16_000);
  const head = Buffer.alloc(44);
  head.write('RIFF', 0, 'latin1');
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8, 'latin1');
  for (const [at, value] of [
    [16, 16],
    [24, 8000],
    [28, 16_000],
    [40, samples.length],
  ] as const)
    head.writeUInt32LE(value, at);
  for (const [at, value] of [
    [20, 1],
    [22, 1],
    [32, 2],
    [34, 16],
  ] as const)
    head.writeUInt16LE(value, at);
  head.write('data', 36, 'latin1');
  return Buffer.concat([head, samples]);
}
