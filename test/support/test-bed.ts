/**
 * A whole world on loopback for the scenarios: the built edge as a child, an APNs stand-in over HTTP/2, a PBX and phones on real
 * sockets. It remembers every secret that was used; when it is closed, none of them may have reached a log line or a metric.
 */
import { createHash, randomBytes, randomInt, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Mailbox } from '../../apps/demo/mailbox.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Pbx, type PbxOptions } from '../../apps/demo/pbx.ts';
import { Phone, type PhoneOptions, type WakeOptions } from '../../apps/demo/phone.ts';
import { UserAgent } from '../../apps/demo/ua.ts';
import type { LabPush } from '../../apps/push-lab/apns-check.ts';
import { type ApnsLab, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import type { Remote, WireTransport } from '../../apps/demo/wire.ts';
import { makeServerIdentity, type ServerIdentity } from '../../apps/push-lab/certificate.ts';
import { listenEverywhere, places, type StartedEdge, startEdge } from './edge.ts';
import { hostOf } from '../../lib/sip/flow.ts';

/** The PBX is the registrar of this domain. */
export const pbxDomain = 'pbx.example.com';
/** Of this one too, and it keeps the Contacts of the phones themselves. */
export const pathDomain = 'path.example.com';
/** The edge is the registrar of this one, and the PBX uses it as a trunk. */
export const homeDomain = 'home.example.com';

const bundle = 'com.example.phone';
const topic = `${bundle}.voip`;

export interface BedOptions {
  /** between PBX and edge; udp when absent */
  readonly transport?: 'udp' | 'tcp' | 'tls';
  /** the edge listens on TLS, WS and WSS as well, with a certificate for its address */
  readonly everywhere?: boolean;
  readonly pbx?: Partial<PbxOptions>;
  /** seconds a call is held; 5 when absent, which is the shortest there is */
  readonly holdSeconds?: number;
  /** another PBX than ours, as the config names it */
  readonly upstream?: string;
  /** more keys of every domain */
  readonly domain?: Readonly<Record<string, unknown>>;
  /** sections of the config merged over the usual ones, one level deep */
  readonly config?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** another edge of the same world: its stand-in and PBX are used, not new ones */
  readonly beside?: Bed;
}

export interface PhoneChoice extends Partial<Omit<PhoneOptions, 'edge'>> {
  /** udp when absent */
  readonly transport?: WireTransport;
  /** no push parameters */
  readonly plain?: boolean;
  /** its one token takes alerts and background pushes, not VoIP pushes */
  readonly alerts?: boolean;
  /** the proxy it sends everything to, in place of the edge */
  readonly via?: Remote;
}

export class Bed {
  readonly lab: ApnsLab;
  readonly edge: StartedEdge;
  /** of the edge; changed by whoever renews it */
  identity: ServerIdentity | undefined;
  readonly pbx: Pbx;
  readonly secrets: Map<string, string>;
  readonly #users: Record<string, string>;
  readonly #phones: Phone[] = [];
  readonly #agents: UserAgent[] = [];
  readonly #pushes = new Mailbox<LabPush>();
  readonly #wakers = new Map<string, (push: LabPush) => void>();
  readonly #stopListening: () => void;
  readonly #dir: string;
  readonly #owner: boolean;

  private constructor(parts: {
    readonly lab: ApnsLab;
    readonly edge: StartedEdge;
    readonly pbx: Pbx;
    readonly users: Record<string, string>;
    readonly secrets: Map<string, string>;
    readonly dir: string;
    readonly owner: boolean;
    readonly identity: ServerIdentity | undefined;
  }) {
    this.identity = parts.identity;
    this.lab = parts.lab;
    this.edge = parts.edge;
    this.pbx = parts.pbx;
    this.secrets = parts.secrets;
    this.#users = parts.users;
    this.#dir = parts.dir;
    this.#owner = parts.owner;
    this.#stopListening = this.lab.onPush((push) => {
      const wake = this.#wakers.get(push.token);
      if (wake === undefined) this.#pushes.put(push);
      else wake(push);
    });
  }

  static async open(options: BedOptions = {}): Promise<Bed> {
    const { beside } = options;
    const dir = mkdtempSync(join(tmpdir(), 'reveille-bed-'));
    const lab = beside?.lab ?? (await startApnsLab({ topics: [bundle, topic] }));
    const users = beside === undefined ? {} : beside.#users;
    const secrets = beside?.secrets ?? new Map<string, string>();
    const transport = options.transport ?? 'udp';
    const identity = options.everywhere === true ? identityOfEdge() : undefined;
    if (identity !== undefined) writeIdentity(dir, identity);
    const pbxIdentity = makeServerIdentity({ hosts: [], addresses: [places.pbx] });
    writeFileSync(join(dir, 'pbx-ca.pem'), options.pbx?.secure?.ca ?? pbxIdentity.ca);
    const pbx =
      beside?.pbx ??
      (await Pbx.open({
        transport,
        address: places.pbx,
        domain: pbxDomain,
        users,
        ...(transport === 'tls' ? { secure: { ...pbxIdentity, ca: identity?.ca ?? '' } } : {}),
        ...options.pbx,
      }));
    const { teamId, keyId, privateKey } = lab.credentials;
    for (const line of privateKey.split('\n').filter((text) => text.length > 20)) secrets.set(line, 'the push key');
    writeFileSync(join(dir, 'ca.pem'), lab.ca);
    writeFileSync(join(dir, 'key.p8'), privateKey, { mode: 0o600 });
    const upstream =
      options.upstream ?? `sip:${hostOf(pbx.ua.local.address)}:${pbx.ua.local.port};transport=${transport}`;
    const usual = {
      domains: [
        { name: pbxDomain, registration: 'mid-registrar', upstream, ...options.domain },
        { name: pathDomain, registration: 'path', upstream, ...options.domain },
        { name: homeDomain, registration: 'registrar', upstream, users: homeUsers(secrets), ...options.domain },
      ],
      registration: { min_expires: 300 },
      wake: { hold_seconds: options.holdSeconds ?? 5, silent_flow_ms: 500 },
      push: {
        apps: [
          {
            name: 'phone',
            provider: 'apns',
            match: [`${teamId}.${bundle}`],
            profile: 'generic',
            team_id: teamId,
            key_id: keyId,
            key_file: join(dir, 'key.p8'),
            ca_file: join(dir, 'ca.pem'),
            endpoint: lab.endpoint,
            sandbox_endpoint: lab.endpoint,
          },
        ],
      },
      shutdown: { held_seconds: 0, call_seconds: 2 },
      log: { level: 'debug' },
    };
    const config: Record<string, unknown> = { ...usual };
    if (identity !== undefined) {
      const sip = await listenEverywhere(join(dir, 'edge-cert.pem'), join(dir, 'edge-key.pem'));
      config['sip'] = { ...sip, tls: { ...(sip['tls'] as object), ca_file: join(dir, 'pbx-ca.pem') } };
      for (const line of identity.key.split('\n').filter((text) => text.length > 20))
        secrets.set(line, 'the key of the edge');
    }
    for (const [section, values] of Object.entries(options.config ?? {}))
      config[section] = { ...(config[section] as Readonly<Record<string, unknown>> | undefined), ...values };
    const edge = await startEdge({ config });
    return new Bed({ lab, edge, pbx, users, secrets, dir, identity, owner: beside === undefined });
  }

  /** A phone that is known to the PBX (or, in the home domain, to the edge), with a token of its own; not registered yet. */
  phone(user: string, choice: PhoneChoice = {}): Phone {
    const { transport = 'udp', plain = false, alerts = false, via, ...rest } = choice;
    const domain = rest.domain ?? pbxDomain;
    const password =
      rest.password ?? (domain === homeDomain ? (passwords.get(user) ?? '') : (this.#users[user] ??= secretText()));
    const prid = rest.push?.prid ?? randomBytes(32).toString('hex');
    this.secrets.set(password, `the password of ${user}`).set(prid, `the token of ${user}`);
    const phone = new Phone({
      user,
      domain,
      password,
      address: anAddress(),
      instanceId: `urn:uuid:${randomUUID()}`,
      ...(plain
        ? {}
        : {
            push: {
              provider: 'apns',
              param: alerts ? `${this.lab.credentials.teamId}.${bundle}` : this.pushParam,
              prid,
            },
          }),
      ...rest,
      edge: via ?? this.place(transport),
    });
    this.#phones.push(phone);
    return phone;
  }

  /** Where a phone finds the edge, and whom it trusts there. */
  place(transport: WireTransport): Remote {
    const { identity } = this;
    return { ...this.edge.at(transport), ...(identity === undefined ? {} : { ca: identity.ca }) };
  }

  /** Puts another certificate where the edge reads its own. */
  writeIdentity(identity: ServerIdentity): void {
    writeIdentity(this.#dir, identity);
  }

  get pushParam(): string {
    return `${this.lab.credentials.teamId}.${topic}`;
  }

  /** A registered phone that fell asleep. */
  async sleeper(user: string, choice: PhoneChoice = {}): Promise<Phone> {
    const phone = this.phone(user, choice);
    const answer = await phone.register();
    if (answer.status !== 200) throw new Error(`${user} could not register: ${answer.status} ${answer.reason}`);
    await phone.sleep();
    return phone;
  }

  /** From now on this phone wakes when it is pushed. */
  wakesOnPush(phone: Phone, options: WakeOptions = {}): void {
    this.#wakers.set(phone.push?.prid ?? '', (push) => {
      // closed in the meantime: nobody is left to be woken
      phone.wake(options).then(
        () => this.#pushes.put(push),
        () => undefined,
      );
    });
  }

  /** The next push for this phone. */
  nextPush(phone: Phone, withinMs = 5000): Promise<LabPush> {
    return this.#pushes.next(({ token }) => token === phone.push?.prid, withinMs, `a push for ${phone.options.user}`);
  }

  /** Pushes that were accepted for this phone so far. */
  pushesFor(phone: Phone): readonly LabPush[] {
    return this.lab.pushes().filter(({ token }) => token === phone.push?.prid);
  }

  /** A bare agent at one of the places. */
  async agent(address: string, transport: 'udp' | 'tcp' = 'udp', outbound = true): Promise<UserAgent> {
    const agent = await UserAgent.open({
      transport,
      address,
      ...(outbound ? { outbound: this.edge.at(transport) } : {}),
    });
    this.#agents.push(agent);
    return agent;
  }

  /** Value of one metric line, labels in the order the edge prints them; 0 when the line is not there. */
  async metric(line: string): Promise<number> {
    const found = (await this.edge.process.metrics()).split('\n').find((one) => one.startsWith(`${line} `));
    return Number(found?.slice(line.length + 1) ?? 0);
  }

  /** What of the secrets reached log lines, other output or the metrics: names of the secrets, not their values. */
  async leaks(): Promise<readonly string[]> {
    const { process: edge } = this.edge;
    const metrics = edge.child.running ? await edge.metrics() : '';
    const text = [...edge.logs.map((line) => JSON.stringify(line)), ...edge.noise, metrics].join('\n');
    return [...this.secrets].filter(([value]) => value !== '' && text.includes(value)).map(([, name]) => name);
  }

  /** Ends everything. Rejects when the edge did not end well or a secret leaked. */
  async close(): Promise<void> {
    this.#stopListening();
    const ranToTheEnd = this.edge.process.child.running;
    const leaked = await this.leaks();
    await Promise.all([...this.#phones.map((phone) => phone.sleep()), ...this.#agents.map((agent) => agent.close())]);
    const code = await this.edge.close();
    if (this.#owner) await Promise.all([this.pbx.close(), this.lab.close()]);
    rmSync(this.#dir, { recursive: true, force: true });
    if (leaked.length > 0) throw new Error(`the edge let out ${leaked.join(', ')}`);
    if (!ranToTheEnd || code !== 0)
      throw new Error(`the edge ended with ${code}: ${this.edge.process.noise.slice(-5).join(' | ')}`);
    const crash = this.edge.process.noise.find((line) => /error|exception/i.test(line));
    if (crash !== undefined) throw new Error(`the edge printed: ${crash}`);
  }
}

/**
 * Phones live at addresses of their own, as they do in the world; what happens where they share one is a test of its own.
 * Drawn by lot, because a drachtio-server remembers user and address of every phone for an hour, from file to file.
 */
function anAddress(): string {
  return `127.30.${randomInt(256)}.${randomInt(1, 255)}`;
}

export function identityOfEdge(): ServerIdentity {
  return makeServerIdentity({ hosts: ['edge.example.com'], addresses: [places.edge] });
}

function writeIdentity(dir: string, { certificate, key }: ServerIdentity): void {
  writeFileSync(join(dir, 'edge-cert.pem'), certificate);
  writeFileSync(join(dir, 'edge-key.pem'), key, { mode: 0o600 });
}

/** An SDP offer that is recognisable, with lines of its own. */
export function anOffer(mark = 1): string {
  return sessionDescription(places.pbx, 40_000 + mark);
}

const passwords = new Map(
  ['anna', 'bert', 'carl', 'dora', 'emil', 'frieda', 'gero'].map((user) => [user, secretText()]),
);

/** Users of the home domain: `bert` is known by an MD5 HA1, `carl` by a SHA-256 one, the others by their password. */
function homeUsers(secrets: Map<string, string>): readonly Readonly<Record<string, string>>[] {
  return [...passwords].map(([name, password]) => {
    const digest = (algorithm: string): string => {
      const value = createHash(algorithm).update(`${name}:${homeDomain}:${password}`).digest('hex');
      secrets.set(value, `the HA1 of ${name}`);
      return value;
    };
    if (name === 'bert') return { name, ha1_md5: digest('md5') };
    if (name === 'carl') return { name, ha1_sha256: digest('sha256') };
    return { name, password };
  });
}

function secretText(): string {
  return randomBytes(12).toString('base64url');
}
