import { describe, expect, it } from 'vitest';
import { parseRule, RuleBook } from '../../../apps/push-lab/rules.ts';

describe('push lab rules', () => {
  it('reads every kind of fault', () => {
    expect(
      parseRule({ token: 'AB', times: 2, do: 'answer', status: 410, reason: 'Unregistered', timestamp: 7 }),
    ).toEqual({
      token: 'ab',
      times: 2,
      fault: { do: 'answer', status: 410, reason: 'Unregistered', timestamp: 7 },
    });
    expect(parseRule({ do: 'answer', status: 502, html: true }).fault).toEqual({
      do: 'answer',
      status: 502,
      html: true,
    });
    expect(parseRule({ do: 'hang' }).fault).toEqual({ do: 'hang' });
    expect(parseRule({ do: 'slow', ms: 5 }).fault).toEqual({ do: 'slow', ms: 5 });
    expect(parseRule({ do: 'reset', code: 'REFUSED_STREAM' }).fault).toEqual({ do: 'reset', code: 'REFUSED_STREAM' });
    expect(parseRule({ do: 'goaway', mode: 'low' }).fault).toEqual({ do: 'goaway', mode: 'low' });
    expect(parseRule({ do: 'drop', when: 'after' }).fault).toEqual({ do: 'drop', when: 'after' });
    expect(parseRule({ do: 'stall' }).fault).toEqual({ do: 'stall' });
  });

  it.each([
    [null, 'expected a JSON object'],
    [[], 'expected a JSON object'],
    [{}, 'do: expected one of'],
    [{ do: 'explode' }, 'do: expected one of'],
    [{ do: 'answer', status: 42 }, 'status: expected 200 to 599'],
    [{ do: 'slow', ms: 'long' }, 'ms: expected a number, found "long"'],
    [{ do: 'reset', code: 'SOFTLY' }, 'code: expected one of'],
    [{ do: 'hang', token: 5 }, 'token: expected text, found 5'],
  ])('refuses %j with the reason', (value, message) => {
    expect(() => parseRule(value)).toThrow(message);
  });

  it('takes the first rule that matches, as often as it says', () => {
    const book = new RuleBook();
    book.add(parseRule({ token: 'ab', times: 1, do: 'hang' }));
    book.add(parseRule({ topic: 'x.voip', do: 'stall' }));
    expect(book.take('cd00', 'y.voip')).toBeUndefined();
    expect(book.take('AB00', 'x.voip')).toEqual({ do: 'hang' });
    expect(book.take('AB00', 'x.voip')).toEqual({ do: 'stall' });
    expect(book.take('AB00', 'y.voip')).toBeUndefined();
    book.clear();
    expect(book.list()).toEqual([]);
  });
});
