import { describe, expect, it } from 'vitest';
import { pushOverClear, warnOfClear } from '../../../apps/edge/push-over-clear.ts';
import { QuietLog } from '../../support/quiet-log.ts';

const clear = ['udp/192.0.2.9:5060', 'tcp/192.0.2.9:5060'];
const both = [...clear, 'tls/192.0.2.9:5061'];

describe('push parameters in the clear', () => {
  it.each([
    ['198.51.100.7', both, 'refuse'],
    ['2001:db8::7', [...clear, 'wss/192.0.2.9:443'], 'refuse'],
    ['198.51.100.7', clear, 'accept'],
    ['127.0.0.1', both, 'accept'],
    ['10.1.2.3', both, 'accept'],
    ['192.168.1.2', both, 'accept'],
    ['::1', both, 'accept'],
    ['fd00::1', both, 'accept'],
  ] as const)('auto, from %s: %s', (address, hostports, rule) => {
    expect(pushOverClear({ pushOverClear: 'auto' }, hostports)(address)).toBe(rule);
  });

  it.each(['accept', 'ignore', 'refuse'] as const)('%s is said to everybody', (said) => {
    const rule = pushOverClear({ pushOverClear: said }, both);
    expect([rule('127.0.0.1'), rule('198.51.100.7')]).toEqual([said, said]);
  });

  it.each([
    ['auto', both, 0],
    ['auto', clear, 1],
    ['accept', both, 1],
    ['refuse', clear, 0],
    ['auto', ['tls/192.0.2.9:5061'], 0],
  ] as const)('is warned of where the public is heard: %s', (said, hostports, count) => {
    const log = new QuietLog();
    warnOfClear(pushOverClear({ pushOverClear: said }, hostports), hostports, log);
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(count);
  });
});
