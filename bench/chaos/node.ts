/** One edge of the run: its config, and a supervisor that starts it again as systemd would. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { pause } from '../load/pace.ts';
import { benchBundle, benchDomain, benchPassword } from '../load/phone-identity.ts';
import type { HostPort } from '../load/wire.ts';
import { projectRoot } from '../servers/place.ts';
import { usageOf } from '../servers/process-usage.ts';
import type { PushServicePlan } from './push-service.ts';
import { Servant } from './servant.ts';

export interface NodePlan {
  readonly index: number;
  readonly host: string;
  readonly folder: string;
  readonly redisUrl: string;
  /** `sip:` URIs of the PBX */
  readonly pbx: readonly string[];
  readonly phones: number;
  readonly pushServices: readonly PushServicePlan[];
  readonly holdSeconds: number;
  /** runs a program at the host of this node */
  readonly at: (
    command: string,
    args: readonly string[],
  ) => { readonly command: string; readonly args: readonly string[] };
}

const sipPort = 5060;
const httpPort = 9090;
const nodesPort = 9022;
const apiToken = 'chaos-api-token-of-no-use-elsewhere';
const longestStopMs = 60_000;

export class ChaosNode {
  readonly index: number;
  readonly sip: HostPort;
  /** starts that ended before it stood */
  failedStarts = 0;
  readonly #host: string;
  readonly #config: string;
  readonly #servant: Servant;

  constructor(plan: NodePlan) {
    this.index = plan.index;
    this.#host = plan.host;
    this.sip = { host: plan.host, port: sipPort };
    const name = `node-${plan.index}`;
    this.#config = join(plan.folder, `${name}.yaml`);
    // JSON is YAML
    writeFileSync(this.#config, JSON.stringify(configOf(plan), undefined, 2), { mode: 0o600 });
    const edge = ['--single-threaded-gc', join(projectRoot, 'dist/apps/edge/main.js'), '--config', this.#config];
    const logFile = join(plan.folder, `${name}.log`);
    this.#servant = new Servant({ name, ...plan.at(process.execPath, edge), cwd: plan.folder, logFile });
  }

  get configFile(): string {
    return this.#config;
  }

  /** Until it answers at its HTTP port, which comes last; it is started again when it ends before. */
  async start(): Promise<void> {
    this.#servant.start();
    for (;;) {
      if ((await this.http('/healthz')) !== undefined) return;
      if (!this.#servant.running) {
        this.failedStarts += 1;
        await pause(500);
        this.#servant.start();
      }
      await pause(25);
    }
  }

  /** Until it says of itself that it can be used. */
  async ready(withinMs: number): Promise<boolean> {
    const giveUpAt = Date.now() + withinMs;
    while (Date.now() < giveUpAt) {
      if ((await this.http('/readyz'))?.status === 200) return true;
      await pause(50);
    }
    return false;
  }

  async kill(): Promise<void> {
    await this.#servant.kill();
  }

  freeze(): void {
    this.#servant.signal('SIGSTOP');
  }

  thaw(): void {
    this.#servant.signal('SIGCONT');
  }

  /** SIGTERM; resolves when it has ended. */
  async drain(): Promise<void> {
    await this.#servant.stop(longestStopMs);
  }

  /** `reveille drain`, which waits until no call is left. */
  async toldToDrain(): Promise<void> {
    const cli = join(projectRoot, 'dist/apps/cli/main.js');
    const asked = spawn(process.execPath, [cli, 'drain', '--wait', '40', '--config', this.#config], {
      stdio: 'ignore',
    });
    await once(asked, 'exit');
  }

  get memoryKib(): number {
    const { pid } = this.#servant;
    return pid === undefined ? 0 : usageOf([pid]).rssKib;
  }

  get cpuSeconds(): number {
    const { pid } = this.#servant;
    return pid === undefined ? 0 : usageOf([pid]).cpuSeconds;
  }

  /** Value of a metric line with these labels; 0 when it is not there. */
  async metrics(): Promise<string> {
    return (await this.http('/metrics'))?.text ?? '';
  }

  http(path: string): Promise<{ readonly status: number; readonly text: string } | undefined> {
    return new Promise((done) => {
      const request = get({ host: this.#host, port: httpPort, path, agent: false, timeout: 1500 }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () =>
          done({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') }),
        );
        response.on('error', () => done(undefined));
      });
      request.on('timeout', () => request.destroy());
      request.on('error', () => done(undefined));
    });
  }
}

function configOf(plan: NodePlan): unknown {
  const { host, index } = plan;
  for (const [n, { tls }] of plan.pushServices.entries()) writeFileSync(join(plan.folder, `push-${n}-ca.pem`), tls.ca);
  return {
    sip: { listen: [`udp://${host}:${sipPort}`, `tcp://${host}:${sipPort}`], external_address: host },
    http: { listen: `${host}:${httpPort}`, api_token: apiToken },
    nodes: { listen: `${host}:${nodesPort}` },
    store: { kind: 'redis', redis_url: plan.redisUrl, path: `./node-${index}` },
    domains: [
      {
        name: benchDomain,
        registration: 'registrar',
        upstream: plan.pbx[0],
        trusted: plan.pbx.map((uri) => uri.replace(/^sip:|:\d+.*$/g, '')),
        users: Array.from({ length: plan.phones }, (_, n) => ({ name: `u${n}`, password: benchPassword })),
      },
    ],
    wake: { hold_seconds: plan.holdSeconds },
    push: {
      apps: plan.pushServices.map(({ host: service, port, credentials }, n) => ({
        name: `push-${n}`,
        provider: 'apns',
        match: [`${credentials.teamId}.${benchBundle}`],
        team_id: credentials.teamId,
        key_id: credentials.keyId,
        key: credentials.privateKey,
        endpoint: `https://${service}:${port}`,
        sandbox_endpoint: `https://${service}:${port}`,
        ca_file: `./push-${n}-ca.pem`,
      })),
    },
    shutdown: { held_seconds: plan.holdSeconds },
    log: { level: 'info' },
  };
}
