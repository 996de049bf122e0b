/** What every NodeBus promises; each adapter's test file runs it. `other` is a bus of another process of the same edge. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BindingChange, BindingNews, NodeBus } from '../../lib/ports/node-bus.ts';
import { titled } from '../support/needs.ts';

export interface BusUnderTest {
  readonly bus: NodeBus;
  /** left out by adapters that live in one process */
  readonly other?: NodeBus;
  close(): Promise<void>;
}

export function refreshOf(aor: string, bindingId = 'b1'): BindingChange {
  return { is: 'refresh-accepted', aor, bindingId };
}

export function nodeBusContract(name: string, make: () => Promise<BusUnderTest>, skip?: string): void {
  describe.skipIf(skip !== undefined)(titled(`NodeBus contract: ${name}`, skip), () => {
    let under: BusUnderTest;
    let bus: NodeBus;

    beforeEach(async () => {
      under = await make();
      bus = under.bus;
    });
    afterEach(() => under.close());

    it('lets every subscriber of an AOR hear what is published about it, and nobody else', async () => {
      const heard: [string, BindingNews][] = [];
      await bus.subscribe('alice@example.com', (news) => heard.push(['first', news]));
      await bus.subscribe('alice@example.com', (news) => heard.push(['second', news]));
      await bus.subscribe('bob@example.com', (news) => heard.push(['bob', news]));
      await bus.publish(refreshOf('alice@example.com'));
      expect(heard).toEqual([
        ['first', refreshOf('alice@example.com')],
        ['second', refreshOf('alice@example.com')],
      ]);
    });

    it('has told the subscribers of this process before publish returns', async () => {
      const heard: BindingNews[] = [];
      await bus.subscribe('alice@example.com', (news) => heard.push(news));
      void bus.publish({ is: 'removed', aor: 'alice@example.com', bindingId: 'b1' });
      expect(heard).toEqual([{ is: 'removed', aor: 'alice@example.com', bindingId: 'b1' }]);
    });

    it('delivers nothing twice, also when the news comes back from the network', async () => {
      const heard: BindingNews[] = [];
      await bus.subscribe('alice@example.com', (news) => heard.push(news));
      await bus.publish(refreshOf('alice@example.com', 'one'));
      // The fence: whatever the network echoes of the first has come when a later message of another process has.
      if (under.other === undefined) await bus.publish(refreshOf('alice@example.com', 'fence'));
      else await under.other.publish(refreshOf('alice@example.com', 'fence'));
      await expect.poll(() => heard.at(-1)).toEqual(refreshOf('alice@example.com', 'fence'));
      expect(heard).toHaveLength(2);
    });

    it('is silent after the subscription was ended, and ending it twice does no harm', async () => {
      const heard: string[] = [];
      const end = await bus.subscribe('alice@example.com', () => heard.push('ended'));
      await bus.subscribe('alice@example.com', () => heard.push('kept'));
      end();
      end();
      await bus.publish(refreshOf('alice@example.com'));
      expect(heard).toEqual(['kept']);
    });

    it('is silent for a listener that another listener has just ended', async () => {
      const heard: string[] = [];
      const ends: (() => void)[] = [];
      await bus.subscribe('alice@example.com', () => {
        heard.push('first');
        for (const end of ends) end();
      });
      ends.push(await bus.subscribe('alice@example.com', () => heard.push('second')));
      await bus.publish(refreshOf('alice@example.com'));
      expect(heard).toEqual(['first']);
    });

    it('calls one function as often as it was subscribed', async () => {
      let calls = 0;
      const listener = (): void => {
        calls += 1;
      };
      const end = await bus.subscribe('alice@example.com', listener);
      await bus.subscribe('alice@example.com', listener);
      await bus.publish(refreshOf('alice@example.com'));
      expect(calls).toBe(2);
      end();
      await bus.publish(refreshOf('alice@example.com'));
      expect(calls).toBe(3);
    });

    it('takes news about an AOR nobody waits for', async () => {
      await expect(bus.publish(refreshOf('nobody@example.com'))).resolves.toBeUndefined();
    });

    it('keeps strange AORs apart', async () => {
      const strange = ['{a}@x', '{a}b@x', 'a b@x', 'ü€😀@x', '*@x', 'a\r\nb@x', '"q"@x', `${'l'.repeat(3000)}@x`];
      const heard: string[] = [];
      for (const aor of strange) await bus.subscribe(aor, (news) => heard.push(news.aor));
      for (const aor of strange) await (under.other ?? bus).publish(refreshOf(aor));
      await expect.poll(() => heard.length).toBe(strange.length);
      expect(new Set(heard)).toEqual(new Set(strange));
    });

    it('never rejects a publish, also after close', async () => {
      await bus.close();
      await expect(bus.publish(refreshOf('alice@example.com'))).resolves.toBeUndefined();
    });

    it('delivers every kind of news across processes, unchanged', async (context) => {
      const { other } = under;
      if (other === undefined) return context.skip('this bus lives in one process');
      const all: BindingChange[] = [
        { is: 'refresh-accepted', aor: 'ålice@example.com', bindingId: 'b1' },
        { is: 'refresh-rejected', aor: 'ålice@example.com', bindingId: 'b1', status: 403 },
        { is: 'removed', aor: 'ålice@example.com', bindingId: 'b1' },
      ];
      const heard: BindingNews[] = [];
      await bus.subscribe('ålice@example.com', (news) => heard.push(news));
      for (const change of all) await other.publish(change);
      await expect.poll(() => heard).toEqual(all);
      return undefined;
    });

    it('hears other processes from the moment subscribe has resolved', async (context) => {
      const { other } = under;
      if (other === undefined) return context.skip('this bus lives in one process');
      const heard: string[] = [];
      for (let i = 0; i < 50; i += 1) {
        const end = await bus.subscribe('alice@example.com', (news) => {
          if (news.is !== 'gap') heard.push(news.bindingId);
        });
        await other.publish(refreshOf('alice@example.com', `b${i}`));
        await expect.poll(() => heard.at(-1), { interval: 1 }).toBe(`b${i}`);
        end();
      }
      return undefined;
    });
  });
}
