/** A real pjsua (PJSIP) as phone: no sound, told what to do over its menu. Not in every Debian; a program of this name on the PATH will do. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Remote } from '../../apps/demo/wire.ts';
import { Program } from './foreign-program.ts';

export interface PjsuaOptions {
  readonly user: string;
  readonly password: string;
  readonly domain: string;
  readonly address: string;
  /** where all goes; `ca` is whom it trusts there over TLS */
  readonly edge: Remote & { readonly ca?: string };
  /** `pn-provider=...;...`; none: a plain phone */
  readonly pushParameters?: string;
  /** where PJSIP puts them: the Contact of REGISTERs only (`reg_contact_uri_params`), or of every request */
  readonly in?: 'registers' | 'every contact';
  /** the status it answers calls with by itself; 0: none */
  readonly answers: number;
  readonly dir: string;
}

export class Pjsua {
  readonly program: Program;

  constructor({ user, password, domain, address, edge, pushParameters, answers, dir, ...more }: PjsuaOptions) {
    const folder = join(dir, `pjsua-${user}`);
    mkdirSync(folder, { recursive: true });
    if (edge.ca !== undefined) writeFileSync(join(folder, 'ca.pem'), edge.ca);
    const secure = edge.transport === 'tls';
    const place = `sip:${edge.address}:${edge.port};transport=${edge.transport};lr`;
    const option = more.in === 'every contact' ? '--contact-uri-params' : '--reg-contact-uri-params';
    // secrets in a file: a command line can be read by everybody
    const settings = [
      `--id sip:${user}@${domain}`,
      `--registrar sip:${domain}`,
      '--realm *',
      `--username ${user}`,
      `--password ${password}`,
      `--proxy ${place}`,
      `--bound-addr ${address}`,
      `--ip-addr ${address}`,
      '--local-port 0',
      ...(edge.transport === 'udp' ? ['--no-tcp'] : []),
      ...(edge.transport === 'tcp' ? ['--no-udp'] : []),
      ...(secure ? ['--use-tls', `--tls-ca-file ${join(folder, 'ca.pem')}`] : []),
      ...(pushParameters === undefined ? [] : [`${option} ;${pushParameters}`]),
      ...(answers === 0 ? [] : [`--auto-answer ${answers}`]),
      '--reg-timeout 600',
      '--rtp-port 0',
      '--null-audio',
      '--no-color',
      '--log-level 5',
      '--app-log-level 5',
    ];
    const file = join(folder, 'settings');
    writeFileSync(file, `${settings.join('\n')}\n`, { mode: 0o600 });
    // into a pipe it writes by the block otherwise
    this.program = new Program('stdbuf', ['-oL', 'pjsua', '--config-file', file], { cwd: folder });
  }

  async registered(): Promise<void> {
    await this.program.says(/registration success, status=200/);
  }

  /** INVITEs without a To tag that reached it. */
  get invites(): number {
    const all = this.program.output.match(/^INVITE sip:[^\n]*\r?\n(?:[^\r\n]+\r?\n)+/gm) ?? [];
    const first = all.filter((text) => !/^To:.*;tag=/m.test(text) && !/^User-Agent: PJSUA/m.test(text));
    return new Set(first.map((text) => /^Call-ID:.*$/m.exec(text)?.[0])).size;
  }

  call(uri: string): void {
    this.program.tell('m');
    this.program.tell(uri);
  }

  /** Answers the call that rings. */
  answer(status: number): void {
    this.program.tell('a');
    this.program.tell(String(status));
  }

  hangUp(): void {
    this.program.tell('h');
  }

  hold(): void {
    this.program.tell('H');
  }

  resume(): void {
    this.program.tell('v');
  }

  /** Blind: REFER to this URI. */
  transfer(uri: string): void {
    this.program.tell('x');
    this.program.tell(uri);
  }

  stop(): Promise<number> {
    return this.program.stop();
  }
}
