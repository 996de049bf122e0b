/**
 * Edges and engines on hosts of their own die without a word: what they had is taken over or ends, and whoever has nothing to do
 * with them does not notice.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { OutgoingCall } from '../../apps/demo/calls.ts';
import { monotonicMs } from '../../apps/demo/ua.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { Fleet, hangUp, heard, patience, take, whyNoFleet } from '../support/fleet.ts';
import { titled } from '../support/needs.ts';

const why = whyNoFleet();
let fleet: Fleet | undefined;
afterEach(async () => {
  await fleet?.close();
  fleet = undefined;
});

describe.skipIf(why !== undefined)(titled('an edge that dies', why), () => {
  it('with its host and without a word: its phones are pushed by the next call, calls of others go on', async () => {
    fleet = await Fleet.open({ nodes: ['a', 'b', 'c'] });
    const [far, near, lost] = [
      await fleet.awake('c', 'tcp'),
      await fleet.awake('a', 'tcp'),
      await fleet.awake('b', 'tcp'),
    ];
    const calls = [await take(fleet.dial('a', far), far), await take(fleet.dial('c', near), near)];
    const died = await take(fleet.dial('a', lost), lost);
    // no FIN and no RST: the power is gone
    await fleet.hosts.cut('b');
    await fleet.node('b').process.kill();
    for (const up of calls) await heard(up);
    // the app of its phone is woken onto another node, at once, while b still counts as there for a moment
    fleet.wakesAt(lost, 'c');
    const up = await take(fleet.dial('a', lost), lost);
    await heard(up);
    await hangUp(up);
    expect(lost.invites).toHaveLength(2);
    expect(fleet.pushesFor(lost)).toHaveLength(1);
    await expect.poll(() => fleet?.node('a').metric('reveille_other_nodes'), patience).toBe(1);
    for (const one of calls) {
      await heard(one);
      await hangUp(one);
    }
    // the PBX hangs up what is left of the call over the dead one, and a lets go of it
    expect((await died.call.dialog?.bye())?.status).toBe(200);
    await fleet.hosts.heal('b');
    await fleet.node('b').process.restart();
    await fleet.knowEachOther();
    fleet.wakesAt(lost, 'b');
    await lost.sleep();
    await hangUp(await take(fleet.dial('a', lost), lost));
  });

  it('with a call it holds and one that is up: the callee of the one is told, the other edges take its phones', async () => {
    fleet = await Fleet.open({ nodes: ['a', 'b'] });
    const [talking, asleep] = [await fleet.awake('b', 'tcp'), await fleet.sleeper('b', 'tcp')];
    const up = await take(fleet.dial('a', talking), talking);
    const held = fleet.dial('a', asleep);
    held.answer().catch(() => undefined); // its socket is gone with a: nobody can answer it
    await fleet.nextPush(asleep);
    await fleet.node('a').process.kill();
    // the dialog of the phone lives at b, whose engine has lost the app that ran it
    const bye = await Promise.race([up.incoming.dialog.bye(), pause(10_000)]);
    expect(bye?.status).toBe(481);
    await asleep.wake();
    await hangUp(await take(fleet.dial('b', asleep), asleep));
    expect(asleep.invites).toHaveLength(1);
  });
});

describe.skipIf(why !== undefined)(titled('an engine that is a process of its own and dies', why), () => {
  it('new calls work on the other node at once and on this one when it is back; what was held ends', async () => {
    fleet = await Fleet.open({ nodes: ['a', 'b'], engines: 'each' });
    const [lost, there, asleep] = [
      await fleet.awake('a', 'tcp'),
      await fleet.awake('b', 'tcp'),
      await fleet.sleeper('a', 'tcp'),
    ];
    const calls = [await take(fleet.dial('b', there), there)];
    const died = await take(fleet.dial('a', lost), lost);
    fleet
      .dial('a', asleep)
      .answer()
      .catch(() => undefined); // its engine is gone: nobody can answer it
    await fleet.nextPush(asleep);
    await fleet.killEngine('a');
    await expect.poll(() => fleet?.node('a').process.readyz(), patience).toBe(503);
    await expect.poll(() => fleet?.node('a').metric('reveille_held_invites'), patience).toBe(0);
    for (const up of calls) await heard(up);
    // its connection died with the engine
    fleet.wakesAt(lost, 'b');
    const up = await take(fleet.dial('b', lost), lost);
    await heard(up);
    await hangUp(up);
    expect(died.call.dialog?.over).toBe(false);
    await fleet.startEngine('a');
    await fleet.node('a').process.ready();
    await fleet.knowEachOther();
    fleet.wakesAt(asleep, 'a');
    await hangUp(await take(fleet.dial('a', asleep), asleep));
    await hangUp(await take(fleet.dial('b', asleep), asleep));
    expect(asleep.invites).toHaveLength(2);
    for (const one of calls) {
      await heard(one);
      await hangUp(one);
    }
    // nothing of the dead engine is left to hang up
    expect((await died.call.dialog?.bye())?.status).toBe(481);
  });
});

describe.skipIf(why !== undefined)(titled('an edge of two on one engine that dies', why), () => {
  it('the other answers what it held within two seconds and holds its own, calls that are up at the other go on', async () => {
    fleet = await Fleet.open({ nodes: ['a', 'b'], engines: 'one', holdSeconds: 20 });
    const here = fleet;
    const phones = [];
    for (let count = 0; count < 8; count += 1) phones.push(await here.sleeper('a'));
    const calls = phones.map((phone) => here.dial('a', phone));
    const answers = calls.map((call) => call.answer());
    for (const phone of phones) await here.nextPush(phone);
    const held = () => Promise.all(['a', 'b'].map((name) => here.node(name).metric('reveille_held_invites')));
    await expect.poll(async () => (await held()).reduce((sum, one) => sum + one), patience).toBe(8);
    const [, lost = 0] = await held();
    expect(lost).toBeGreaterThan(0);
    // two renewals: it has told of all it holds
    await pause(900);
    const died = monotonicMs();
    await here.node('b').process.kill();
    await expect.poll(() => here.node('a').metric('reveille_taken_over_total'), patience).toBe(lost);
    const told = () =>
      here.pbx.ua.crossings.filter(({ message }) => message.kind === 'response' && message.status === 480);
    await expect.poll(() => told().length, patience).toBe(lost);
    const longest = Math.max(...told().map(({ atMs }) => atMs - died));
    console.info(`${lost} held calls of a dead edge answered, the last after ${Math.round(longest)} ms`);
    // a lease of 1.3 s, at the end of which the other one looks
    expect(longest).toBeLessThan(2000);
    // the rest is held on, and rings
    const waiting = phones.filter(
      (_, at) => !told().some(({ message }) => message.headers.get('Call-ID') === callIdOf(calls[at])),
    );
    expect(waiting).toHaveLength(8 - lost);
    for (const phone of waiting) {
      await phone.wake();
      (await phone.nextCall()).reject(486);
      expect((await answers[phones.indexOf(phone)])?.status).toBe(486);
    }
  });
});

function callIdOf(call: OutgoingCall | undefined): string | undefined {
  return call?.transaction.request.headers.get('Call-ID');
}
