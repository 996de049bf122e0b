/** A real Linphone (liblinphone 5, linphone-daemon) as phone: headless, without a sound card, answering by itself. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Remote } from '../../apps/demo/wire.ts';
import { Program } from './foreign-program.ts';

export interface LinphoneOptions {
  readonly user: string;
  readonly password: string;
  readonly domain: string;
  readonly address: string;
  /** where all goes; its transport is Linphone's */
  readonly edge: Remote;
  /** `pn-provider=...;...`; none: a plain phone */
  readonly contactUriParameters?: string;
  /** of this installation; Linphone makes one when absent, and forgets it when it is killed soon after */
  readonly uuid?: string;
  /** a folder for its files */
  readonly dir: string;
}

export class Linphone {
  readonly program: Program;

  constructor(options: LinphoneOptions) {
    const { user, dir } = options;
    const file = join(dir, `${user}-linphonerc`);
    const ca = options.edge.ca === undefined ? undefined : join(dir, `${user}-ca.pem`);
    if (ca !== undefined) writeFileSync(ca, options.edge.ca ?? '');
    writeFileSync(file, settings(options, ca), { mode: 0o600 });
    this.program = new Program(
      'linphone-daemon',
      ['--config', file, '--auto-answer', '--disable-stats-events', '--log', '/dev/stdout'],
      { cwd: dir, env: { HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir } },
    );
  }

  /** `urn:uuid:...` of its last REGISTER */
  get instanceId(): string {
    return [...this.program.output.matchAll(/\+sip\.instance="<([^>]+)>"/g)].at(-1)?.[1] ?? '';
  }

  async registered(): Promise<void> {
    await this.program.says(
      /registration state is \[?LinphoneRegistrationOk|moving from state \[?LinphoneRegistrationProgress\]? to \[?LinphoneRegistrationOk/,
    );
  }

  /** INVITEs without a To tag that reached it. */
  get invites(): number {
    return new Set(this.program.output.match(/^INVITE sip:[\s\S]*?^Call-ID: .*$/gm) ?? []).size;
  }

  /** One command of linphone-daemon. */
  tell(command: string): void {
    this.program.tell(command);
  }

  stop(): Promise<number> {
    this.tell('quit');
    return this.program.stop();
  }
}

function settings(options: LinphoneOptions, ca: string | undefined): string {
  const { user, password, domain, address, edge, contactUriParameters, uuid, dir } = options;
  const route = `<sip:${edge.address}:${edge.port};transport=${edge.transport}>`;
  return `[sip]
bind_address=${address}
sip_port=${edge.transport === 'udp' ? -1 : 0}
sip_tcp_port=${edge.transport === 'tcp' ? -1 : 0}
sip_tls_port=${edge.transport === 'tls' ? -1 : 0}
${ca === undefined ? '' : `root_ca=${ca}\nverify_server_certs=1\nverify_server_cn=0\n`}use_ipv6=0
guess_hostname=0
register_only_when_network_is_up=0
auto_net_state_mon=0
default_proxy=0
[sound]
playback_dev_id=
capture_dev_id=
[video]
capture=0
display=0
[misc]
user_certificates_path=${dir}
${uuid === undefined ? '' : `uuid=${uuid}\n`}[storage]
uri=${join(dir, `${user}.db`)}
[proxy_0]
reg_proxy=${route}
reg_route=${route}
reg_identity="${user}" <sip:${user}@${domain}>
reg_expires=600
reg_sendregister=1
${contactUriParameters === undefined ? '' : `contact_uri_parameters=${contactUriParameters}\n`}[auth_info_0]
username=${user}
passwd=${password}
realm=${domain}
`;
}
