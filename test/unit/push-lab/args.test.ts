import { describe, expect, it } from 'vitest';
import { readArgs } from '../../../apps/push-lab/args.ts';
import { Feed, type Row } from '../../../apps/push-lab/feed.ts';
import { otherAddress, type PhoneReport, reportText } from '../../../apps/push-lab/phones.ts';

describe('command line of the push lab', () => {
  const phones = ['--phones', '3', '--edge', 'sip:127.0.0.1:5060', '--domain', 'example.com'];

  it('starts everything with --all, in a folder that stays', () => {
    expect(readArgs(['--all'])).toMatchObject({ httpPort: 8445, dir: 'data/push-lab', stallable: true });
    expect(readArgs([])).toMatchObject({ httpPort: undefined, dir: undefined, stallable: false, phones: undefined });
    expect(readArgs([...phones, '--behaviour', 'late, never']).phones).toMatchObject({
      count: 3,
      behaviours: ['late', 'never'],
    });
  });

  it.each([
    [['--apns-port', '70000'], '--apns-port: expected 0 to 65535, found 70000'],
    [['--latency', ''], '--latency: expected 0 to 600000'],
    [['--phones', '2'], '--edge: needed with --phones'],
    [['--phones', '2', '--edge', 'sip:127.0.0.1'], '--domain: needed with --phones'],
    [[...phones, '--behaviour', 'sleep,snore'], '--behaviour: expected one of sleep, late, three-times, moves, never'],
    [[...phones, '--phone-provider', 'sms'], '--phone-provider: expected one of apns, fcm, found sms'],
    [['--colour', 'red'], "Unknown option '--colour'"],
  ])('%j', (args, message) => {
    expect(() => readArgs(args)).toThrow(message);
  });
});

describe('feed of the push lab', () => {
  const seen = { service: 'apns', class: 'voip', outcome: 'accepted', status: 200 } as const;

  it('never has a token, marks the newest push of a phone, and forgets the oldest', () => {
    const feed = new Feed(3);
    const told: Row[] = [];
    const stop = feed.on((row) => told.push(row));
    feed.put({ ...seen, token: 'secret-token' });
    feed.put({ ...seen, token: 'secret-token', outcome: 'refused', why: 'x'.repeat(1000) });
    feed.mark('secret-token', { user: 'anna', state: 'registered', latencyMs: 7 });
    feed.mark('secret-token', { user: 'anna', state: 'asleep' });
    feed.mark('another', { user: 'bert', state: 'asleep' });
    stop();
    expect(told.map(({ number, phone }) => [number, phone?.state, phone?.latencyMs])).toEqual([
      [1, undefined, undefined],
      [2, undefined, undefined],
      [1, 'registered', 7],
      [1, 'asleep', 7],
    ]);
    expect(JSON.stringify(told)).not.toContain('secret');
    expect(told[1]?.why).toHaveLength(300);
    for (let count = 0; count < 20; count++) feed.put({ ...seen, token: 'x' });
    expect(feed.rows().map(({ number }) => number)).toEqual([20, 21, 22]);
  });
});

describe('report of virtual phones', () => {
  it('is a line for each', () => {
    const phone: PhoneReport = {
      ...{ user: 'phone1', behaviour: 'late', state: 'asleep', pushes: 2, invites: 1, answered: 1, cancelled: 0 },
      ...{ pushedAt: 0, registeredAt: 3000, pushToRegisterMs: 3000 },
    };
    const text = reportText([phone, { ...phone, user: 'phone2', trouble: 'REGISTER was answered 403 No' }]);
    expect(text.split('\n')[1]).toMatch(/^phone1 +late +asleep +2 +00:00:00\.000 +00:00:03\.000 +3000 +1 +1$/);
    expect(text).toContain('asleep (REGISTER was answered 403 No)');
  });

  it('knows where a phone has moved to', () => {
    expect(['127.0.0.1', '127.3.2.254', '192.0.2.7', '::1'].map(otherAddress)).toEqual([
      '127.0.0.2',
      '127.3.2.1',
      '192.0.2.7',
      '::1',
    ]);
  });
});
