/** The keeper of registrations with a clock that is moved: rates, nodes, fencing, keys. The PBX is a function that answers. */
import { describe, expect, it } from 'vitest';
import { memoryAgenda } from '../../../lib/adapters/memory/agenda.ts';
import { memoryRecords } from '../../../lib/adapters/memory/records.ts';
import { type Account, Accounts } from '../../../lib/behalf/accounts.ts';
import type { Kept } from '../../../lib/behalf/kept.ts';
import { Registrations, type RegistrationsDeps } from '../../../lib/behalf/registrations.ts';
import { sealingKey } from '../../../lib/core/sealed-secret.ts';
import type { ClientAnswer, ClientRequest } from '../../../lib/ports/client.ts';
import type { Records } from '../../../lib/ports/records.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { response } from '../../../lib/sip/message.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

const password = 'open sesame';
const sip = (status: number, headers: readonly (readonly [string, string])[] = []): ClientAnswer => ({
  response: response(status, 'said', Headers.of(headers)),
  local: false,
});
const nobody: ClientAnswer = { response: response(408, 'said', Headers.empty()), local: true };

interface Sent {
  readonly at: number;
  readonly aor: string;
  readonly cseq: number;
  readonly callId: string;
  readonly contact: string;
  readonly expires: number;
  readonly node: string;
}

/** One store, one PBX, and as many nodes as are started. */
class World {
  readonly clock = new MovedClock(1_000_000_000);
  readonly records: Records = memoryRecords();
  readonly agenda = memoryAgenda();
  /** how often any node has asked it */
  claims = 0;
  readonly log = new QuietLog();
  readonly sent: Sent[] = [];
  pbx: (sent: Sent) => ClientAnswer | Promise<ClientAnswer> = ({ expires }) => sip(200, [['Expires', String(expires)]]);
  keys = [sealingKey(Buffer.alloc(32, 1))];
  #serial = 0;

  node(name: string, configured: readonly Account[] = [], policy: Partial<RegistrationsDeps['policy']> = {}) {
    const ids = {
      hex: (octets: number) => (++this.#serial).toString(16).padStart(2 * octets, '0'),
      uuid: () => `uuid-${++this.#serial}`,
    };
    const accounts = new Accounts({
      records: this.records,
      ids,
      log: this.log,
      configured: new Map(configured.map((each) => [each.aor, each])),
      keys: this.keys,
      secret: 'secret',
    });
    const registrations = new Registrations({
      accounts,
      records: this.records,
      agenda: {
        ...this.agenda,
        claim: (now, until, limit) => {
          this.claims += 1;
          return this.agenda.claim(now, until, limit);
        },
      },
      client: { send: (request) => this.#send(request, name) },
      clock: this.clock,
      precise: () => this.clock.now(),
      ids,
      log: this.log,
      telemetry: new TelemetryRecorder(),
      chance: () => (++this.#serial % 100) / 100,
      contactKey: Buffer.alloc(32, 7),
      node: name,
      wayOf: () => ({ nextHop: 'sip:192.0.2.9:5060', edgeHost: `${name}.example.com:5060` }),
      policy: {
        expires: 3600,
        refreshLeadSeconds: 300,
        refreshSpread: 0.1,
        retrySeconds: 60,
        retrySpread: 0.5,
        maxRetries: 0,
        forbiddenRetrySeconds: 0,
        fatalRetrySeconds: 0,
        authRejectionPermanent: true,
        perSecond: 50,
        answerMs: 20_000,
        renewAfterOutage: true,
        deregisterOnStop: false,
        ...policy,
      },
    });
    return { accounts, registrations };
  }

  async #send({ headers }: ClientRequest, node: string): Promise<ClientAnswer> {
    const one: Sent = {
      at: this.clock.now(),
      aor: /sip:([^>]*)>/.exec(headers.get('To') ?? '')?.[1] ?? '',
      cseq: Number.parseInt(headers.get('CSeq') ?? '', 10),
      callId: headers.get('Call-ID') ?? '',
      contact: headers.get('Contact') ?? '',
      expires: Number(headers.get('Expires')),
      node,
    };
    this.sent.push(one);
    return this.pbx(one);
  }

  /** Second by second, with everything that follows in between. */
  async pass(seconds: number, stepMs = 100): Promise<void> {
    for (let at = 0; at < (seconds * 1000) / stepMs; at++) {
      this.clock.move(stepMs);
      await settled();
    }
  }

  async kept(aor: string): Promise<Kept['one'] | undefined> {
    const record = await this.records.read('registration', aor);
    return record === undefined ? undefined : (JSON.parse(record.value) as Kept).one;
  }

  async states(): Promise<Readonly<Record<string, number>>> {
    const found: Record<string, number> = {};
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page: Awaited<ReturnType<Records['scan']>> = await this.records.scan('registration', cursor, 1000);
      for (const { value } of page.records) {
        const { state } = (JSON.parse(value) as Kept).one;
        found[state] = (found[state] ?? 0) + 1;
      }
      cursor = page.next;
    }
    return found;
  }
}

/** Everything that was started without waiting for time has ended. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function anAccount(name: string, text = password): Account {
  return {
    aor: `${name}@example.com`,
    user: name,
    registrar: 'example.com',
    authUser: name,
    ownPhonePassword: false,
    source: 'config',
    open: () => ({ is: 'open', password: text, phonePassword: text }),
  };
}

const many = (count: number): readonly Account[] => Array.from({ length: count }, (_, at) => anAccount(`user${at}`));

/** The most that were sent in any second. */
function busiest(sent: readonly Sent[]): number {
  const seconds = new Map<number, number>();
  for (const { at } of sent) seconds.set(Math.floor(at / 1000), (seconds.get(Math.floor(at / 1000)) ?? 0) + 1);
  return Math.max(0, ...seconds.values());
}

describe('rates', () => {
  it('10,000 accounts of a PBX that was restarted are back at the configured rate, and no sooner', async () => {
    const world = new World();
    const { registrations } = world.node('one', many(10_000), { perSecond: 200, expires: 600 });
    registrations.start();
    await world.pass(52, 500);
    expect(await world.states()).toEqual({ registered: 10_000 });
    expect(busiest(world.sent)).toBeLessThanOrEqual(200);

    // silence, until the first refreshes have failed
    world.pbx = () => nobody;
    await world.pass(205, 500);
    const failed = (await world.states())['rejected'] ?? 0;
    expect(failed).toBeGreaterThan(0);
    world.sent.length = 0;
    const registered = new Set<string>();
    world.pbx = ({ aor, expires }) => {
      registered.add(aor);
      return sip(200, [['Expires', String(expires)]]);
    };
    await world.pass(60, 500);
    expect(registered.size).toBe(10_000);
    expect(await world.states()).toEqual({ registered: 10_000 });
    expect(busiest(world.sent)).toBeLessThanOrEqual(200);
    await registrations.stop();
  }, 120_000);
});

describe('several nodes', () => {
  it('each account is registered by one of them, again and again by the same', async () => {
    const world = new World();
    const accounts = many(100);
    const short = { expires: 300, refreshLeadSeconds: 150 };
    const nodes = ['one', 'two', 'three'].map((name) => world.node(name, accounts, short));
    for (const { registrations } of nodes) {
      registrations.start();
      await world.pass(0.3);
    }
    await world.pass(20);
    expect(world.sent).toHaveLength(100);
    await world.pass(320);
    const owners = new Map<string, Set<string>>();
    for (const { aor, node } of world.sent) owners.set(aor, (owners.get(aor) ?? new Set()).add(node));
    expect(world.sent.length).toBeGreaterThanOrEqual(200);
    expect([...owners.values()].every((names) => names.size === 1)).toBe(true);
    for (const aor of owners.keys()) {
      const mine = world.sent.filter((each) => each.aor === aor);
      expect(new Set(mine.map(({ callId }) => callId)).size).toBe(1);
      expect(new Set(mine.map(({ contact }) => contact.replace(/;expires=\d+/, ''))).size).toBe(1);
      expect(mine.every(({ cseq }, at) => at === 0 || cseq > (mine[at - 1]?.cseq ?? 0))).toBe(true);
    }
    for (const { registrations } of nodes) await registrations.stop();
  }, 60_000);

  it('what a node that died has registered another one takes over within a minute, and takes its Contact back', async () => {
    const world = new World();
    const accounts = many(40);
    const first = world.node('one', accounts);
    first.registrations.start();
    await world.pass(5);
    expect(world.sent).toHaveLength(40);
    // it dies without a word: nothing of it runs any more
    const second = world.node('two', accounts);
    const died = first.registrations.stop();
    world.clock.move(3000);
    await died;
    await world.records
      .read('node', 'one')
      .then((record) => world.records.swap('node', 'one', record?.version ?? 0, '0'));
    second.registrations.start();
    await world.pass(20);
    const taken = world.sent.slice(40);
    expect(taken).toHaveLength(40);
    for (const { node, contact } of taken) {
      expect(node).toBe('two');
      expect(contact).toMatch(/@two\.example\.com:5060>;expires=3600, <sip:[^>]*@one\.example\.com:5060>;expires=0$/);
    }
    await second.registrations.stop();
  });

  it('a node that slept over its lease sends nothing more and writes nothing over what another has done', async () => {
    const world = new World();
    const [account] = many(1);
    if (account === undefined) throw new Error('no account');
    const slow = world.node('slow', [account]);
    let answer = (_: ClientAnswer): void => undefined;
    world.pbx = () => new Promise<ClientAnswer>((resolve) => (answer = resolve));
    slow.registrations.start();
    await world.pass(3);
    expect(world.sent).toHaveLength(1);
    const challenge = sip(401, [['WWW-Authenticate', 'Digest realm="pbx", nonce="n1"']]);
    const late = answer;
    // it stands still, its lease ends, another one registers
    const still = slow.registrations.stop();
    world.pbx = () => sip(200, [['Expires', '3600']]);
    const quick = world.node('quick', [account]);
    quick.registrations.start();
    await world.pass(80);
    expect(world.sent.filter(({ node }) => node === 'quick').length).toBeGreaterThan(0);
    const before = await world.kept(account.aor);
    const count = world.sent.length;
    // now the first answer comes: it would make the slow one try again with credentials
    late(challenge);
    await settled();
    expect(world.sent).toHaveLength(count);
    expect(await world.kept(account.aor)).toEqual(before);
    expect(before).toMatchObject({ state: 'registered' });
    await still;
    await quick.registrations.stop();
  });
});

describe('accounts', () => {
  it('a changed password is tried at once, the same one after a restart is not before its time', async () => {
    const world = new World();
    world.pbx = () => sip(403);
    const first = world.node('one', [anAccount('alice', 'old')]);
    first.registrations.start();
    await world.pass(3);
    expect(await world.kept('alice@example.com')).toMatchObject({ state: 'rejected', failure: { status: 403 } });
    const stopped = first.registrations.stop();
    world.clock.move(3000);
    await stopped;
    world.pbx = () => sip(200);
    const second = world.node('two', [anAccount('alice', 'new')]);
    second.registrations.start();
    await world.pass(3);
    expect(await world.kept('alice@example.com')).toMatchObject({ state: 'registered' });
    const count = world.sent.length;
    const again = second.registrations.stop();
    world.clock.move(3000);
    await again;
    world.node('two', [anAccount('alice', 'new')]).registrations.start();
    await world.pass(30);
    expect(world.sent).toHaveLength(count);
  });

  it('passwords lie sealed in the store, and a key can be changed', async () => {
    const world = new World();
    const [old, young] = [sealingKey(Buffer.alloc(32, 1)), sealingKey(Buffer.alloc(32, 2))];
    const aor = 'alice@example.com';
    const { accounts } = world.node('one');
    const plain = { user: 'alice', authUser: 'alice', registrar: 'example.com' };
    await accounts.put(aor, { ...plain, password, phonePassword: 'phone' }, 'new');
    const text = async () => (await world.records.read('account', aor))?.value ?? '';
    expect(await text()).not.toContain(password);
    expect(await text()).toContain(`sealed.${old.name}.`);

    // without the old key
    world.keys = [young];
    const locked = world.node('two');
    expect((await locked.accounts.read(aor))?.open()).toMatchObject({
      is: 'locked',
      why: expect.stringContaining(`sealed with key ${old.name}, this edge has ${young.name}`) as string,
    });
    locked.registrations.start();
    await world.pass(3);
    expect(await world.kept(aor)).toMatchObject({
      state: 'rejected',
      failure: { reason: expect.stringContaining('sealed with key') },
    });
    expect(world.sent).toHaveLength(0);
    const stopped = locked.registrations.stop();
    world.clock.move(3000);
    await stopped;

    // with both: sealed anew, and the old one is not needed any more
    world.keys = [young, old];
    const both = world.node('three');
    both.registrations.start();
    await world.pass(3);
    expect(await text()).toContain(`sealed.${young.name}.`);
    expect(await text()).not.toContain(`sealed.${old.name}.`);
    expect(await world.kept(aor)).toMatchObject({ state: 'registered' });
    world.keys = [young];
    expect((await world.node('four').accounts.read(aor))?.open()).toEqual({
      is: 'open',
      password,
      phonePassword: 'phone',
    });
  });

  it('without a key nothing can be provisioned, and it says which one is missing', async () => {
    const world = new World();
    world.keys = [];
    const plain = { user: 'a', authUser: 'a', registrar: 'b', password };
    expect(await world.node('one').accounts.put('a@b', plain, 'new')).toMatchObject({
      why: expect.stringContaining('store.secret_key') as string,
    });
  });

  it('a stop by policy takes back what this node has registered, and the next start registers it again', async () => {
    const world = new World();
    const { registrations } = world.node('one', many(3), { deregisterOnStop: true });
    registrations.start();
    await world.pass(3);
    const stopped = registrations.stop();
    await settled();
    world.clock.move(3000);
    await stopped;
    expect(world.sent.slice(3).map(({ expires }) => expires)).toEqual([0, 0, 0]);
    world.node('one', many(3)).registrations.start();
    await world.pass(3);
    expect(await world.states()).toEqual({ registered: 3 });
  });
});

describe('accounts that are gone', () => {
  const removals = (world: World): Sent[] => world.sent.filter(({ expires }) => expires === 0);
  const nothingLeft = async (world: World): Promise<void> => {
    expect(await world.states()).toEqual({});
    const sent = world.sent.length;
    await world.pass(4000, 1000);
    expect(world.sent).toHaveLength(sent);
  };

  it('one that was provisioned is taken back when it is removed, and tried again while the PBX is silent', async () => {
    const world = new World();
    const { accounts, registrations } = world.node('one');
    registrations.start();
    await world.pass(1);
    await accounts.put('a@example.com', { user: 'a', authUser: 'a', registrar: 'example.com', password }, 'new');
    await registrations.changed('a@example.com');
    await world.pass(3);
    const account = await accounts.read('a@example.com');
    world.pbx = () => nobody;
    await accounts.remove('a@example.com');
    expect(await registrations.remove(account as Account)).toBe('ending');
    await world.pass(100);
    expect(removals(world)).toHaveLength(2);
    expect(await world.states()).toEqual({ stopped: 1 });
    world.pbx = () => sip(200);
    await world.pass(100);
    expect(removals(world)).toHaveLength(3);
    expect(new Set(world.sent.map(({ callId }) => callId)).size).toBe(1);
    await nothingLeft(world);
  });

  it.each([
    ['with the kept password', [sealingKey(Buffer.alloc(32, 1))], 1],
    ['by itself where no key keeps it', [], 0],
  ])('a start without an account of the config ends its registration %s', async (_, keys, count) => {
    const world = new World();
    world.keys = [...keys];
    const first = world.node('one', many(2));
    first.registrations.start();
    await world.pass(3);
    const stopped = first.registrations.stop();
    world.clock.move(3000);
    await stopped;
    const asked: string[] = [];
    world.pbx = ({ aor }) => {
      asked.push(aor);
      return sip(200);
    };
    world.node('two', [anAccount('user0')]).registrations.start();
    await world.pass(5);
    expect(removals(world).map(({ aor }) => aor)).toEqual(Array(count).fill('user1@example.com'));
    expect(await world.states()).toEqual({ registered: 1 });
  });

  it('the password it was registered with answers the challenge, not the one of now', async () => {
    const world = new World();
    const first = world.node('one', [anAccount('a', 'the old one')]);
    first.registrations.start();
    await world.pass(3);
    const record = await world.records.read('registration', 'a@example.com');
    expect(record?.value).not.toContain('the old one');
    const kept = JSON.parse(record?.value ?? '') as Kept;
    expect(first.accounts.former('a@example.com', kept)?.open()).toMatchObject({ is: 'open', password: 'the old one' });
    expect(first.accounts.former('b@example.com', kept)?.open()).toMatchObject({ is: 'locked' });
  });

  it('what a config has no more when it is read again is taken back, at the rate, also without a key', async () => {
    const world = new World();
    world.keys = [];
    const { registrations } = world.node('one', many(100), { perSecond: 10 });
    registrations.start();
    await world.pass(15);
    world.sent.length = 0;
    const left = new Map(many(50).map((each) => [each.aor, each]));
    await registrations.reconfigure(new Map([...left, ['new@example.com', anAccount('new')]]));
    await world.pass(0.5);
    expect((await world.states())['registered']).toBeGreaterThanOrEqual(50);
    expect((await registrations.count()).stopped).toBeGreaterThan(40);
    await world.pass(10);
    expect(removals(world)).toHaveLength(50);
    expect(busiest(world.sent)).toBeLessThanOrEqual(10);
    expect(await world.states()).toEqual({ registered: 51 });
    expect(world.sent.filter(({ expires }) => expires > 0).map(({ aor }) => aor)).toEqual(['new@example.com']);
  });

  it('one that comes back while it is taken back is registered', async () => {
    const world = new World();
    const { registrations } = world.node('one', many(1));
    registrations.start();
    await world.pass(3);
    world.pbx = () => nobody;
    await registrations.reconfigure(new Map());
    await world.pass(5);
    expect(await world.states()).toEqual({ stopped: 1 });
    world.pbx = ({ expires }) => sip(200, [['Expires', String(expires)]]);
    await registrations.reconfigure(new Map(many(1).map((each) => [each.aor, each])));
    await world.pass(3);
    expect(await world.states()).toEqual({ registered: 1 });
    expect(JSON.parse((await world.records.read('registration', 'user0@example.com'))?.value ?? '')).not.toHaveProperty(
      'leaving',
    );
  });

  it('while a node with the older config lives, it keeps what it has; when it stops, the other one takes it back', async () => {
    const world = new World();
    const old = world.node('old', many(1), { expires: 120, refreshLeadSeconds: 60 });
    old.registrations.start();
    await world.pass(3);
    const young = world.node('young', []);
    young.registrations.start();
    await world.pass(200);
    expect(removals(world)).toHaveLength(0);
    expect(await world.states()).toEqual({ registered: 1 });
    const stopped = old.registrations.stop();
    await settled();
    world.clock.move(3000);
    await stopped;
    await world.pass(120);
    expect(removals(world)).toMatchObject([{ node: 'young' }]);
    await nothingLeft(world);
  });

  it('what a node died over is taken back by another, with a higher CSeq', async () => {
    const world = new World();
    const first = world.node('one', many(1));
    first.registrations.start();
    await world.pass(3);
    world.pbx = () => new Promise(() => undefined);
    await first.registrations.reconfigure(new Map());
    await world.pass(3);
    const dead = first.registrations.stop();
    await settled();
    world.clock.move(3000);
    await dead;
    world.pbx = () => sip(200);
    world.node('two').registrations.start();
    await world.pass(120);
    expect(removals(world).map(({ node }) => node)).toEqual(['one', 'two']);
    expect(removals(world)[1]?.cseq).toBeGreaterThan(removals(world)[0]?.cseq ?? 0);
    await nothingLeft(world);
  });
});

it('nobody asks for work as long as there is no account; what is provisioned at one node is known at the others', async () => {
  const world = new World();
  const [one, two] = [world.node('one'), world.node('two')];
  one.registrations.start();
  two.registrations.start();
  await world.pass(2);
  world.claims = 0;
  await world.pass(60);
  expect(world.claims).toBe(0);
  const aor = 'alice@example.com';
  await one.accounts.put(aor, { user: 'alice', registrar: 'example.com', authUser: 'alice', password }, 'new');
  await one.registrations.changed(aor);
  await world.pass(2);
  expect(world.sent).toHaveLength(1);
  // the other one has heard of it by now: it does what is due when the first is gone
  await world.pass(12);
  world.claims = 0;
  await world.pass(10);
  expect(world.claims).toBeGreaterThanOrEqual(18);
  // until it is taken back
  const account = await one.accounts.read(aor);
  await one.accounts.remove(aor);
  if (account !== undefined) expect(await one.registrations.remove(account)).toBe('ended');
  await world.pass(25);
  world.claims = 0;
  await world.pass(10);
  expect(world.claims).toBe(0);
  await Promise.all([one.registrations.stop(), two.registrations.stop()]);
});
