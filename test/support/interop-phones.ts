/**
 * What the suites of foreign phones share: the demo's PBX, an edge before it, and phones that end with their test. One edge serves
 * all transports, so users have a name of their own on each.
 */
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { OutgoingCall } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Pbx } from '../../apps/demo/pbx.ts';
import type { Remote, WireTransport } from '../../apps/demo/wire.ts';
import { onDrachtio } from './edge.ts';
import type { Program } from './foreign-program.ts';
import { foreign, foreignDomain, World } from './interop-world.ts';

export interface ForeignPhone {
  readonly program: Program;
  /** INVITEs without a To tag that reached it */
  readonly invites: number;
  registered(): Promise<void>;
  stop(): Promise<unknown>;
}

/** What every kind of phone is told. */
export interface PhoneFacts {
  readonly user: string;
  readonly password: string;
  readonly domain: string;
  readonly address: string;
  readonly edge: Remote;
  /** `pn-provider=...;...`; none: a plain phone */
  readonly pushParameters?: string;
  readonly dir: string;
}

/** Phones of one kind over one transport. */
export interface ForeignPhones<P, More> {
  readonly world: World;
  readonly pbx: Pbx;
  /** the user as edge and PBX know him */
  named(user: string): string;
  /** Starts a phone that can be pushed at this token. */
  start(user: string, token?: string, more?: Partial<PhoneFacts & More>): Promise<P>;
  /** Registers and is killed; a push for this token starts it again. */
  asleep(
    user: string,
    token: string,
    more?: Partial<PhoneFacts & More>,
  ): Promise<{ readonly first: P; readonly woken: Promise<P> }>;
  /** The PBX calls a user. */
  call(user: string): OutgoingCall;
}

/** Opened before the first test of the file and closed after the last, unless the phone is missing: `why`. */
export function foreignPhones<P extends ForeignPhone, More = object>(
  why: string | undefined,
  make: (facts: PhoneFacts & Partial<More>) => P | Promise<P>,
): (transport: WireTransport) => ForeignPhones<P, More> {
  const users: Record<string, string> = {};
  const running: P[] = [];
  let world: World;
  let pbx: Pbx;
  beforeAll(async () => {
    if (why !== undefined) return;
    pbx = await Pbx.open({ transport: 'udp', address: foreign.pbx, domain: foreignDomain, users });
    world = await World.open({
      upstream: `sip:${foreign.pbx}:${pbx.ua.local.port};transport=udp`,
      // the TLS certificate of a drachtio-server is its owner's
      everywhere: !onDrachtio,
      // a phone that runs answers on its UDP flow; a killed one does not, and is pushed after the silence
      wake: { udp_flow_awake_ms: 60_000, silent_flow_ms: 500 },
    });
    world.atEnd(() => pbx.close());
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((phone) => phone.stop()));
  });
  afterAll(() => world?.close());

  return (transport) => {
    const named = (name: string): string => `${name}-${transport}`;
    const start = async (name: string, token?: string, more: Partial<PhoneFacts & More> = {}): Promise<P> => {
      const user = named(name);
      const facts: PhoneFacts = {
        user,
        password: (users[user] ??= world.password()),
        domain: foreignDomain,
        address: foreign.phones,
        edge: world.place(transport),
        ...(token === undefined ? {} : { pushParameters: world.pushParams(token) }),
        dir: world.dir,
      };
      const phone = await make({ ...facts, ...more });
      running.push(phone);
      return phone;
    };
    return {
      get world() {
        return world;
      },
      get pbx() {
        return pbx;
      },
      named,
      start,
      async asleep(user, token, more) {
        const first = await start(user, token, more);
        await first.registered();
        await first.program.kill();
        const woken = new Promise<P>((done) => {
          world.onPush(token, () => done(start(user, token, more)));
        });
        return { first, woken };
      },
      call: (user) => pbx.call(named(user), { body: sessionDescription(foreign.pbx, 46_000) }),
    };
  };
}
