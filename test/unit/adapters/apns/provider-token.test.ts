import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  backdated,
  gridStep,
  isRenewalDue,
  longestAge,
  onExpired,
  ProviderTokenSource,
  shortestAge,
} from '../../../../lib/adapters/apns/provider-token.ts';
import { EdgeError } from '../../../../lib/errors.ts';

const minute = 60_000;
/** on a line of the grid */
const t0 = Math.floor(1_700_000_000_000 / (2 * gridStep)) * 2 * gridStep;
const life = 2 * gridStep;
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const aSource = (): ProviderTokenSource => new ProviderTokenSource('TEAM000001', 'KEY0000001', pem);

function partsOf(token: string): { header: unknown; claims: unknown; isGood: boolean } {
  const [header = '', claims = '', signature = ''] = token.split('.');
  const read = (part: string): unknown => JSON.parse(Buffer.from(part, 'base64url').toString());
  const key = { key: createPublicKey(privateKey), dsaEncoding: 'ieee-p1363' } as const;
  return {
    header: read(header),
    claims: read(claims),
    isGood: verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url')),
  };
}

describe('provider token', () => {
  it('is an ES256 JWT that says team, key and time', () => {
    expect(partsOf(aSource().current(t0 + 999).text)).toEqual({
      header: { alg: 'ES256', kid: 'KEY0000001' },
      claims: { iss: 'TEAM000001', iat: (t0 - backdated) / 1000 },
      isGood: true,
    });
  });

  it('stays the same until it is due, then changes once', () => {
    const source = aSource();
    const first = source.current(t0);
    expect(source.current(t0 + life - 1)).toBe(first);
    const second = source.current(t0 + life);
    expect(second.generation).toBe(first.generation + 1);
    expect(source.current(t0 + life)).toBe(second);
  });

  it('is renewed by its first victim only', () => {
    const source = aSource();
    const old = source.current(t0);
    const now = t0 + 25 * minute;
    for (let victim = 0; victim < 32; victim += 1) expect(source.expired(old.generation, now)).toBe('retry');
    expect(source.current(now).generation).toBe(old.generation + 1);
  });

  it('is not renewed when it is too young to have expired', () => {
    const source = aSource();
    const token = source.current(t0);
    expect(source.expired(token.generation, t0 + shortestAge - 1)).toBe('useless');
    expect(source.current(t0 + shortestAge - 1)).toBe(token);
  });

  it('gives way to the one before for twenty minutes when APNs saw too many', () => {
    const source = aSource();
    const first = source.current(t0);
    const now = t0 + 30 * minute;
    source.expired(first.generation, now);
    const second = source.current(now);
    source.tooMany(second.generation, now);
    expect(source.current(now)).toBe(first);
    expect(source.current(now + 19 * minute)).toBe(first);
    expect(source.current(now + 21 * minute).generation).toBe(second.generation + 1);
  });

  it('is made anew when the clock was set far back', () => {
    const source = aSource();
    const first = source.current(t0);
    expect(source.current(t0 - 5 * minute)).toBe(first);
    expect(source.current(t0 - 60 * minute)).not.toBe(first);
  });

  it('never gets older than APNs allows, and never two within twenty minutes, whatever the answers', () => {
    const step = fc.record({
      wait: fc.integer({ min: 0, max: 50 * minute }),
      answer: fc.constantFrom('good', 'expired', 'stale'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const source = aSource();
        const signed = new Map<number, number>();
        let now = t0;
        for (const { wait, answer } of steps) {
          now += wait;
          const token = source.current(now);
          signed.set(token.generation, token.signedAt);
          expect(now - token.signedAt).toBeLessThan(longestAge);
          if (answer === 'expired') source.expired(token.generation, now);
          if (answer === 'stale') source.expired(token.generation - 1, now);
        }
        const times = [...signed.values()];
        for (const [index, at] of times.entries()) {
          if (index > 0) expect(at - (times[index - 1] ?? 0)).toBeGreaterThanOrEqual(shortestAge);
        }
      }),
    );
  });

  it('is the same on every node, and after a restart', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 * life }), fc.integer({ min: 0, max: 2 * life }), (one, other) => {
        const isSameLife = Math.floor((t0 + one) / life) === Math.floor((t0 + other) / life);
        const texts = [aSource().current(t0 + one).text, aSource().current(t0 + other).text];
        expect(texts[0] === texts[1]).toBe(isSameLife);
      }),
      { numRuns: 20 },
    );
  });

  it('refuses an unreadable key without quoting it', () => {
    const secret = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----';
    const make = (): unknown => new ProviderTokenSource('T', 'KEY0000001', secret);
    expect(make).toThrow(EdgeError);
    expect(make).toThrow(/KEY0000001: expected the PEM text of a \.p8 file/);
    expect(make).not.toThrow(/c2VjcmV0/);
  });

  it('refuses a key on another curve', () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({
      type: 'pkcs8',
      format: 'pem',
    });
    expect(() => new ProviderTokenSource('T', 'K', other.toString())).toThrow(/P-256/);
  });
});

describe('token rules', () => {
  it('knows when a renewal is due', () => {
    const token = { generation: 1, signedAt: t0 };
    expect(isRenewalDue(token, t0 + life - 1, 0)).toBe(false);
    expect(isRenewalDue(token, t0 + life, 0)).toBe(true);
    expect(isRenewalDue(token, t0 + life, t0 + longestAge)).toBe(false);
    expect(isRenewalDue(token, t0 + longestAge, t0 + 2 * longestAge)).toBe(true);
  });

  it('knows what to do about an expired one', () => {
    const token = { generation: 7, signedAt: t0 };
    expect(onExpired(token, 6, t0 + 1)).toBe('retry');
    expect(onExpired(token, 7, t0 + 1)).toBe('clock-wrong');
    expect(onExpired(token, 7, t0 + shortestAge + backdated)).toBe('renew');
  });
});
