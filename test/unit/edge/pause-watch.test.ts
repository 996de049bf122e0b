import { describe, expect, it } from 'vitest';
import { hearNews, watchPauses } from '../../../apps/edge/pause-watch.ts';
import { inOrderOfWeight } from '../../../lib/call/hold-gate.ts';
import { QuietLog } from '../../support/quiet-log.ts';

function aWatch() {
  let now = 1_000_000;
  let isSure = true;
  const asked: { readonly paused: boolean; readonly settled: () => void }[] = [];
  const gate = watchPauses({
    precise: () => now,
    isSure: () => isSure,
    settle: (paused) => new Promise<void>((settled) => asked.push({ paused, settled })),
    log: new QuietLog(),
  });
  return {
    gate,
    asked,
    stand: (ms: number) => {
      now += ms;
    },
    sure: (is: boolean) => {
      isSure = is;
    },
  };
}

describe('a process that stood still', () => {
  it('acts at once as long as it runs', () => {
    const { gate, asked, stand } = aWatch();
    for (let turn = 0; turn < 10; turn++) {
      stand(900);
      expect(gate.pass(() => expect.fail('called although it was open'))).toBe(true);
    }
    expect(asked).toEqual([]);
    gate.stop();
  });

  it('hears what came meanwhile before the first event is acted on, whichever that is, and again when it stops once more', async () => {
    const { gate, asked, stand } = aWatch();
    const acted: string[] = [];
    stand(1500);
    expect(gate.pass(() => acted.push('first'))).toBe(false);
    expect(gate.pass(() => acted.push('second'))).toBe(false);
    expect(asked.map(({ paused }) => paused)).toEqual([true]);
    stand(2000);
    expect(gate.pass(() => acted.push('third'))).toBe(false);
    asked[0]?.settled();
    await expect.poll(() => asked.length).toBe(2);
    expect(acted).toEqual([]);
    asked[1]?.settled();
    await expect.poll(() => acted).toEqual(['first', 'second', 'third']);
    expect(gate.pass(() => undefined)).toBe(true);
    gate.stop();
  });

  it('asks the engine when it may have been given up, and not again at once when that stays so', async () => {
    const { gate, asked, stand, sure } = aWatch();
    let open = false;
    stand(100);
    sure(false);
    expect(gate.pass(() => (open = true))).toBe(false);
    expect(asked.map(({ paused }) => paused)).toEqual([false]);
    asked[0]?.settled();
    await expect.poll(() => open).toBe(true);
    expect(gate.pass(() => undefined)).toBe(true);
    stand(600);
    expect(gate.pass(() => undefined)).toBe(false);
    gate.stop();
  });

  it('lets nobody wait when it is stopped', () => {
    const { gate, stand } = aWatch();
    const acted: string[] = [];
    stand(5000);
    expect(gate.pass(() => acted.push('held'))).toBe(false);
    gate.stop();
    expect(acted).toEqual(['held']);
    expect(gate.pass(() => undefined)).toBe(true);
  });

  it('has looked into the store again when that has answered, and asks until it does', async () => {
    let looks = 0;
    let pings = 0;
    const ping = async (): Promise<void> => {
      pings++;
      if (pings < 3) throw new Error('the connection is gone');
    };
    await hearNews({ lookAgain: () => void looks++ }, { ping });
    expect([looks, pings]).toEqual([3, 3]);
  });

  it('weighs a caller who gave up before a phone, and a phone before the timers that ran out meanwhile', () => {
    const events = [
      { is: 'bucket-timer' },
      { is: 'refresh-accepted', device: 'd', flow: 'f' },
      { is: 'silence', leg: 'd/1' },
      { is: 'answered', leg: 'd/1' },
      { is: 'cancelled' },
    ] as const;
    expect(inOrderOfWeight(events).map(({ is }) => is)).toEqual([
      'cancelled',
      'refresh-accepted',
      'answered',
      'bucket-timer',
      'silence',
    ]);
  });
});
