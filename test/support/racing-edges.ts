/**
 * Whole edges as apps/edge/wiring.ts puts them together, on one store and one bus, between racing phones and a racing PBX. Whatever
 * the edge does is judged at once; what breaks a rule is noted in `wrong`.
 */
import { BlockList } from 'node:net';
import type { RouteDeps } from '../../apps/edge/route-deps.ts';
import { route } from '../../apps/edge/routes.ts';
import { answerChallenge } from '../../apps/demo/digest.ts';
import { nonceLifeMs } from '../../apps/edge/middleware/authenticate.ts';
import type { KnownDomain } from '../../apps/edge/middleware/classify.ts';
import { TokenUsers } from '../../lib/register/token-users.ts';
import { UsedNonces } from '../../apps/edge/middleware/used-nonces.ts';
import { memoryAgenda } from '../../lib/adapters/memory/agenda.ts';
import { openMemoryStore } from '../../lib/adapters/memory/location-store.ts';
import { BridgedDialogs } from '../../lib/call/bridged-dialogs.ts';
import { Calls } from '../../lib/call/ledger.ts';
import { Subscriptions } from '../../lib/call/subscriptions.ts';
import type { Binding } from '../../lib/core/binding.ts';
import { liveBindings } from '../../lib/core/binding-set.ts';
import { ha1 } from '../../lib/core/digest.ts';
import type { Registration } from '../../lib/core/modes.ts';
import type { Client, ClientAnswer, ClientRequest } from '../../lib/ports/client.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { PushRequest } from '../../lib/ports/push-service.ts';
import { startRefreshPushes } from '../../lib/refresh/refresh-pushes.ts';
import type { Flow } from '../../lib/sip/flow.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { request, response } from '../../lib/sip/message.ts';
import { parseNameAddr } from '../../lib/sip/name-addr.ts';
import { parseUri } from '../../lib/sip/uri.ts';
import { pbxFlow } from './fake-call.ts';
import { Gates, settled } from './gates.ts';
import { MovedClock } from './moved-clock.ts';
import { QuietLog } from './quiet-log.ts';
import { type Fate, RacingBus } from './racing-bus.ts';
import { RacingInvite, type RacingLeg, RacingLegs, RacingPushService, RacingRequest } from './racing-sip.ts';
import { TelemetryRecorder } from './telemetry-recorder.ts';
import { AwakeFlows } from '../../lib/wake/awake-flows.ts';
import { LatePhones } from '../../lib/wake/late-phones.ts';
import { aRuleBook, aTokenKeeper } from './token-keeper.ts';

const expires = 600;
const password = 'secret';
const start = 1_700_000_000_000;
export const holdMs = 30_000;
const ringMs = 60_000;

export interface Circumstances {
  readonly nodes: number;
  /** store, bus, control link and PBX take their time, and the steps say when it is over */
  readonly slow: boolean;
  readonly fates: readonly Fate[];
  readonly refreshPushes: boolean;
  /** INVITEs that may wait for one phone */
  readonly mostPerPhone: number;
  /** at the end of the story everybody hangs up at once */
  readonly impatient: boolean;
}

export type PhoneKind = 'fcm' | 'voip' | 'plain';

export interface PhonePlan {
  /** phones of one user share an AOR */
  readonly user: number;
  readonly mode: 'M' | 'R';
  readonly kind: PhoneKind;
  readonly transport: 'udp' | 'tcp';
}

/** What the PBX says to the REGISTER that is passed on to it. */
export type PbxWord = 200 | 403 | 'silent';

export class Phone {
  readonly name: string;
  readonly aor: string;
  readonly plan: PhonePlan;
  readonly address: string;
  readonly ports = new Set<number>();
  port = 5000;
  cseq = 0;
  /** the Contact under which the PBX knows it */
  sealed: string | undefined;
  /** counts of the world at which its last REGISTER was accepted; undefined: it is not registered */
  registeredAt: number | undefined;
  /** CSeq of the newest REGISTER that was accepted: the 200 of an older one may come after it, and is not the last word */
  newestAnswered = 0;
  /** the store knows that its token is gone */
  isDead = false;
  /** ms since the epoch: the end of its binding, counted from its REGISTER at the earliest */
  until = 0;

  constructor(index: number, plan: PhonePlan) {
    this.plan = plan;
    this.name = `phone${index}`;
    this.aor = `user${plan.user}@${plan.mode.toLowerCase()}.example`;
    this.address = `198.51.100.${index + 1}`;
  }

  get token(): string {
    return `${this.name}-token`.padEnd(64, '0');
  }

  contact(seconds: number): string {
    const { kind, transport } = this.plan;
    const push = {
      fcm: `;pn-provider=fcm;pn-param=project;pn-prid=${this.token}`,
      voip: `;pn-provider=apns;pn-param=TEAM123456.app.voip;pn-prid=${Buffer.from(this.token).toString('hex')}`,
      plain: '',
    }[kind];
    const uri = `sip:${this.name}@${this.address}:${this.port};transport=${transport}${push}`;
    return `<${uri}>;+sip.instance="<urn:uuid:${this.name}>";expires=${seconds}`;
  }
}

export interface RacingCall {
  readonly id: string;
  readonly invite: RacingInvite;
  readonly node: number;
  readonly aor: string;
  /** the phone the PBX named; undefined: every phone of the AOR */
  readonly phone: Phone | undefined;
  readonly arrivedAt: number;
  /** ms since the epoch */
  readonly at: number;
  readonly legs: { readonly leg: RacingLeg; readonly phone: Phone }[];
  /** count of the world at each push */
  readonly pushes: { readonly phone: Phone; readonly at: number }[];
}

interface Node {
  readonly engine: string;
  readonly calls: Calls;
  readonly dialogs: BridgedDialogs;
  readonly subscriptions: Subscriptions;
  readonly legs: RacingLegs;
  readonly deps: RouteDeps;
  readonly stop: () => Promise<void>;
}

export class RacingEdges {
  readonly clock = new MovedClock(start);
  readonly gates = new Gates();
  readonly phones: readonly Phone[];
  readonly calls: RacingCall[] = [];
  readonly nodes: readonly Node[];
  readonly pushes: RacingPushService;
  readonly wrong: string[] = [];
  readonly log = new QuietLog();
  readonly telemetry = new TelemetryRecorder();
  readonly #circumstances: Circumstances;
  readonly #bus: RacingBus;
  readonly #store: LocationStore;
  readonly #agenda = memoryAgenda();
  readonly #pbxSays = new Map<string, PbxWord>();
  #registers = 0;
  #registersAnswered = 0;
  /** events so far: what came first has the smaller number */
  #count = 0;
  #ending = false;

  constructor(circumstances: Circumstances, plans: readonly PhonePlan[]) {
    this.#circumstances = circumstances;
    this.phones = plans.map((plan, index) => new Phone(index, plan));
    this.#bus = new RacingBus(this.gates, circumstances.fates);
    // forgets nothing before the end, so that a run is the same whenever the sweeper's real timer fires
    const store = openMemoryStore({ now: () => (this.#ending ? this.clock.now() : start), sweepEveryMs: 1 });
    this.#store = store;
    const slowStore: LocationStore = {
      read: (aor) => this.gates.around(() => store.read(aor)),
      swap: (...swap) =>
        this.gates.around(async () => {
          const done = await store.swap(...swap);
          if (done === 'stored') this.#noteDead(swap[2]);
          return done;
        }),
      scan: (...page) => store.scan(...page),
      readSecret: (...name) => store.readSecret(...name),
      shared: (...value) => store.shared(...value),
      ping: () => store.ping(),
      close: () => store.close(),
    };
    this.pushes = new RacingPushService(this.clock, this.gates, (asked) => this.#judgePush(asked));
    this.nodes = Array.from({ length: circumstances.nodes }, (_, index) =>
      this.#assemble(index, slowStore, circumstances),
    );
  }

  // ---- what happens from outside ----

  /** A REGISTER, and the answer to its challenge. */
  register(
    phone: Phone,
    node: number,
    how: { readonly moves: boolean; readonly leaves: boolean; readonly pbx: PbxWord },
  ): void {
    if (how.moves) phone.port++;
    phone.ports.add(phone.port);
    const contact = phone.contact(how.leaves ? 0 : expires);
    const from: Flow = {
      transport: phone.plan.transport,
      address: phone.address,
      port: phone.port,
      engine: this.#node(node).engine,
    };
    const send = (credentials: readonly (readonly [string, string])[]): void => {
      const cseq = ++phone.cseq;
      const uri = `sip:${phone.aor.slice(phone.aor.indexOf('@') + 1)}`;
      const asked = request(
        'REGISTER',
        uri,
        Headers.of([
          ['Via', 'SIP/2.0/UDP phone'],
          ['From', `<sip:${phone.aor}>;tag=f`],
          ['To', `<sip:${phone.aor}>`],
          ['Call-ID', phone.name],
          ['CSeq', `${cseq} REGISTER`],
          ['Contact', contact],
          ...credentials,
        ]),
      );
      this.#pbxSays.set(`${phone.name} ${cseq}`, how.pbx);
      this.#registers++;
      const until = this.clock.now() + expires * 1000;
      const transaction = new RacingRequest(asked, from, ({ status, headers = Headers.empty() }) => {
        this.#registersAnswered++;
        if (status === 401) {
          const answer = answerChallenge({ status, headers }, asked, {
            user: phone.aor.slice(0, phone.aor.indexOf('@')),
            password,
          });
          if (answer === undefined) this.wrong.push('a challenge that nobody can answer');
          else if (credentials.length === 0) send([answer]);
        } else if (status === 200 && cseq > phone.newestAnswered) {
          phone.newestAnswered = cseq;
          phone.registeredAt = how.leaves ? undefined : ++this.#count;
          phone.until = until;
        }
        if (transaction.finals.length > 1) this.wrong.push('a REGISTER answered twice');
      });
      void route(transaction, this.#node(node).deps);
    };
    send([]);
  }

  /** The PBX calls one phone (M) or a user (R); undefined when it does not know the phone. */
  invite(phone: Phone, node: number, seconds: number | undefined): RacingCall | undefined {
    const byContact = phone.plan.mode === 'M';
    const uri = byContact ? phone.sealed : `sip:${phone.aor}`;
    if (uri === undefined) return undefined;
    const id = `call${this.calls.length}`;
    const asked = request(
      'INVITE',
      uri,
      Headers.of([
        ['From', '<sip:bob@pbx.example>;tag=b'],
        ['To', `<${uri}>`],
        ['Call-ID', id],
        ['CSeq', '1 INVITE'],
        ['Max-Forwards', '70'],
        ['X-Call', id],
        ...(seconds === undefined ? [] : [['Expires', String(seconds)] as const]),
        ['Content-Type', 'application/sdp'],
      ]),
      'v=0\r\n',
    );
    const invite = new RacingInvite(asked, pbxFlow, this.clock, this.gates);
    const call: RacingCall = {
      id,
      invite,
      node,
      aor: phone.aor,
      phone: byContact ? phone : undefined,
      arrivedAt: ++this.#count,
      at: this.clock.now(),
      legs: [],
      pushes: [],
    };
    this.calls.push(call);
    void route(invite, this.#node(node).deps);
    return call;
  }

  /** A node is told to stop. */
  stop(node: number): void {
    this.#node(node).calls.drain();
  }

  /** Legs that have not ended, in the order they began. */
  get openLegs(): readonly RacingLeg[] {
    return this.calls.flatMap(({ legs }) => legs.map(({ leg }) => leg)).filter(({ ended }) => ended === undefined);
  }

  /** Moves on; whatever falls due is done and all that follows from it before anything later. */
  async move(ms: number): Promise<void> {
    const until = this.clock.now() + ms;
    for (let next = this.clock.next; next !== undefined && next <= until; next = this.clock.next) {
      this.clock.move(next - this.clock.now());
      await settled();
    }
    this.clock.move(until - this.clock.now());
    await settled();
  }

  // ---- what must be true ----

  /** With nothing under way: whoever has registered since a call came has been called, or at least pushed since. */
  judgeWakes(): void {
    if (this.gates.waiting > 0) return;
    for (const call of this.calls) {
      if (call.invite.finals.length > 0 || call.invite.over || this.#node(call.node).calls.draining) continue;
      for (const phone of this.phones) {
        const { registeredAt } = phone;
        if (phone.aor !== call.aor || (call.phone ?? phone) !== phone) continue;
        if (registeredAt === undefined || registeredAt < call.arrivedAt) continue;
        // a store that took longer than a binding lasts
        if (phone.until <= this.clock.now()) continue;
        // a REGISTER from before the call, stored or answered after it: nothing but a push leads to the phone, and its token is gone
        if (phone.isDead && phone.until - expires * 1000 < call.at) continue;
        const called = call.legs.some((one) => one.phone === phone);
        const pushed = call.pushes.some((one) => one.phone === phone && one.at > registeredAt);
        if (!called && !pushed) this.wrong.push(`${phone.name} has registered and does not get ${call.id}`);
      }
    }
  }

  /** Lets everything come to its end, and says what is left. */
  async end(): Promise<void> {
    this.gates.open();
    await settled();
    this.judgeWakes();
    if (this.#circumstances.impatient) await this.#hangUpAll();
    await this.move(ringMs + 4 * holdMs);
    for (const call of this.calls) {
      const { id, invite, legs, pushes } = call;
      if (invite.finals.length !== 1) this.wrong.push(`${id} got ${invite.finals.length} final answers`);
      const ends = this.log.lines.filter(({ message, fields }) => message === 'INVITE over' && fields.callId === id);
      if (ends.length > 1) this.wrong.push(`${id} was over ${ends.length} times`);
      if (ends.length === 0 && legs.length + pushes.length > 0) this.wrong.push(`${id} is held for ever`);
      const winner = invite.finals[0] === 200 ? 1 : 0;
      const answered = legs.filter(({ leg }) => leg.ended === 200);
      if (answered.some(({ leg }) => leg.acks !== 1)) this.wrong.push(`a 2xx for ${id} without exactly one ACK`);
      // who talks has hung up or not, as the steps had it
      const talking = answered.filter(({ leg }) => !leg.dialog.hungUp && leg.dialog.closed === 0).length;
      if (talking > winner) this.wrong.push(`${talking} phones talk in ${id}`);
      if (legs.some(({ leg }) => leg.ended === undefined)) this.wrong.push(`a leg of ${id} has not ended`);
    }
    for (const { invite } of this.calls) if (invite.dialog?.closed === 0) invite.dialog.bye();
    await this.move(2 * expires * 1000);
    for (const { invite, legs, id } of this.calls) {
      const dialogs = [invite.dialog, ...legs.filter(({ leg }) => leg.ended === 200).map(({ leg }) => leg.dialog)];
      if (dialogs.some((dialog) => dialog?.closed === 0)) this.wrong.push(`a dialog of ${id} was not closed`);
      this.wrong.push(...invite.wrong.map((what) => `${id}: ${what}`));
    }
    for (const node of this.nodes) await node.stop();
    await this.#judgeRemains();
    await this.#store.close();
  }

  /** When everybody has gone no timer is left but those of the edge itself: none that has just nothing to do when it runs out. */
  async #hangUpAll(): Promise<void> {
    for (const { invite } of this.calls) void invite.cancel();
    await settled();
    for (const leg of this.openLegs) {
      if (!leg.cancelled) this.wrong.push('a phone rings on after the CANCEL');
      leg.says('cancelled');
    }
    for (const { invite } of this.calls) if (invite.dialog?.closed === 0) invite.dialog.bye();
    await settled();
    const dead = this.calls.some(({ legs }) => legs.some(({ leg }) => leg.dialog.dead));
    if (dead || this.#registers > this.#registersAnswered || this.#circumstances.refreshPushes) return;
    const left = this.clock.waiting;
    if (left !== 0) this.wrong.push(`${left} timers left when everybody had gone`);
    if (this.pushes.running.some(({ asked }) => asked.class === 'call')) this.wrong.push('a push was not taken back');
  }

  async #judgeRemains(): Promise<void> {
    const left = {
      timers: this.clock.waiting,
      pushes: this.pushes.running.length,
      subscriptions: this.#bus.subscriptions,
      gates: this.gates.waiting,
      held: sum(this.nodes, ({ calls }) => calls.held),
      talking: sum(this.nodes, ({ calls }) => calls.talking),
      bridges: sum(this.nodes, ({ dialogs }) => dialogs.size),
      dialogsOfSubscriptions: sum(this.nodes, ({ subscriptions }) => subscriptions.size),
      tasks: (await this.#agenda.claim(Number.MAX_SAFE_INTEGER, 0, 1000)).length,
      unansweredRegisters: this.#registers - this.#registersAnswered,
      errors: this.log.lines.filter(({ level }) => level === 'error').length,
      bindings: 0,
    };
    for (const { aor } of this.phones)
      left.bindings += liveBindings((await this.#store.read(aor)).bindings, this.clock.now()).length;
    this.#ending = true;
    for (let look = 0; look < 1000 && (await this.#store.scan('', 1)).aors.length > 0; look++)
      await new Promise((resolve) => setTimeout(resolve, 1));
    if ((await this.#store.scan('', 1)).aors.length > 0) this.wrong.push('the store forgets nothing');
    for (const [what, count] of Object.entries(left)) if (count !== 0) this.wrong.push(`${count} ${what} left`);
  }

  #judgeLeg(leg: RacingLeg): void {
    const call = this.calls.find(({ id }) => id === leg.request.headers.get('X-Call'));
    const phone = this.phones.find(({ name }) => name === parseUri(leg.request.uri)?.user);
    if (call === undefined || phone === undefined)
      return void this.wrong.push(`an INVITE for nobody: ${leg.request.uri}`);
    const before = call.legs.filter((one) => one.phone === phone).map((one) => one.leg);
    call.legs.push({ leg, phone });
    this.#count++;
    const here = `${phone.name} in ${call.id}`;
    if (phone.aor !== call.aor || (call.phone ?? phone) !== phone) this.wrong.push(`${here}: not for this phone`);
    const hop = parseUri(leg.request.nextHop);
    if (hop?.host !== phone.address || !phone.ports.has(hop.port ?? 0)) this.wrong.push(`${here}: not its flow`);
    if (call.invite.over) this.wrong.push(`${here}: an INVITE after the end`);
    if (before.some(({ ended, cancelled }) => ended === undefined && !cancelled))
      this.wrong.push(`${here}: two INVITEs at once`);
    if (before.some(({ heard, refused }) => heard || refused))
      this.wrong.push(`${here}: a second INVITE to one that has had the call`);
  }

  #judgePush(asked: PushRequest): void {
    this.#count++;
    // where the store may take longer than a lease a push may come twice
    const twice = !this.#circumstances.slow && this.pushes.running.some((one) => one.asked.callId === asked.callId);
    if (asked.class === 'refresh' && twice) this.wrong.push(`${asked.callId}: two refresh pushes at once`);
    // refreshes, and requests in a dialog of a phone that was lost, are no calls
    if (asked.class !== 'call') return;
    const call = this.calls.find(({ id }) => id === asked.callId);
    const wanted = new Set(asked.tokens.map(({ token }) => token));
    const phone = this.phones.find(({ token }) => wanted.has(token) || wanted.has(Buffer.from(token).toString('hex')));
    if (call === undefined || phone === undefined) return void this.wrong.push(`a push for nobody: ${asked.callId}`);
    call.pushes.push({ phone, at: this.#count });
    const here = `${phone.name} in ${call.id}`;
    if (phone.aor !== call.aor || (call.phone ?? phone) !== phone)
      this.wrong.push(`${here}: a push for another's call`);
    if (call.invite.over) this.wrong.push(`${here}: a push after the end`);
    if (call.pushes.filter((one) => one.phone === phone).length > 2) this.wrong.push(`${here}: a third push`);
  }

  #noteDead(bindings: readonly Binding[]): void {
    for (const { target, push } of bindings) {
      const phone = this.phones.find(({ name }) => name === parseUri(target)?.user);
      if (phone !== undefined) phone.isDead = push?.deadSince !== undefined;
    }
  }

  // ---- how it is put together ----

  #node(index: number): Node {
    return this.nodes[index % this.nodes.length] as Node;
  }

  #assemble(index: number, store: LocationStore, circumstances: Circumstances): Node {
    const engine = `engine${index}`;
    const { clock, gates, log, telemetry } = this;
    const now = (): number => clock.now();
    const calls = new Calls({ maxHeld: 100, maxHeldPerDevice: circumstances.mostPerPhone }, now);
    const dialogs = new BridgedDialogs();
    const subscriptions = new Subscriptions(10);
    const legs = new RacingLegs(clock, gates, (leg) => this.#judgeLeg(leg));
    const bus = this.#bus.join();
    let random = index;
    const hex = (octets: number): string => (random += 2).toString(16).padStart(2 * octets, '0');
    const shared = {
      dialogs,
      heartbeat: { clock, everyMs: 60_000 },
      store,
      bus,
      log,
      telemetry,
      tokens: aTokenKeeper({ store, clock, log, telemetry }),
      rules: aRuleBook(),
      clock,
      calls,
      ids: { hex, uuid: () => hex(16) },
      mailbox: undefined,
      subscriptions,
      legs,
      client: this.#pbx(),
    };
    const keys = { contactKey: aKey(1), flowKey: aKey(2), gruuKey: aKey(3), purrKey: aKey(4), targetKey: aKey(5) };
    const secret = 'edge-secret';
    const refresh = circumstances.refreshPushes ? { leadSeconds: 120 } : undefined;
    const times = { holdMs, silentMs: 1500, ringMs };
    const pushDeadlineMs = 5000;
    const deps: RouteDeps = {
      classifier: { ...keys, domains: [aDomain('m.example', 'mid-registrar'), aDomain('r.example', 'registrar')] },
      authenticate: { store, secret, now, hex, used: new UsedNonces(nonceLifeMs) },
      register: {
        ...shared,
        ...keys,
        agenda: this.#agenda,
        edgeSecret: secret,
        tokenUsers: new TokenUsers(0),
        policy: {
          refresh,
          supports: () => 'app',
          providers: ['fcm', 'apns'],
          vapid: new Map(),
          unsupportedPush: 'accept',
          dialects: [],
          minExpires: 300,
          pushLeadSeconds: 120,
          slackSeconds: 30,
          defaultExpires: expires,
          maxExpires: expires,
          maxBindings: 10,
          wakeLapsedMs: 0,
          pushOverClear: 'accept',
          pnsreg: 130,
          upstreamTimeoutMs: 20_000,
        },
      },
      wake: {
        ...shared,
        keys,
        push: this.pushes,
        precise: now,
        awake: new AwakeFlows(),
        late: new LatePhones(clock, 1000, holdMs + pushDeadlineMs),
        policy: {
          ...times,
          ...{ latePhone: 'nothing', busy: 'device', decline: 'all', callUuid: true, keepsIdentities: false },
          ...{ requestHoldMs: 10_000, udpAwakeMs: 0, pushDeadlineMs, engineLives: (one: string) => one === engine },
        },
      },
      placeCall: { ...shared, times, keepsIdentities: false },
      standalone: { ...shared, keys, timeoutMs: 30_000 },
      subscribe: { ...shared, timeoutMs: 30_000 },
      regEvent: { ...shared, gruuKey: keys.gruuKey },
      store,
      now,
      log,
      telemetry,
      draining: () => calls.draining,
    };
    const stop =
      refresh === undefined
        ? () => Promise.resolve()
        : startRefreshPushes({
            ...shared,
            agenda: this.#agenda,
            push: this.pushes,
            policy: { ...refresh, perSecond: 100, perAppPerSecond: 50, pushDeadlineMs },
          });
    return { engine, calls, dialogs, subscriptions, legs, deps, stop };
  }

  /** The PBX as registrar: takes the Contact it is given, or does what the phone's step says. */
  #pbx(): Client {
    return {
      send: async (asked) => {
        await this.gates.pass();
        const answer = await this.#pbxAnswers(asked);
        await this.gates.pass();
        return answer;
      },
    };
  }

  async #pbxAnswers({ headers, timeoutMs }: ClientRequest): Promise<ClientAnswer> {
    const name = headers.get('Call-ID') ?? '';
    const word = this.#pbxSays.get(`${name} ${Number.parseInt(headers.get('CSeq') ?? '', 10)}`);
    if (word === 'silent') {
      await new Promise<void>((resolve) => this.clock.after(timeoutMs, resolve));
      return { response: response(408, 'Request Timeout', Headers.empty()), local: true };
    }
    if (word !== 200) return { response: response(403, 'Forbidden', Headers.empty()), local: false };
    const contact = headers.get('Contact') ?? '';
    const phone = this.phones.find((one) => one.name === name);
    const leaves = headers.get('Expires') === '0';
    if (phone !== undefined && !leaves) phone.sealed = parseNameAddr(contact)?.uri;
    const fields = leaves ? [] : ([['Contact', contact]] as const);
    return { response: response(200, 'OK', Headers.of(fields)), local: false };
  }
}

function aKey(fill: number): Buffer {
  return Buffer.alloc(32, fill);
}

function aDomain(name: string, registration: Registration): KnownDomain {
  const trusted = new BlockList();
  trusted.addAddress(pbxFlow.address, 'ipv4');
  const users = ['user0', 'user1', 'user2'].map((user) => [user, { md5: ha1(user, name, password, 'MD5') }] as const);
  return {
    domain: {
      name,
      registration,
      withoutPath: 'accept',
      requirePath: false,
      pbxWithoutPath: 'refuse',
      serviceRoute: false,
      upstream: 'sip:192.0.2.10:5060',
      edgeHost: '192.0.2.1:5060',
      realm: name,
      algorithms: ['MD5'],
      users: new Map(users),
    },
    trusted,
    proxies: new BlockList(),
    isUpstream: (address) => address === pbxFlow.address,
  };
}

function sum<T>(list: readonly T[], count: (one: T) => number): number {
  return list.reduce((total, one) => total + count(one), 0);
}
