/**
 * The network between two edges and their Redis parts while a call is held: it heals in time and the call is answered, or too late
 * and the call ends properly. Nobody rings twice, and everything works afterwards as if nothing had been.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Phone } from '../../apps/demo/phone.ts';
import type { Hosts } from '../../bench/hosts/hosts.ts';
import { comesBack, Fleet, hangUp, take, whyNoFleet } from '../support/fleet.ts';
import { titled } from '../support/needs.ts';

const why = whyNoFleet();
const holdSeconds = 5;

interface Cut {
  readonly of: string;
  cut(hosts: Hosts): Promise<void>;
  heal(hosts: Hosts): Promise<void>;
}

const cuts: readonly Cut[] = [
  {
    of: 'between the one that hears the phone and Redis',
    cut: (hosts) => hosts.cutBetween('b', 'redis'),
    heal: (hosts) => hosts.healBetween('b', 'redis'),
  },
  {
    of: 'between the one that holds and the one that hears the phone',
    cut: (hosts) => hosts.cutBetween('a', 'b'),
    heal: (hosts) => hosts.healBetween('a', 'b'),
  },
  {
    of: 'between the one that holds and Redis',
    cut: (hosts) => hosts.cutBetween('a', 'redis'),
    heal: (hosts) => hosts.healBetween('a', 'redis'),
  },
  {
    of: 'between the one that hears the phone and everybody',
    cut: (hosts) => hosts.cut('b'),
    heal: (hosts) => hosts.heal('b'),
  },
];

describe.skipIf(why !== undefined)(titled('a network that parts while a call is held', why), () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await Fleet.open({ nodes: ['a', 'b'], holdSeconds });
    // their control connection stands before anything is cut
    const phone = await fleet.awake('b', 'tcp');
    await hangUp(await take(fleet.dial('a', phone), phone));
  });
  afterAll(() => fleet?.close());

  async function works(phone: Phone): Promise<void> {
    await fleet.knowEachOther();
    await comesBack(phone);
    const before = phone.invites.length;
    await hangUp(await take(fleet.dial('a', phone), phone));
    expect(phone.invites.length - before).toBe(1);
    for (const node of fleet.nodes) expect(await node.metric('reveille_held_invites')).toBe(0);
  }

  describe.each(cuts)('$of', ({ cut, heal }) => {
    it('for a second: the call is answered', async () => {
      const phone = await fleet.sleeper('b', 'tcp');
      const call = fleet.dial('a', phone);
      const up = take(call, phone);
      await fleet.nextPush(phone);
      await cut(fleet.hosts);
      const back = comesBack(phone);
      // later pushes find it awake
      await pause(1000);
      await heal(fleet.hosts);
      await back;
      await hangUp(await up);
      expect(phone.invites).toHaveLength(1);
      await works(phone);
    });

    it('until the caller has been told that nobody comes: the next call works', async () => {
      const phone = await fleet.sleeper('b', 'tcp');
      const call = fleet.dial('a', phone);
      const answered = call.answer();
      await fleet.nextPush(phone);
      await cut(fleet.hosts);
      const back = comesBack(phone);
      expect((await answered).status).toBe(480);
      await heal(fleet.hosts);
      await back;
      expect(phone.invites).toHaveLength(0);
      await works(phone);
    });
  });
});
