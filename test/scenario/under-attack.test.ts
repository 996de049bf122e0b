/** The built edge with everybody at its doors: phones register and are woken meanwhile, memory and log stay small, all is counted. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { onDrachtio, places } from '../support/edge.ts';
import {
  type Attack,
  controlBeginnings,
  flood,
  holdOpen,
  httpBeginnings,
  controlSocketOf,
  rssOf,
  sipBeginnings,
} from '../support/attackers.ts';
import { titled } from '../support/needs.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

/** On a machine that also runs the attackers and has other things to do; a timer F would be 32 s. */
const soonMs = 20_000;
/** A young heap, buffers of sockets, connections that are held open; a leak of the flood would be thousands. */
const growthMib = 300;

const why = onDrachtio ? 'the doors that are attacked are those of the embedded engine' : undefined;
const refusals = 'reveille_refusals_total{reason="no-such-domain"}';

let bed: Bed;
const attacks: Attack[] = [];

beforeAll(async () => {
  if (why !== undefined) return;
  bed = await Bed.open({ config: { log: { level: 'info' } }, holdSeconds: 30 });
});

afterAll(async () => {
  await Promise.all(attacks.map((attack) => attack.stop()));
  if (why === undefined) await bed.close();
});

async function wokenCall(user: string): Promise<number> {
  const phone = await bed.sleeper(user, { transport: 'udp' });
  bed.wakesOnPush(phone);
  const from = performance.now();
  const call = bed.pbx.call(user, { body: anOffer() });
  const answered = call.answer();
  const incoming = await phone.nextCall(soonMs);
  incoming.answer(sessionDescription(places.phones, 41_000));
  expect((await answered).status).toBe(200);
  await incoming.transaction.ack();
  const took = performance.now() - from;
  expect((await call.dialog?.bye())?.status).toBe(200);
  expect(phone.invites).toHaveLength(1);
  return took;
}

async function underAttack(pid: number, before: number): Promise<void> {
  for (let round = 0; round < 3; round++) {
    expect(await wokenCall(`during${round}`)).toBeLessThan(soonMs);
    expect(rssOf(pid) - before).toBeLessThan(growthMib);
  }
}

describe.skipIf(why !== undefined)(titled('an edge under attack', why), { timeout: 120_000 }, () => {
  it('[EDGE-TRN-06] goes on as if nothing were', async () => {
    await wokenCall('before');
    const { edge } = bed;
    const pid = edge.process.child.pid as number;
    const before = rssOf(pid);
    const [udp, tcp] = [edge.at('udp'), edge.at('tcp')];
    const [address = '', port = '0'] = edge.http.split(':');
    const http = { address, port: Number(port) };
    const control = { path: controlSocketOf(pid) };
    attacks.push(
      flood(udp, places.stranger, 150),
      holdOpen(tcp, places.stranger, 100, sipBeginnings),
      holdOpen(http, places.stranger, 100, httpBeginnings),
      holdOpen(control, '', 50, controlBeginnings),
    );
    try {
      await underAttack(pid, before);
      // a fast machine is through before much has been refused
      await expect.poll(() => bed.metric(refusals), { timeout: soonMs }).toBeGreaterThan(100);
    } finally {
      await Promise.all(attacks.splice(0).map((attack) => attack.stop()));
    }
    await wokenCall('after');
    expect(rssOf(pid) - before).toBeLessThan(growthMib);
  });

  it('has counted what it refused, by why', async () => {
    const events = async (event: string): Promise<number> =>
      bed.metric(`reveille_engine_events_total{event="${event}"}`);
    expect(await bed.metric(refusals)).toBeGreaterThan(100);
    // the engine tells its numbers now and then
    for (const event of ['malformed', 'controlRefused'])
      await expect.poll(() => events(event), { timeout: soonMs }).toBeGreaterThan(10);
    expect(await events('faults')).toBe(0);
  });

  it('says why, and not once for each', async () => {
    const refused = bed.edge.process.logs.filter(({ msg }) => String(msg).startsWith('request refused'));
    const ours = refused.filter(({ remote }) => remote === places.stranger);
    expect(ours.length).toBeGreaterThan(0);
    expect(ours[0]).toMatchObject({ method: 'MESSAGE', status: 404, reason: 'no-such-domain' });
    const told = refused.filter(({ msg }) => msg === 'request refused: more of them');
    // stopping tells what is still counted; an interval may not have ended yet
    const total = await bed.metric(refusals);
    expect(refused.length).toBeLessThan(total / 4);
    for (const line of told) expect(String(line['reason'])).toMatch(/^\d+ x 404 no-such-domain/);
  });
});
