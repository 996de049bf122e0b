import { describe, expect, it, vi } from 'vitest';
import { parseScript, readScript, runScript, type Labs } from '../../../apps/push-lab/script.ts';
import { parseRule, RuleBook } from '../../../apps/push-lab/rules.ts';

describe('fault scripts', () => {
  it('reads YAML and JSON: rules for each service, actions with their time', () => {
    const script = readScript(`
rules:
  - {token: DEAD, do: answer, status: 410, reason: Unregistered}
  - {service: fcm-token, do: answer, status: 503, until: 30}
  - {service: webpush, do: delay, ms: 800, skip: 2, times: 3}
actions:
  - {at: 1.5, do: goaway, mode: low}
  - {service: http, do: slow-tls, ms: 900}
`);
    expect(script.apns).toEqual([{ token: 'dead', fault: { do: 'answer', status: 410, reason: 'Unregistered' } }]);
    expect(script.http).toEqual([
      { topic: 'fcm-token', until: 30, fault: { do: 'answer', status: 503 } },
      { topic: 'webpush', skip: 2, times: 3, fault: { do: 'slow', ms: 800 } },
    ]);
    expect(script.actions).toEqual([
      { service: 'apns', atMs: 1500, do: 'goaway', mode: 'low' },
      { service: 'http', atMs: 0, do: 'slow-tls', ms: 900 },
    ]);
    expect(readScript('{"rules":[{"do":"duplicate"}]}').apns).toEqual([{ fault: { do: 'duplicate' } }]);
    expect(readScript('')).toEqual({ apns: [], http: [], actions: [] });
  });

  it.each([
    ['rules: [', 'at line 1'],
    ['- 5', 'expected a JSON object'],
    ['rule: []', 'rule: no such key in a script; expected one of rules, actions'],
    ['rules: 5', 'rules: expected a list, found 5'],
    ['rules: [{do: hang}, {do: answer, status: 42}]', 'rules[1]: status: expected 200 to 599, found 42'],
    ['rules: [{do: hang, service: sms}]', 'rules[0]: service: expected one of apns, fcm, fcm-token'],
    ['rules: [{do: hang, tokens: ab}]', 'rules[0]: tokens: no such key with do: hang'],
    ['rules: [{do: goaway, code: CANCEL}]', 'rules[0]: code: no such key with do: goaway'],
    ['rules: [{do: hang, times: 0}]', 'rules[0]: times: expected a whole number from 1, found 0'],
    ['rules: [{do: hang, from: 5, until: 2}]', 'rules[0]: until: expected more than from, found 2'],
    ['rules: [{service: fcm, topic: x, do: hang}]', 'rules[0]: topic: only pushes of apns have one'],
    ['actions: [{do: explode}]', 'actions[0]: do: expected one of goaway, drop, stall'],
    ['actions: [{at: 5}]', 'actions[0]: do: expected one of goaway'],
    ['actions: [{do: outage, ms: 999999999}]', 'actions[0]: ms: expected 0 to 600000 ms'],
    ['actions: [{do: stall, ms: 5}]', 'actions[0]: ms: no such key with do: stall'],
    ['actions: [{do: stream-limit, service: http, limit: 1}]', 'actions[0]: stream-limit: only apns has one'],
  ])('refuses %j with its place', (text, message) => {
    expect(() => readScript(text)).toThrow(message);
  });

  it('tells every mistake, not only the first', () => {
    expect(() => parseScript({ rules: [{}, { do: 'hang', x: 1 }], actions: [{ do: 'x' }] })).toThrow(
      /rules\[0\].*\n.*rules\[1\].*\n.*actions\[0\]/,
    );
  });

  it('does each action at its time and none after it was stopped', () => {
    vi.useFakeTimers();
    const done: string[] = [];
    const apns = {
      goaway: (mode: string) => done.push(`goaway ${mode}`),
      stall: () => {
        throw new Error('not stallable');
      },
      rules: new RuleBook(),
    };
    const labs = { apns, http: undefined } as unknown as Labs;
    const stop = runScript(
      parseScript({
        rules: [{ do: 'hang' }],
        actions: [
          { at: 1, do: 'goaway' },
          { at: 2, do: 'stall' },
          { at: 9, do: 'goaway' },
        ],
      }),
      labs,
      (text) => done.push(text),
    );
    expect(apns.rules.size).toBe(1);
    vi.advanceTimersByTime(3000);
    stop();
    vi.advanceTimersByTime(60_000);
    expect(done).toEqual(['goaway graceful', 'apns goaway', 'apns stall: not stallable']);
    vi.useRealTimers();
    expect(() => runScript(parseScript({ rules: [{ service: 'fcm', do: 'hang' }] }), labs)).toThrow('not started');
  });
});

describe('rules in time and number', () => {
  it('leaves the first ones alone, and holds from and until', () => {
    let now = 0;
    const book = new RuleBook(() => now);
    book.add(parseRule({ do: 'hang', skip: 2, times: 1 }));
    expect([1, 2, 3, 4].map(() => book.take('ab', 'x')?.do)).toEqual([undefined, undefined, 'hang', undefined]);
    expect(book.size).toBe(0);
    book.add(parseRule({ do: 'stall', from: 5, until: 10 }));
    const at = (seconds: number): string | undefined => {
      now = seconds * 1000;
      return book.take('ab', 'x')?.do;
    };
    expect([0, 4.9, 5, 9.9].map(at)).toEqual([undefined, undefined, 'stall', 'stall']);
    expect(at(10)).toBeUndefined();
    expect(book.size).toBe(0);
  });

  it('holds a bounded number', () => {
    const book = new RuleBook();
    const rule = parseRule({ do: 'hang' });
    for (let count = 0; count < 10_000; count++) book.add(rule);
    expect(() => book.add(rule)).toThrow('expected at most 10000 rules');
  });
});
