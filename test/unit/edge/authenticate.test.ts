import { beforeEach, describe, expect, it } from 'vitest';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import { authenticate, type AuthenticateDeps, nonceLifeMs } from '../../../apps/edge/middleware/authenticate.ts';
import { UsedNonces } from '../../../apps/edge/middleware/used-nonces.ts';
import { ha1 } from '../../../lib/core/digest.ts';
import type { Domain } from '../../../lib/core/domain.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { request } from '../../../lib/sip/message.ts';
import { answerChallenge } from '../../../apps/demo/digest.ts';
import { RecordedTransaction } from '../../support/fake-dialog.ts';

const domain: Domain = {
  name: 'example.com',
  registration: 'registrar',
  withoutPath: 'accept',
  requirePath: true,
  pbxWithoutPath: 'refuse',
  serviceRoute: false,
  upstream: 'sip:192.0.2.10:5060;transport=udp',
  edgeHost: '192.0.2.1:5060;transport=udp',
  realm: 'example.com',
  algorithms: ['MD5'],
  users: new Map([['anna', { md5: ha1('anna', 'example.com', 'x', 'MD5') }]]),
};

const uri = 'sip:example.com';
let now = 0;
let deps: AuthenticateDeps;

beforeEach(() => {
  now = 1_700_000_000_000;
  deps = {
    store: openMemoryStore(),
    secret: 'secret',
    now: () => now,
    hex: () => '00aa',
    used: new UsedNonces(nonceLifeMs),
  };
});

async function ask(authorization?: string, method = 'REGISTER') {
  const fields: (readonly [string, string])[] = authorization === undefined ? [] : [['Authorization', authorization]];
  const transaction = new RecordedTransaction(request(method, uri, Headers.of(fields)));
  const outcome = await authenticate(transaction, domain, 'anna@example.com', 401, deps);
  return { outcome, headers: transaction.final?.headers ?? Headers.empty() };
}

/** What a phone that knows the password answers to a challenge. */
function answer(headers: Headers): string {
  return (
    answerChallenge({ status: 401, headers }, { method: 'REGISTER', uri }, { user: 'anna', password: 'x' })?.[1] ?? ''
  );
}

describe('an answer to a challenge', () => {
  it('[EDGE-AUTH-08] is good once: whoever has overheard it is asked again, and so is the phone, which knows more', async () => {
    const first = answer((await ask()).headers);
    expect((await ask(first)).outcome).toBe('passed');
    now += 1000;
    const again = await ask(first);
    expect(again.outcome).toBe('challenged');
    expect(again.headers.get('WWW-Authenticate')).toContain('stale=true');
    expect((await ask(answer(again.headers))).outcome).toBe('passed');
  });

  it('[EDGE-AUTH-08] with a higher count is another one', async () => {
    const first = answer((await ask()).headers);
    await ask(first);
    const used = new UsedNonces(nonceLifeMs);
    const count = (nc: string) => ({
      scheme: 'Digest',
      params: [
        { name: 'nonce', value: 'n', quoted: true },
        { name: 'nc', value: nc, quoted: false },
      ],
    });
    expect(
      ['00000001', '00000002', '00000001', '2', '0000000A', '0000000a'].map((nc) => used.use(count(nc), now)),
    ).toEqual([true, true, false, false, true, false]);
  });

  it('is remembered as long as its nonce is good and not for ever', async () => {
    const used = new UsedNonces(nonceLifeMs);
    const of = (nonce: string) => ({
      scheme: 'Digest',
      params: [
        { name: 'nonce', value: nonce, quoted: true },
        { name: 'nc', value: '1', quoted: false },
      ],
    });
    for (let at = 0; at < 20; at++) {
      used.use(of(`n${at}`), now);
      expect(used.use(of(`n${at}`), now + nonceLifeMs)).toBe(false);
      now += nonceLifeMs + 1;
    }
    expect(used.size).toBeLessThanOrEqual(4);
  });
});
