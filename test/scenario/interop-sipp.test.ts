/**
 * SIPp as phone and as PBX, over UDP and TCP. Its scenarios take no message that is not written down, so a doubled, missing or
 * reordered one fails them. The phone wakes as a real one does: a push starts a new process that registers and can be called.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../apps/demo/edge-process.ts';
import { foreign, foreignDomain, World } from '../support/interop-world.ts';
import { needs, titled } from '../support/needs.ts';
import { Sipp } from '../support/sipp.ts';

const why = needs('sipp');

describe.skipIf(why !== undefined).each([
  ['udp', 'udp'],
  ['udp', 'tcp'],
  ['tcp', 'udp'],
] as const)(titled('SIPp, phone on %s and PBX on %s', why), (phoneTransport, pbxTransport) => {
  let world: World;
  let registrar: Sipp;
  let phones: Sipp[] = [];

  beforeAll(async () => {
    const port = await freePort(foreign.pbx);
    world = await World.open({ upstream: `sip:${foreign.pbx}:${port};transport=${pbxTransport}` });
    const place = { address: foreign.pbx, port, transport: pbxTransport, dir: world.dir } as const;
    const password = world.password();
    registrar = new Sipp({
      ...place,
      scenario: 'registrar',
      calls: 0,
      timeoutSeconds: 300,
      keys: { domain: foreignDomain, password },
    });
    world.atEnd(() => registrar.stop());
    register = (phone, options) =>
      sipp({
        phone,
        scenario: 'phone-registers',
        keys: { password, ...phone.keys },
        transport: phoneTransport,
        ...options,
      });
  });
  afterEach(async () => {
    await Promise.all(phones.map((one) => one.stop()));
    phones = [];
  });
  afterAll(() => world.close());

  interface FakePhone {
    readonly token: string;
    readonly keys: Readonly<Record<string, string>>;
  }
  interface Run {
    readonly whenCalled?: string;
    readonly calls?: number;
    readonly stays?: boolean;
  }
  let register: (phone: FakePhone, options?: Run) => Promise<Sipp>;

  async function sipp({
    phone,
    stays = false,
    ...rest
  }: Run & {
    readonly phone: FakePhone;
    readonly scenario: string;
    readonly keys: Readonly<Record<string, string>>;
    readonly transport: 'udp' | 'tcp';
  }): Promise<Sipp> {
    const run = new Sipp({
      address: foreign.phones,
      port: await freePort(foreign.phones),
      to: world.edge.at(rest.transport),
      dir: world.dir,
      pauseMs: stays ? 60_000 : 0,
      ...rest,
    });
    phones.push(run);
    return run;
  }

  /** A phone that has registered and sleeps: its process has ended. And the Contact the PBX was given. */
  async function sleeper(user: string): Promise<FakePhone & { readonly contact: string }> {
    const token = world.token();
    const keys = { domain: foreignDomain, user, instance: `urn:uuid:${randomUUID()}`, pn: world.pushParams(token) };
    const before = registrar.said.length;
    const first = await register({ token, keys });
    expect(await first.verdict()).toBe('as it should be');
    const contact = registrar.said[before]?.replace('registered ', '') ?? '';
    expect(contact).toMatch(/^sip:/);
    return { token, keys, contact };
  }

  /** Its next push starts this phone anew; what it started. */
  function wakes(phone: FakePhone, options: Run): Promise<Sipp> {
    return new Promise((done) => {
      world.onPush(phone.token, () => done(register(phone, { stays: true, ...options })));
    });
  }

  async function caller(scenario: string, phone: FakePhone & { readonly contact: string }): Promise<Sipp> {
    return new Sipp({
      scenario,
      address: foreign.pbx,
      port: await freePort(foreign.pbx),
      transport: pbxTransport,
      to: world.edge.at(pbxTransport),
      dir: world.dir,
      keys: { domain: foreignDomain, user: phone.keys['user'] ?? '', target: phone.contact },
    });
  }

  const invites = (phone: Sipp): number => phone.messages.filter((line) => line.startsWith('< INVITE ')).length;

  it('[PN-PROXY-02] [PN-PROXY-06] wakes the phone, rings it once, and the caller hangs up', async () => {
    const phone = await sleeper('anna');
    const waking = wakes(phone, { whenCalled: 'phone-answers' });
    const call = await caller('caller-hangs-up', phone);
    expect(await call.verdict()).toBe('as it should be');
    const woken = await waking;
    await woken.hears('call over');
    expect(woken.errors).toBe('');
    expect(invites(woken)).toBe(1);
    expect(world.pushesFor(phone.token)).toBe(1);
  });

  it('[PN-PROXY-06] lets the phone hang up', async () => {
    const phone = await sleeper('bert');
    const waking = wakes(phone, { whenCalled: 'phone-hangs-up' });
    const call = await caller('caller-is-hung-up-on', phone);
    expect(await call.verdict()).toBe('as it should be');
    const woken = await waking;
    await woken.hears('call over');
    expect(woken.errors).toBe('');
  });

  it('sends exactly one INVITE to a phone that wakes with five REGISTERs of five Call-IDs', async () => {
    const phone = await sleeper('carl');
    const waking = wakes(phone, { whenCalled: 'phone-answers', calls: 5 });
    const call = await caller('caller-hangs-up', phone);
    expect(await call.verdict()).toBe('as it should be');
    const woken = await waking;
    await woken.hears('call over');
    await woken.hears('registered', 5);
    expect(woken.errors).toBe('');
    expect(invites(woken)).toBe(1);
  });

  it('[PN-PROXY-17] answers 487 when the caller gives up while the phone still sleeps', async () => {
    const phone = await sleeper('dora');
    const call = await caller('caller-gives-up-on-hold', phone);
    expect(await call.verdict()).toBe('as it should be');
    expect(world.pushesFor(phone.token)).toBe(1);
    // it comes late: registered, but not rung
    const late = await register(phone, { whenCalled: 'phone-answers' });
    expect(await late.verdict()).toBe('as it should be');
    expect(invites(late)).toBe(0);
  });

  it('answers 487 and cancels the phone when the caller gives up while it rings', async () => {
    const phone = await sleeper('emil');
    const waking = wakes(phone, { whenCalled: 'phone-is-cancelled' });
    const call = await caller('caller-gives-up-ringing', phone);
    expect(await call.verdict()).toBe('as it should be');
    const woken = await waking;
    await woken.hears('call over');
    expect(woken.errors).toBe('');
    expect(woken.messages.filter((line) => line.startsWith('< CANCEL '))).toHaveLength(1);
  });

  it('passes on that the phone is busy', async () => {
    const phone = await sleeper('fred');
    const waking = wakes(phone, { whenCalled: 'phone-is-busy' });
    const call = await caller('caller-finds-busy', phone);
    expect(await call.verdict()).toBe('as it should be');
    const woken = await waking;
    await woken.hears('call over');
    expect(woken.errors).toBe('');
  });
});
