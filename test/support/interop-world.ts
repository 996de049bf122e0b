/**
 * What foreign phones and PBXs are tried with: the built edge as a child, the APNs stand-in, and pushes that can be waited for. Unlike
 * the Bed it brings no peers of its own. When it is closed, no password, token or key may have reached a log line or a metric.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Mailbox } from '../../apps/demo/mailbox.ts';
import type { LabPush } from '../../apps/push-lab/apns-check.ts';
import { type ApnsLab, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import type { Remote, WireTransport } from '../../apps/demo/wire.ts';
import type { ServerIdentity } from '../../apps/push-lab/certificate.ts';
import { listenEverywhere, type StartedEdge, startEdge } from './edge.ts';
import { identityOfEdge } from './test-bed.ts';

export const foreignDomain = 'office.example.com';

/** Where the foreign programs live. */
export const foreign = {
  pbx: '127.0.60.2',
  phones: '127.0.60.3',
  others: '127.0.60.4',
  caller: '127.0.60.5',
} as const;

const topic = 'com.example.phone.voip';

export interface WorldOptions {
  /** as in the config: sip:address:port;transport=... */
  readonly upstream: string;
  /** more keys of the domain */
  readonly domain?: Readonly<Record<string, unknown>>;
  /** keys of the section `on_behalf` */
  readonly onBehalf?: Readonly<Record<string, unknown>>;
  /** 8 when absent: foreign phones take a moment to start */
  readonly holdSeconds?: number;
  /** more keys of the section `wake` */
  readonly wake?: Readonly<Record<string, number>>;
  /** the edge listens on TLS, WS and WSS as well, with a certificate for its address */
  readonly everywhere?: boolean;
  /** keys of `sip.websocket` */
  readonly websocket?: Readonly<Record<string, unknown>>;
}

export class World {
  readonly lab: ApnsLab;
  readonly edge: StartedEdge;
  /** an empty folder for files of the programs */
  readonly dir: string;
  readonly secrets = new Map<string, string>();
  readonly #pushes = new Mailbox<LabPush>();
  readonly #wakers = new Map<string, (push: LabPush) => void>();
  readonly #atEnd: (() => Promise<unknown>)[] = [];

  /** PEM of whom to trust at the edge; '' when it has no certificate */
  readonly ca: string;
  /** PEM of what it shows */
  readonly certificate: string;

  private constructor(lab: ApnsLab, edge: StartedEdge, dir: string, identity: ServerIdentity | undefined) {
    this.ca = identity?.ca ?? '';
    this.certificate = identity?.certificate ?? '';
    this.lab = lab;
    this.edge = edge;
    this.dir = dir;
    lab.onPush((push) => {
      this.#wakers.get(push.token)?.(push);
      this.#pushes.put(push);
    });
  }

  static async open({
    upstream,
    domain = {},
    onBehalf = {},
    holdSeconds = 8,
    wake = {},
    everywhere = false,
    websocket = {},
  }: WorldOptions): Promise<World> {
    const dir = mkdtempSync(join(tmpdir(), 'reveille-interop-'));
    const lab = await startApnsLab({ topics: [topic] });
    const { teamId, keyId, privateKey } = lab.credentials;
    writeFileSync(join(dir, 'ca.pem'), lab.ca);
    writeFileSync(join(dir, 'key.p8'), privateKey, { mode: 0o600 });
    const identity = everywhere ? identityOfEdge() : undefined;
    const [certFile, keyFile] = [join(dir, 'edge-cert.pem'), join(dir, 'edge-key.pem')];
    if (identity !== undefined) {
      writeFileSync(certFile, identity.certificate);
      writeFileSync(keyFile, identity.key, { mode: 0o600 });
    }
    const edge = await startEdge({
      config: {
        ...(identity === undefined ? {} : { sip: { ...(await listenEverywhere(certFile, keyFile)), websocket } }),
        domains: [{ name: foreignDomain, registration: 'mid-registrar', upstream, ...domain }],
        on_behalf: onBehalf,
        registration: { min_expires: 60 },
        wake: { hold_seconds: holdSeconds, ...wake },
        push: {
          apps: [
            {
              name: 'phone',
              provider: 'apns',
              match: [`${teamId}.com.example.phone`],
              team_id: teamId,
              key_id: keyId,
              key_file: join(dir, 'key.p8'),
              ca_file: join(dir, 'ca.pem'),
              endpoint: lab.endpoint,
              sandbox_endpoint: lab.endpoint,
            },
          ],
        },
        shutdown: { held_seconds: 0, call_seconds: 1 },
        log: { level: 'debug' },
      },
    });
    const world = new World(lab, edge, dir, identity);
    for (const line of privateKey.split('\n').filter((text) => text.length > 20))
      world.secrets.set(line, 'the push key');
    return world;
  }

  /** Where a phone finds the edge, and whom it trusts there. */
  place(transport: WireTransport): Remote {
    return { ...this.edge.at(transport), ...(this.ca === '' ? {} : { ca: this.ca }) };
  }

  /** A device token that must never be seen in a log. */
  token(): string {
    const token = randomBytes(32).toString('hex');
    this.secrets.set(token, 'a device token');
    return token;
  }

  password(): string {
    const password = randomBytes(12).toString('hex');
    this.secrets.set(password, 'a password');
    return password;
  }

  /** `pn-provider=...;pn-param=...;pn-prid=...` */
  pushParams(token: string): string {
    return `pn-provider=apns;pn-param=${this.pushParam};pn-prid=${token}`;
  }

  get pushParam(): string {
    return `${this.lab.credentials.teamId}.${topic}`;
  }

  /** From now on a push for this token does this, as the system of the phone would start the app. */
  onPush(token: string, wake: (push: LabPush) => void): void {
    this.#wakers.set(token, wake);
  }

  nextPush(token: string, withinMs = 8000): Promise<LabPush> {
    return this.#pushes.next((push) => push.token === token, withinMs, 'a push');
  }

  pushesFor(token: string): number {
    return this.lab.pushes().filter((push) => push.token === token).length;
  }

  /** The next (or a former) log line of the edge that says this about a call or a binding. */
  async logged(msg: string, withinMs = 5000): Promise<Readonly<Record<string, unknown>>> {
    return this.edge.process.child.next((line) => line['msg'] === msg, withinMs, `"${msg}"`);
  }

  /** Value of one metric line, labels as the edge prints them; 0 when it is not there. */
  async metric(line: string): Promise<number> {
    const found = (await this.edge.process.metrics()).split('\n').find((one) => one.startsWith(`${line} `));
    return Number(found?.slice(line.length + 1) ?? 0);
  }

  /** Done when the world ends, last first. */
  atEnd(end: () => Promise<unknown>): void {
    this.#atEnd.unshift(end);
  }

  /** Ends everything; rejects when the edge did not end well or let out a secret. */
  async close(): Promise<void> {
    const { process: edge } = this.edge;
    const metrics = edge.child.running ? await edge.metrics() : '';
    for (const end of this.#atEnd) await end();
    const code = await this.edge.close();
    await this.lab.close();
    rmSync(this.dir, { recursive: true, force: true });
    const text = [...edge.logs.map((line) => JSON.stringify(line)), ...edge.noise, metrics].join('\n');
    const leaked = [...this.secrets].filter(([value]) => text.includes(value)).map(([, name]) => name);
    if (leaked.length > 0) throw new Error(`the edge let out ${leaked.join(', ')}`);
    if (code !== 0) throw new Error(`the edge ended with ${code}: ${edge.noise.slice(-5).join(' | ')}`);
  }
}
