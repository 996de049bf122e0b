import { describe, expect, it } from 'vitest';
import { memoryTokenOwners } from '../../../lib/adapters/memory/token-owners.ts';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import type { Binding } from '../../../lib/core/binding.ts';
import type { LocationStore } from '../../../lib/ports/location-store.ts';
import { TokenMover } from '../../../lib/tokens/owners.ts';
import { MovedClock } from '../../support/moved-clock.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';
import { aTokenKeeper } from '../../support/token-keeper.ts';

const now = Date.now();
const token = 'ab'.repeat(32);
const aBinding = (aor: string, registeredAt: number): Binding => ({
  ...{
    id: `id of ${aor}`,
    aor,
    contact: `<sip:${aor}>`,
    target: `sip:${aor}`,
    q: 1000,
    callId: aor,
    cseq: 1,
    path: [],
  },
  ...{ registeredAt, expiresAt: registeredAt + 3_600_000 },
  flow: { transport: 'tcp', address: '192.0.2.1', port: 5060, engine: 'e' },
  push: {
    ...{ provider: 'apns', providerAsSent: 'apns', environment: undefined, param: 'T.b.voip', app: 'ios' },
    ...{ wakesItself: false, tokens: [{ kind: 'voip', token }] },
  },
});

async function put(store: LocationStore, binding: Binding): Promise<void> {
  const { version } = await store.read(binding.aor);
  await store.swap(binding.aor, version, [binding], binding.expiresAt);
}

describe('a token under another address of record', () => {
  it('moves to the one that registered it last, back and forth, and the other keeps its binding', async () => {
    const store = openMemoryStore();
    const telemetry = new TelemetryRecorder();
    const log = new QuietLog();
    const mover = new TokenMover({ store, owners: memoryTokenOwners(), log, telemetry, tokenKey: Buffer.alloc(32) });
    const register = async (aor: string, at: number): Promise<void> => {
      const binding = aBinding(aor, at);
      await put(store, binding);
      await mover.registered([binding], []);
    };
    const state = async () =>
      Promise.all(
        ['anna@x', 'berta@x'].map(async (aor) => {
          const [binding] = (await store.read(aor)).bindings;
          return binding === undefined ? 'none' : binding.push?.deadSince === undefined ? 'wakeable' : 'not wakeable';
        }),
      );
    await register('anna@x', now);
    expect(await state()).toEqual(['wakeable', 'none']);
    await register('berta@x', now + 10);
    expect(await state()).toEqual(['not wakeable', 'wakeable']);
    await register('anna@x', now + 20);
    expect(await state()).toEqual(['wakeable', 'not wakeable']);
  });
});

describe('the keeper', () => {
  it('knows a dead token at every binding that has it, until a REGISTER brings it again', async () => {
    const store = openMemoryStore();
    const clock = new MovedClock(now);
    const keeper = aTokenKeeper({ store, clock, log: new QuietLog(), telemetry: new TelemetryRecorder() });
    const binding = aBinding('anna@x', now);
    await put(store, binding);
    const pushed = { binding, token, at: now + 1000, occasion: 'call' };
    await keeper.heard(pushed, { is: 'token-dead', token, reason: 'Unregistered', since: now + 500 });
    expect((await store.read('anna@x')).bindings[0]?.push?.deadSince).toBe(now + 500);
    expect(keeper.isKnownDead('apns', token, now)).toBe(true);
    expect(keeper.isKnownDead('apns', token, now + 2000)).toBe(false);
    expect(keeper.isKnownDead('fcm', token, now)).toBe(false);
  });

  it('survives a store that does not answer, and does not push the dead token again', async () => {
    const store = openMemoryStore();
    const binding = aBinding('anna@x', now);
    const log = new QuietLog();
    const keeper = aTokenKeeper({ store, clock: new MovedClock(now), log, telemetry: new TelemetryRecorder() });
    await store.close();
    await keeper.heard({ binding, token, at: now + 1, occasion: 'x' }, { is: 'token-dead', token, reason: 'gone' });
    await keeper.unanswered({ binding, token, at: now + 1, occasion: 'x' }, true);
    expect(keeper.isKnownDead('apns', token, now)).toBe(true);
  });
});
