/**
 * Edges and engines on hosts of their own die without a word: what they had is taken over or ends, and whoever has nothing to do
 * with them does not notice.
 */
import { setTimeout as pause } from 'node:timers/promises';
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
    fleet = await Fleet.open({ nodes: ['a', 'b'], engines: true });
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
