/**
 * Built edges on hosts of their own with one Redis between them, for the scenarios in which hosts die and networks part: a push
 * stand-in, a PBX and phones on real sockets outside. Ask whyNoFleet() first.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import type { IncomingCall, OutgoingCall } from '../../apps/demo/calls.ts';
import { Child } from '../../apps/demo/child.ts';
import { EdgeProcess, environment } from '../../apps/demo/edge-process.ts';
import { Mailbox } from '../../apps/demo/mailbox.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Pbx } from '../../apps/demo/pbx.ts';
import { Phone, type PhoneOptions } from '../../apps/demo/phone.ts';
import type { Remote, WireTransport } from '../../apps/demo/wire.ts';
import type { LabPush } from '../../apps/push-lab/apns-check.ts';
import { type ApnsLab, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import { type Host, type Hosts, openHosts, whyNoHosts } from '../../bench/hosts/hosts.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { onDrachtio } from './edge.ts';
import { needs } from './needs.ts';
import { type RedisServer, startRedis } from './redis-server.ts';

/** Why there can be none here. */
export function whyNoFleet(): string | undefined {
  return needs('redis-server') ?? (onDrachtio ? 'every edge here has an engine of its own' : undefined) ?? whyNoHosts();
}

/** The edges are the registrar of this one. */
export const fleetDomain = 'home.example.com';
/** The PBX is the registrar of this one. */
export const fleetPbxDomain = 'pbx.example.com';
export const answerSdp = sessionDescription('127.0.0.1', 41_000);
export const offerSdp = sessionDescription('127.0.0.1', 40_001);
export const patience = { timeout: 15_000, interval: 20 };

const engineSecret = 'an-engine-secret';
const bundle = 'com.example.phone';
const topic = `${bundle}.voip`;
const ports = { udp: 5060, tcp: 5060, tls: 5061, ws: 5062, wss: 5063 } as const;

type Sections = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface FleetOptions {
  readonly nodes: readonly string[];
  /** seconds a call is held; 5 when absent */
  readonly holdSeconds?: number;
  /** sections of every node's config, one level deep */
  readonly config?: Sections;
  /** another Redis than one server on the host `redis`: starts it, and gives the section `store` */
  readonly store?: (hosts: Hosts) => Promise<Readonly<Record<string, unknown>>>;
  /** engines that are processes of their own on hosts of their own: one for each edge, or one for all */
  readonly engines?: 'each' | 'one';
}

export interface FleetNode {
  readonly name: string;
  readonly host: Host;
  readonly process: EdgeProcess;
  at(transport: WireTransport): Remote;
  /** Value of one line of its metrics; 0 when the line is not there. */
  metric(line: string): Promise<number>;
  /** Sum of all lines of one metric that match. */
  sum(line: RegExp): Promise<number>;
}

/** The host whose engine a node uses. */
function sipHost({ engines }: FleetOptions, node: string): string {
  return engines === undefined ? node : engines === 'one' ? 'engine' : `engine-${node}`;
}

export class Fleet {
  readonly hosts: Hosts;
  readonly lab: ApnsLab;
  readonly pbx: Pbx;
  readonly redis: RedisServer | undefined;
  readonly #nodes = new Map<string, FleetNode>();
  readonly #phones: Phone[] = [];
  readonly #pushes = new Mailbox<LabPush>();
  readonly #wakers = new Map<string, () => Promise<unknown>>();
  readonly #dir: string;
  readonly #options: FleetOptions;
  readonly #store: Readonly<Record<string, unknown>>;
  readonly #engines = new Map<string, Child>();
  #users = 0;

  private constructor(parts: {
    readonly options: FleetOptions;
    readonly hosts: Hosts;
    readonly lab: ApnsLab;
    readonly pbx: Pbx;
    readonly redis: RedisServer | undefined;
    readonly store: Readonly<Record<string, unknown>>;
  }) {
    const { options, hosts, lab, pbx, redis, store } = parts;
    this.hosts = hosts;
    this.lab = lab;
    this.pbx = pbx;
    this.redis = redis;
    this.#options = options;
    this.#store = store;
    this.#dir = mkdtempSync(join(tmpdir(), 'reveille-fleet-'));
    lab.onPush((push) => {
      const wake = this.#wakers.get(push.token);
      if (wake === undefined) this.#pushes.put(push);
      // cut off, or closed in the meantime: nobody is left to be woken
      else wake().catch(() => undefined);
    });
  }

  static async open(options: FleetOptions): Promise<Fleet> {
    const engines = new Set(options.engines === undefined ? [] : options.nodes.map((name) => sipHost(options, name)));
    const hosts = await openHosts([...options.nodes, ...engines, 'redis']);
    try {
      const lab = await startApnsLab({ host: hosts.outside.address, topics: [bundle, topic] });
      const pbx = await Pbx.open({
        ...{ transport: 'udp', address: hosts.outside.address, domain: fleetPbxDomain, challenges: false },
        users: new Proxy({}, { get: () => 'any user has this password' }),
      });
      const redis = options.store === undefined ? await startRedis({ host: hosts.host('redis') }) : undefined;
      const store = (await options.store?.(hosts)) ?? { redis_url: redis?.url };
      const fleet = new Fleet({ options, hosts, lab, pbx, redis, store });
      const addresses = options.nodes.map((name) => hosts.host(name).address);
      const identity = makeServerIdentity({ hosts: [], addresses });
      fleet.#write('cert.pem', identity.certificate);
      fleet.#write('key.pem', identity.key);
      fleet.#write('lab-ca.pem', lab.ca);
      fleet.#write('key.p8', lab.credentials.privateKey);
      fleet.#ca = identity.ca;
      for (const [at, name] of options.nodes.entries())
        if (options.engines === 'each' || (options.engines === 'one' && at === 0)) await fleet.startEngine(name);
      await Promise.all(options.nodes.map((name) => fleet.start(name)));
      await fleet.knowEachOther();
      return fleet;
    } catch (error) {
      await hosts.close();
      throw error;
    }
  }

  #ca = '';

  #write(name: string, text: string): void {
    writeFileSync(join(this.#dir, name), text, { mode: 0o600 });
  }

  /** Starts the edge of this host. */
  async start(name: string): Promise<FleetNode> {
    const entry = fileURLToPath(new URL('../../dist/apps/edge/main.js', import.meta.url));
    if (!existsSync(entry)) throw new Error('dist/apps/edge/main.js is not there: run npm run build first');
    const host = this.hosts.host(name);
    const http = `${host.address}:9090`;
    const edge = await EdgeProcess.start({
      ...{ entry, dir: this.#dir, http, within: host.within },
      config: this.#config(name, host.address, http),
    });
    const lines = async (): Promise<readonly string[]> => (await edge.metrics()).split('\n');
    const node: FleetNode = {
      ...{ name, host, process: edge },
      at: (transport) => ({
        ...{ transport, address: this.#sipHost(name).address, port: ports[transport] },
        ...(transport === 'tls' || transport === 'wss' ? { ca: this.#ca } : {}),
      }),
      metric: async (line) =>
        Number((await lines()).find((one) => one.startsWith(`${line} `))?.slice(line.length + 1) ?? 0),
      sum: async (line) =>
        (await lines())
          .filter((one) => line.test(one))
          .reduce((all, one) => all + Number(one.slice(one.lastIndexOf(' '))), 0),
    };
    this.#nodes.set(name, node);
    return node;
  }

  #sipHost(name: string): Host {
    return this.hosts.host(sipHost(this.#options, name));
  }

  /** Starts the engine of this node, or starts it anew. */
  async startEngine(name: string): Promise<void> {
    const entry = fileURLToPath(new URL('../../dist/apps/engine/main.js', import.meta.url));
    const { address, within } = this.#sipHost(name);
    const file = join(this.#dir, `engine-${name}.yaml`);
    const config = {
      sip: { listen: [`udp://${address}:${ports.udp}`, `tcp://${address}:${ports.tcp}`] },
      control: { listen: `${address}:9022` },
    };
    this.#write(`engine-${name}.yaml`, JSON.stringify(config));
    const env = { ...environment(), DRACHTIO_SECRET: engineSecret };
    const words = ['--enable-source-maps', entry, '--config', file];
    const engine = new Child(`the engine of ${name}`, words, undefined, env, within);
    this.#engines.set(name, engine);
    await engine.next(({ msg }) => String(msg).includes('SIP engine is up'), 20_000, 'the engine');
  }

  /** As the power cord does it. */
  async killEngine(name: string): Promise<void> {
    const engine = this.#engines.get(name);
    engine?.signal('SIGKILL');
    await engine?.exited;
  }

  #config(name: string, address: string, http: string): Record<string, unknown> {
    const { lab, pbx } = this;
    const { teamId, keyId } = lab.credentials;
    const upstream = `sip:${pbx.ua.local.address}:${pbx.ua.local.port};transport=udp`;
    const sip = {
      listen: Object.entries(ports).map(([transport, port]) => `${transport}://${address}:${port}`),
      tls: { cert_file: 'cert.pem', key_file: 'key.pem' },
      websocket: { plain: 'anywhere' },
    };
    const drachtio = { host: this.#sipHost(name).address, port: 9022, secret: engineSecret };
    const config: Record<string, unknown> = {
      ...(this.#options.engines !== undefined ? { engine: { kind: 'drachtio', drachtio } } : { sip }),
      http: { listen: http },
      store: { kind: 'redis', ...this.#store },
      domains: [
        {
          ...{ name: fleetDomain, registration: 'registrar', upstream },
          users: Array.from({ length: 100 }, (_, n) => ({ name: `u${n}`, password: `password of u${n}` })),
        },
        { name: fleetPbxDomain, registration: 'mid-registrar', upstream },
      ],
      // its hosts have addresses that an edge takes for public ones
      registration: { min_expires: 300, push_over_clear: 'accept' },
      wake: { hold_seconds: this.#options.holdSeconds ?? 5, silent_flow_ms: 500 },
      push: {
        apps: [
          {
            ...{ name: 'phone', provider: 'apns', match: [`${teamId}.${bundle}`], profile: 'generic' },
            ...{ team_id: teamId, key_id: keyId, key_file: 'key.p8', ca_file: 'lab-ca.pem' },
            ...{ endpoint: lab.endpoint, sandbox_endpoint: lab.endpoint },
          },
        ],
      },
      shutdown: { held_seconds: 0, call_seconds: 0 },
      log: { level: 'debug' },
    };
    for (const [section, values] of Object.entries(this.#options.config ?? {}))
      config[section] = { ...(config[section] as object | undefined), ...values };
    return config;
  }

  node(name: string): FleetNode {
    const found = this.#nodes.get(name);
    if (found === undefined) throw new Error(`no node is called ${name}`);
    return found;
  }

  get nodes(): readonly FleetNode[] {
    return [...this.#nodes.values()];
  }

  /** Waits until every node that runs has its store and sees all others that run. */
  async knowEachOther(): Promise<void> {
    const running = this.nodes.filter(({ process: edge }) => edge.child.running);
    for (const node of running)
      await vi.waitFor(async () => {
        if ((await node.process.readyz()) !== 200) throw new Error(`${node.name} is not ready`);
        const others = await node.metric('reveille_other_nodes');
        if (others !== running.length - 1) throw new Error(`${node.name} sees ${others} others`);
      }, patience);
  }

  /** A phone of the home domain with a user, an address and a token of its own, at this node; not registered yet. */
  phone(node: string, transport: WireTransport = 'udp', choice: Partial<PhoneOptions> = {}): Phone {
    const user = `u${this.#users++}`;
    const phone = new Phone({
      ...{ user, domain: fleetDomain, password: `password of ${user}` },
      ...{ address: this.hosts.anAddress(), edge: this.node(node).at(transport) },
      instanceId: `urn:uuid:${randomUUID()}`,
      push: {
        ...{ provider: 'apns', param: `${this.lab.credentials.teamId}.${topic}` },
        prid: randomBytes(32).toString('hex'),
      },
      ...choice,
    });
    this.#phones.push(phone);
    return phone;
  }

  /** A phone that is registered and connected at this node. */
  async awake(node: string, transport?: WireTransport, choice?: Partial<PhoneOptions>): Promise<Phone> {
    const phone = this.phone(node, transport, choice);
    const { status, reason } = await phone.register();
    if (status !== 200) throw new Error(`${phone.options.user} could not register at ${node}: ${status} ${reason}`);
    return phone;
  }

  /** One that has fallen asleep again. */
  async sleeper(node: string, transport?: WireTransport, choice?: Partial<PhoneOptions>): Promise<Phone> {
    const phone = await this.awake(node, transport, choice);
    await phone.sleep();
    return phone;
  }

  /** From its next socket on this phone is at another node. */
  turn(phone: Phone, node: string, transport: WireTransport = phone.edge.transport): void {
    phone.edge = this.node(node).at(transport);
  }

  /** From now on this phone wakes when it is pushed, at this node. */
  wakesAt(phone: Phone, node: string, transport?: WireTransport): void {
    this.turn(phone, node, transport);
    this.#wakers.set(phone.push?.prid ?? '', () => phone.wake());
  }

  /** The next push for this phone, when nobody wakes it. */
  nextPush(phone: Phone, withinMs = 5000): Promise<LabPush> {
    return this.#pushes.next(({ token }) => token === phone.push?.prid, withinMs, `a push for ${phone.options.user}`);
  }

  pushesFor(phone: Phone): readonly LabPush[] {
    return this.lab.pushes().filter(({ token }) => token === phone.push?.prid);
  }

  /** The PBX calls a phone of the home domain by way of this node. */
  dial(node: string, phone: Phone): OutgoingCall {
    const { user } = phone.options;
    return this.pbx.dial(`sip:${user}@${fleetDomain}`, { body: offerSdp, remote: this.node(node).at('udp') });
  }

  /** Ends everything. Rejects when a node that ran to the end did not end well. */
  async close(): Promise<void> {
    const ends: string[] = [];
    try {
      await Promise.all(this.#phones.map((phone) => phone.sleep()));
      await Promise.all(
        this.nodes.map(async ({ name, process: edge }) => {
          const code = edge.child.running ? await edge.stop() : 0;
          const crash = edge.noise.find((line) => /error|exception/i.test(line));
          if (code !== 0 || crash !== undefined) ends.push(`${name} ended with ${code}: ${crash ?? ''}`);
        }),
      );
      await Promise.all([...this.#engines.values()].map((engine) => engine.stop()));
    } finally {
      await this.redis?.stop();
      await Promise.all([this.pbx.close(), this.lab.close()]);
      await this.hosts.close();
      rmSync(this.#dir, { recursive: true, force: true });
    }
    if (ends.length > 0) throw new Error(ends.join('; '));
  }
}

/** A call that is up: INVITE, 200, ACK. */
export interface Up {
  readonly call: OutgoingCall;
  readonly incoming: IncomingCall;
}

/** The phone takes its next call. */
export async function take(call: OutgoingCall, phone: Phone, withinMs = 10_000): Promise<Up> {
  const answered = call.answer();
  // a call that ends before it rings says at once how it ended
  const ended = answered.then(({ status, reason, headers }) => {
    throw new Error(
      `the caller was answered ${status} ${reason} (${headers.get('Reason') ?? 'no Reason'}) before the phone rang`,
    );
  });
  ended.catch(() => undefined);
  const incoming = await Promise.race([phone.nextCall(withinMs), ended]);
  incoming.answer(answerSdp);
  const { status } = await answered;
  if (status !== 200) throw new Error(`the caller was answered ${status}`);
  await incoming.transaction.ack();
  return { call, incoming };
}

/** An INFO both ways: the call is up, and every hop of it works. */
export async function heard({ call, incoming }: Up): Promise<void> {
  const caller = call.dialog;
  if (caller === undefined) throw new Error('the caller has no dialog');
  for (const [from, to] of [
    [caller, incoming.dialog],
    [incoming.dialog, caller],
  ] as const) {
    const info = from.request('INFO', Headers.of([['Content-Type', 'application/dtmf-relay']]), 'Signal=5\r\n');
    (await to.next('INFO')).respond(200);
    const { status } = await info.answer();
    if (status !== 200) throw new Error(`INFO was answered ${status}`);
  }
}

/** The caller hangs up, and the phone hears of it. */
export async function hangUp({ call, incoming }: Up): Promise<void> {
  const answer = await call.dialog?.bye();
  const bye = await incoming.dialog.ended;
  if (answer?.status !== 200 || bye === undefined) throw new Error(`BYE was answered ${answer?.status}`);
}

/** Registers until it is let in, as phones do; a 503 says when to come again (RFC 3261 21.5.4). Gives the Retry-After of each. */
export async function comesBack(phone: Phone): Promise<readonly number[]> {
  const refused: number[] = [];
  for (;;) {
    const { status, headers } = await phone.register();
    if (status === 200) return refused;
    const after = Number(headers.get('Retry-After'));
    if (status !== 503 || !(after > 0)) throw new Error(`REGISTER was answered ${status}, Retry-After ${after}`);
    refused.push(after);
    await pause(Math.min(after, 1) * 1000);
  }
}
