import { describe, expect, it } from 'vitest';
import type { Binding, PushRecord, PushToken } from '../../../lib/core/binding.ts';
import { aBinding as aPhone } from '../../support/a-binding.ts';
import { acceptRegister } from '../../../lib/core/binding-set.ts';
import { hearOfToken, claimsDue, takeToken, type TokenNews, tokenKey } from '../../../lib/core/token-life.ts';

const now = 1_700_000_000_000;
const push = (tokens: readonly PushToken[], more: Partial<PushRecord> = {}): PushRecord => ({
  ...{
    provider: 'apns',
    providerAsSent: 'apns',
    environment: undefined,
    param: 'T.b.voip',
    app: 'ios',
    wakesItself: false,
  },
  tokens,
  ...more,
});
const voip: PushToken = { kind: 'voip', token: 'aa' };
const alert: PushToken = { kind: 'alert', token: 'bb' };
const aBinding = (id: string, record: PushRecord, more: Partial<Binding> = {}): Binding => ({
  ...{
    id,
    aor: 'anna@example.org',
    contact: `<sip:anna@192.0.2.1:${id}>`,
    target: `sip:anna@192.0.2.1:${id}`,
    q: 1000,
  },
  ...{ callId: `c${id}`, cseq: 1, path: [], registeredAt: now, expiresAt: now + 3_600_000 },
  flow: { transport: 'tcp', address: '192.0.2.1', port: 5060, engine: 'e' },
  push: record,
  ...more,
});
const none = { voip: 0, highPriority: 0 };

/** Each news in turn, each push sent a second after the one before. */
function after(start: readonly Binding[], token: string, ...news: readonly TokenNews[]) {
  const events: string[] = [];
  let bindings = start;
  let at = now;
  for (const one of news) {
    const change = hearOfToken(bindings, '1', token, one, (at += 1000), { voip: 3, highPriority: 2 });
    bindings = change.bindings;
    events.push(...change.events);
  }
  return { bindings, events, push: bindings[0]?.push };
}
const suspect = (occasion: string): TokenNews => ({ is: 'suspect', occasion });
const silent: TokenNews = { is: 'unanswered', high: true };

describe('a token', () => {
  it('dead with the service’s own time: only when no REGISTER has brought it since, and the binding stays', () => {
    const set = [aBinding('1', push([voip]))];
    const dead = (since: number) => hearOfToken(set, '1', 'aa', { is: 'dead', since }, now + 5000, none);
    expect(dead(now - 1)).toEqual({ bindings: set, events: [] });
    expect(dead(now + 1)).toMatchObject({ events: ['dead'], bindings: [{ id: '1', push: { deadSince: now + 1 } }] });
    expect(hearOfToken(set, '1', 'zz', { is: 'dead' }, now + 5000, none).bindings).toBe(set);
  });

  it('one of two that dies leaves the other', () => {
    const { push: left } = after([aBinding('1', push([voip, alert]))], 'aa', { is: 'dead' });
    expect(left).toMatchObject({ tokens: [alert] });
    expect(left?.deadSince).toBeUndefined();
  });

  it('suspect at three distinct calls in a row is dead; an accepted push or a REGISTER clears it', () => {
    const set = [aBinding('1', push([voip]))];
    expect(after(set, 'aa', suspect('x'), suspect('x'), suspect('y')).events).toEqual(['suspect', 'suspect']);
    expect(after(set, 'aa', suspect('x'), suspect('y'), suspect('z')).events.at(-1)).toBe('dead');
    const cleared = after(set, 'aa', suspect('x'), suspect('y'), { is: 'accepted' }, suspect('z'));
    expect(cleared.events).toEqual(['suspect', 'suspect', 'cleared', 'suspect']);
    expect(cleared.push?.life?.voip?.suspects).toEqual(['z']);
    // the push was sent before the REGISTER
    const later = [aBinding('1', push([voip]), { registeredAt: now + 5000 })];
    expect(after(later, 'aa', suspect('x')).bindings).toBe(later);
  });

  it('keeps the environment it was found in over a REGISTER, until the phone says another one', () => {
    const found = after(
      [aBinding('1', push([voip]))],
      'aa',
      { is: 'accepted', environment: 'sandbox' },
      suspect('x'),
      silent,
    );
    expect(found.push?.life?.voip).toMatchObject({ environment: 'sandbox', suspects: ['x'], unanswered: 1 });
    const again = (record: PushRecord) => {
      const binding = aBinding('1', record, { cseq: 2, registeredAt: now + 9000 });
      const change = acceptRegister(
        found.bindings,
        { aor: binding.aor, callId: binding.callId, cseq: 2, contacts: [{ binding, expires: 3600 }] },
        now + 9000,
        { maxBindings: 10 },
      );
      return change.is === 'changed' ? change.bindings[0]?.push?.life : change.is;
    };
    expect(again(push([voip]))).toEqual({ voip: { environment: 'sandbox' } });
    expect(again(push([{ kind: 'voip', token: 'other' }]))).toBeUndefined();
    expect(again(push([voip], { environment: 'production' }))).toBeUndefined();
  });

  it('counts VoIP pushes that nobody came to, and tells when the budget is spent', () => {
    const set = [aBinding('1', push([voip]))];
    const spent = after(set, 'aa', silent, silent, silent, silent);
    expect(spent.events).toEqual(['voip-budget']);
    expect(spent.push?.life?.voip).toEqual({ unanswered: 4, unansweredAt: now + 4000 });
    const late = [aBinding('1', push([voip]), { registeredAt: now + 1000 })];
    expect(after(late, 'aa', silent).bindings).toBe(late);
  });

  it('counts high-priority pushes of FCM by day, and forgets them after seven', () => {
    const fcm = [aBinding('1', push([{ kind: 'fcm', token: 'ff' }], { provider: 'fcm' }))];
    const { bindings, events } = after(fcm, 'ff', silent, silent, { is: 'unanswered', high: false });
    expect(events).toEqual(['high-priority-budget']);
    const later = hearOfToken(bindings, '1', 'ff', silent, now + 7 * 86_400_000, none);
    expect(later.bindings[0]?.push?.life?.fcm?.wasted).toHaveLength(1);
  });

  it('is taken from whoever registered it before, who keeps his binding and his other token', () => {
    const set = [aBinding('1', push([voip, alert])), aBinding('2', push([{ kind: 'voip', token: 'cc' }]))];
    expect(takeToken(set, 'apns', 'aa', now + 1)[0]?.push?.tokens).toEqual([alert]);
    expect(takeToken(set, 'apns', 'cc', now + 1)[1]?.push?.deadSince).toBeDefined();
    expect(takeToken(set, 'apns', 'aa', now - 1)).toBe(set);
    const accounts = set.map((one) => ({ ...one, instanceId: 'urn:uuid:one-phone' }));
    expect(takeToken(accounts, 'apns', 'aa', now + 1, 'urn:uuid:one-phone')).toBe(accounts);
    expect(takeToken(accounts, 'apns', 'aa', now + 1, 'urn:uuid:another')[0]?.push?.tokens).toEqual([alert]);
    expect(takeToken(set, 'fcm', 'aa', now + 1)).toBe(set);
  });

  it('has a name that does not give it away', () => {
    const key = Buffer.alloc(32, 1);
    expect(tokenKey(key, 'apns', 'aa')).toMatch(/^[\w-]{32}$/);
    expect(
      new Set([tokenKey(key, 'apns', 'aa'), tokenKey(key, 'fcm', 'aa'), tokenKey(Buffer.alloc(32), 'apns', 'aa')]).size,
    ).toBe(3);
  });
});

describe('one device too many', () => {
  it('is refused, or takes the place of the one that has not registered for longest', () => {
    const set = ['1', '2', '3'].map((id, index) =>
      aBinding(id, push([{ kind: 'voip', token: `t${id}` }]), { registeredAt: now - 1000 * index }),
    );
    const binding = aBinding('9', push([{ kind: 'voip', token: 't9' }]));
    const register = { aor: binding.aor, callId: 'new', cseq: 1, contacts: [{ binding, expires: 3600 }] };
    expect(acceptRegister(set, register, now, { maxBindings: 3 }).is).toBe('full');
    expect(acceptRegister(set, register, now, { maxBindings: 3, whenFull: 'replace_oldest' })).toMatchObject({
      is: 'changed',
      added: ['9'],
      removed: ['3'],
    });
  });

  it('is claimed when it is new, and then once in a few lifetimes, long before the claim ends', () => {
    const hour = 3_600_000;
    const shared = aPhone();
    const at = (registeredAt: number): Binding => ({ ...shared, registeredAt, expiresAt: registeredAt + hour });
    let last = at(now);
    let until = claimsDue(undefined, last).until;
    expect(claimsDue(undefined, last).tokens).toHaveLength(1);
    let claims = 0;
    for (let refresh = 1; refresh <= 100; refresh++) {
      const next = at(now + (refresh * hour) / 2);
      const due = claimsDue(last, next);
      expect(next.expiresAt).toBeLessThan(Math.max(until, due.tokens.length > 0 ? due.until : 0));
      if (due.tokens.length > 0) ({ until } = due);
      claims += due.tokens.length;
      last = next;
    }
    expect(claims).toBeLessThanOrEqual(13);
    expect(claims).toBeGreaterThanOrEqual(12);
    const [push] = [last.push].flatMap((one) => one ?? []);
    const dead = { ...last, ...(push && { push: { ...push, deadSince: 1 } }) };
    expect(claimsDue(dead, last).tokens).toHaveLength(1);
    expect(claimsDue(last, { ...last, expiresAt: last.expiresAt + 1 }).tokens).toHaveLength(1);
  });
});
