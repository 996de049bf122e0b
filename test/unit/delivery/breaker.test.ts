/** Breakers: every order of events, times that go back included. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ask,
  type Breaker,
  closedBreaker,
  type CredentialEvent,
  credentialStep,
  type TransportEvent,
  transportStep,
} from '../../../lib/delivery/breaker.ts';

const t0 = 1_790_000_000_000;
const failed = { is: 'failed', reason: 'status 500' } as const;
const refused = { is: 'connect-failed', reason: 'ECONNREFUSED' } as const;
const answered = { is: 'answered' } as const;

function after(events: readonly TransportEvent[], breaker: Breaker = closedBreaker, now = t0): Breaker {
  return events.reduce((state, event) => transportStep(state, event, now), breaker);
}
const times = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);

describe('transport breaker', () => {
  it('opens at the fifth refused connection in a row, for five seconds', () => {
    expect(after(times(4, refused)).is).toBe('closed');
    expect(after(times(5, refused))).toMatchObject({ is: 'open', until: t0 + 5000, reason: 'ECONNREFUSED' });
    expect(after([...times(4, refused), { is: 'connected' }, ...times(4, refused)]).is).toBe('closed');
  });

  it('opens when half of twenty or more in ten seconds failed, not before', () => {
    expect(after(times(19, failed)).is).toBe('closed');
    expect(after(times(20, failed)).is).toBe('open');
    expect(after([...times(11, answered), ...times(10, failed)]).is).toBe('closed');
    expect(after([...times(11, answered), ...times(11, failed)]).is).toBe('open');
    // what was eleven seconds ago counts no more
    expect(after([failed], after(times(19, failed)), t0 + 11_000).is).toBe('closed');
  });

  it('lets one push try after the pause, closes when it is answered, and doubles the pause up to a minute when not', () => {
    let breaker = after(times(5, refused));
    let now = t0;
    const pauses: number[] = [];
    for (let count = 0; count < 6; count++) {
      if (breaker.is !== 'open') throw new Error('expected it to be open');
      pauses.push(breaker.until - now);
      expect(ask(breaker, breaker.until - 1).admitted).toBe(false);
      now = breaker.until;
      const trial = ask(breaker, now);
      expect(trial).toMatchObject({ admitted: true, breaker: { is: 'half-open' } });
      expect(ask(trial.breaker, now).admitted).toBe(false);
      expect(transportStep(trial.breaker, answered, now)).toBe(closedBreaker);
      breaker = transportStep(trial.breaker, failed, now);
    }
    expect(pauses).toEqual([5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  });

  it('lets a push try at once when a new connection is there', () => {
    const open = after(times(5, refused));
    const connected = transportStep(open, { is: 'connected' }, t0 + 700);
    expect(ask(connected, t0 + 700).admitted).toBe(true);
  });

  it('lets the next push try when the one that tried was taken back', () => {
    const trial = ask(after(times(5, refused)), t0 + 5000).breaker;
    expect(ask(trial, t0 + 5001).admitted).toBe(false);
    const free = transportStep(trial, { is: 'taken-back' }, t0 + 5001);
    expect(ask(free, t0 + 5001).admitted).toBe(true);
    expect(ask(ask(free, t0 + 5001).breaker, t0 + 5002).admitted).toBe(false);
    expect(transportStep(closedBreaker, { is: 'taken-back' }, t0)).toBe(closedBreaker);
    const open = after(times(5, refused));
    expect(transportStep(open, { is: 'taken-back' }, t0 + 1)).toBe(open);
  });

  const event = fc.oneof(
    fc.constant<TransportEvent>({ is: 'connected' }),
    fc.constant<TransportEvent>({ is: 'taken-back' }),
    fc.constant<TransportEvent>(answered),
    fc.constant<TransportEvent>(failed),
    fc.constant<TransportEvent>(refused),
    fc.constant('ask' as const),
  );
  const history = fc.array(fc.record({ event, wait: fc.integer({ min: -3000, max: 9000 }) }), { maxLength: 200 });

  it('never admits two trials at once, never stays shut for more than a minute, and keeps ten seconds only, in any order', () => {
    fc.assert(
      fc.property(history, (events) => {
        let breaker: Breaker = closedBreaker;
        let now = t0;
        let trials = 0;
        let newest = t0;
        for (const { event: one, wait } of events) {
          now += wait;
          newest = Math.max(newest, now);
          if (one === 'ask') {
            const before = breaker;
            const asked = ask(before, now);
            breaker = asked.breaker;
            if (before.is === 'closed') expect(asked.admitted).toBe(true);
            if (before.is === 'half-open' && now >= before.since && now < before.until)
              expect(asked.admitted).toBe(false);
            if (asked.admitted && before.is !== 'closed') trials += 1;
          } else breaker = transportStep(breaker, one, now);
          if (breaker.is === 'open') expect(breaker.until - breaker.since).toBeLessThanOrEqual(60_000);
          if (breaker.is === 'closed') {
            expect(breaker.seconds.length).toBeLessThanOrEqual(11);
            expect(breaker.refusedConnections).toBeLessThan(5);
          }
        }
        expect(trials).toBeLessThanOrEqual(events.length);
        // whatever has happened: a minute later it is asked again
        expect(ask(breaker, newest + 120_000).admitted).toBe(true);
      }),
    );
  });
});

describe('credential breaker', () => {
  it('opens at the first refusal, tries every 30 s, and at once with new credentials', () => {
    const open = credentialStep(closedBreaker, { is: 'refused', reason: 'InvalidProviderToken' }, t0);
    expect(open).toMatchObject({ is: 'open', until: t0 + 30_000 });
    expect(ask(open, t0 + 29_999).admitted).toBe(false);
    const trial = ask(open, t0 + 30_000).breaker;
    expect(credentialStep(trial, { is: 'refused', reason: 'Forbidden' }, t0 + 30_000)).toMatchObject({
      is: 'open',
      until: t0 + 60_000,
    });
    expect(credentialStep(trial, { is: 'accepted' }, t0 + 30_000)).toBe(closedBreaker);
    expect(credentialStep(open, { is: 'renewed' }, t0 + 1)).toBe(closedBreaker);
    expect(ask(credentialStep(trial, { is: 'taken-back' }, t0 + 30_001), t0 + 30_001).admitted).toBe(true);
  });

  it('is closed by a trial or by new credentials only, in any order of events', () => {
    const event = fc.oneof(
      fc.constant<CredentialEvent>({ is: 'refused', reason: 'Forbidden' }),
      fc.constant<CredentialEvent>({ is: 'accepted' }),
      fc.constant<CredentialEvent>({ is: 'renewed' }),
      fc.constant<CredentialEvent>({ is: 'taken-back' }),
      fc.constant('ask' as const),
    );
    fc.assert(
      fc.property(fc.array(fc.record({ event, wait: fc.nat(20_000) }), { maxLength: 100 }), (events) => {
        let breaker: Breaker = closedBreaker;
        let now = t0;
        for (const { event: one, wait } of events) {
          now += wait;
          const before = breaker;
          breaker = one === 'ask' ? ask(before, now).breaker : credentialStep(before, one, now);
          if (before.is === 'open' && breaker.is === 'closed') expect(one).toEqual({ is: 'renewed' });
          if (one !== 'ask' && one.is === 'refused') expect(breaker.is).toBe('open');
        }
      }),
    );
  });
});
