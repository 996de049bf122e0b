import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { challenge, type DigestAlgorithm, ha1, verifyDigest } from '../../../lib/core/digest.ts';
import { answerChallenge, type Challenge, readChallenges } from '../../../lib/core/digest-client.ts';
import { parseAuth } from '../../../lib/sip/auth.ts';
import { Headers } from '../../../lib/sip/headers.ts';

const login = { user: 'Mufasa', password: 'Circle of Life' };
const asks = { method: 'GET', uri: '/dir/index.html', body: '', count: 1 };

function responseOf(value: string): string | undefined {
  return /response="([0-9a-f]+)"/.exec(value)?.[1];
}

describe('digest, the client side', () => {
  it.each([
    ['MD5', '8ca523f5e9506fed4657c9700eebdbec'],
    ['SHA-256', '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1'],
  ] as const)('gives the response of RFC 7616 3.9.1 for %s', (algorithm, response) => {
    const one: Challenge = {
      proxy: false,
      realm: 'http-auth@example.org',
      nonce: '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v',
      algorithm,
      session: false,
      qop: 'auth',
      opaque: 'FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS',
      stale: false,
    };
    const cnonce = 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ';
    const [name, value] = answerChallenge(one, login, { ...asks, cnonce });
    expect(name).toBe('Authorization');
    expect(responseOf(value)).toBe(response);
  });

  it('gives the response of RFC 2069 where the server knows no qop', () => {
    const headers = Headers.of([
      ['WWW-Authenticate', 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'],
    ]);
    const [one] = readChallenges(headers, undefined);
    const [, value] = answerChallenge(one as Challenge, login, { ...asks, cnonce: 'x' });
    expect(value).not.toMatch(/cnonce|nc=|qop/);
  });

  it('what it answers to any challenge of ours our own server accepts, and nobody else s password', () => {
    fc.assert(
      fc.property(
        fc.subarray<DigestAlgorithm>(['MD5', 'SHA-256', 'SHA-512-256'], { minLength: 1 }),
        fc.string({ maxLength: 20 }),
        fc.string({ maxLength: 20 }),
        fc.integer({ min: 1, max: 0xffffffff }),
        fc.boolean(),
        (algorithms, user, password, count, proxy) => {
          const offered = challenge({ realm: 'r"e\\alm', nonce: 'n1', algorithms, opaque: 'o' });
          const name = proxy ? 'Proxy-Authenticate' : 'WWW-Authenticate';
          const headers = Headers.of(offered.map((value): [string, string] => [name, value]));
          const [one, ...more] = readChallenges(headers, 'r"e\\alm');
          expect(more).toEqual([]);
          if (one === undefined) throw new Error('no challenge was read');
          expect(one.proxy).toBe(proxy);
          const ask = { method: 'REGISTER', uri: 'sip:pbx', body: '', count, cnonce: 'abc' };
          const [, value] = answerChallenge(one, { user, password }, ask);
          const credentials = parseAuth(value);
          if (credentials === undefined) throw new Error('not readable');
          const secretOf = (text: string) => ({
            md5: ha1(user, one.realm, text, 'MD5'),
            sha256: ha1(user, one.realm, text, 'SHA-256'),
            sha512256: ha1(user, one.realm, text, 'SHA-512-256'),
          });
          expect(verifyDigest({ method: 'REGISTER', uri: 'sip:pbx', credentials, secret: secretOf(password) })).toBe(
            true,
          );
          expect(verifyDigest({ method: 'REGISTER', credentials, secret: secretOf(`${password}x`) })).toBe(false);
        },
      ),
    );
  });

  it('takes the first it knows of each realm, of both header fields, and no strangers', () => {
    const headers = Headers.of([
      ['WWW-Authenticate', 'Digest realm="a", nonce="1", algorithm=NONSENSE'],
      ['WWW-Authenticate', 'Digest realm="a", nonce="2", algorithm=SHA-256, qop="auth-int,auth"'],
      ['WWW-Authenticate', 'Digest realm="a", nonce="3", algorithm=MD5'],
      ['WWW-Authenticate', 'Basic realm="a"'],
      ['WWW-Authenticate', 'Digest realm="a2", nonce="9", qop="dance"'],
      ['Proxy-Authenticate', 'Digest realm="a", nonce="4", stale=TRUE'],
      ['Proxy-Authenticate', 'Digest realm="b", nonce="5", algorithm=MD5-sess'],
    ]);
    expect(readChallenges(headers, undefined)).toMatchObject([
      { realm: 'a', nonce: '2', algorithm: 'SHA-256', qop: 'auth', proxy: false },
      { realm: 'a', nonce: '4', stale: true, proxy: true },
      { realm: 'b', nonce: '5', session: true },
    ]);
    expect(readChallenges(headers, 'b')).toHaveLength(1);
    expect(readChallenges(headers, 'c')).toEqual([]);
  });

  it('reads anything without breaking', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (lines) => {
        const fields = lines.map((line): [string, string] => ['WWW-Authenticate', `Digest ${line}`]);
        expect(Array.isArray(readChallenges(Headers.of(fields), undefined))).toBe(true);
      }),
    );
  });
});
