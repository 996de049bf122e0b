import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { calmLog } from '../../../lib/adapters/pino/calm-log.ts';
import { QuietLog } from '../../support/quiet-log.ts';

class InfoLog extends QuietLog {
  override readonly debugging = false as true;
}

const options = { sentences: ['request refused'], intervalMs: 10_000, full: 4, fullOfOne: 2 };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a log that strangers write', () => {
  it('tells the first of each address in full and the rest as one line with reasons', () => {
    const log = new InfoLog();
    const calm = calmLog(log, options);
    for (let n = 0; n < 10; n++) calm.info({ remote: 'a', status: 404, reason: 'no-such-domain' }, 'request refused');
    calm.info({ remote: 'b', status: 403, reason: 'not-from-pbx' }, 'request refused');
    calm.info({ remote: 'c', status: 403 }, 'request refused');
    calm.info({ remote: 'd', status: 403 }, 'request refused');
    expect(log.lines.map(({ fields }) => fields.remote)).toEqual(['a', 'a', 'b', 'c']);
    vi.advanceTimersByTime(10_000);
    expect(log.lines.slice(4)).toEqual([
      {
        level: 'info',
        message: 'request refused: more of them',
        fields: { count: 9, seconds: 10, reason: '8 x 404 no-such-domain, 1 x 403' },
      },
    ]);
    calm.info({ remote: 'a' }, 'request refused');
    vi.advanceTimersByTime(20_000);
    expect(log.lines).toHaveLength(6);
  });

  it('keeps few reasons however many there are', () => {
    const log = new InfoLog();
    const calm = calmLog(log, { ...options, full: 0 });
    for (let n = 0; n < 1000; n++) calm.warn({ reason: `reason${n}` }, 'request refused');
    calm.close();
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]?.fields).toMatchObject({ count: 1000 });
    expect(log.lines[0]?.fields.reason).toContain('988 x others');
  });

  it('leaves every other sentence alone, and all of them at debug', () => {
    const log = new InfoLog();
    const calm = calmLog(log, options);
    for (let n = 0; n < 20; n++) calm.child({ callId: 'c' }).warn({ remote: 'a' }, 'push refused');
    expect(log.lines).toHaveLength(20);
    const debugging = new QuietLog();
    const all = calmLog(debugging, options);
    for (let n = 0; n < 20; n++) all.info({ remote: 'a' }, 'request refused');
    all.close();
    expect(debugging.lines).toHaveLength(20);
  });

  it('counts lines of a child with the others', () => {
    const log = new InfoLog();
    const calm = calmLog(log, options);
    const child = calm.child({ node: 'n' });
    for (let n = 0; n < 3; n++) child.info({ remote: 'a' }, 'request refused');
    calm.info({ remote: 'a' }, 'request refused');
    expect(log.lines).toHaveLength(2);
    expect(log.lines[0]?.fields.node).toBe('n');
    calm.close();
    expect(log.lines[2]?.fields.count).toBe(2);
  });
});
