import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  algorithmOf,
  challenge,
  checkNonce,
  type DigestAlgorithm,
  findCredentials,
  ha1,
  mintNonce,
  verifyDigest,
} from '../../lib/core/digest.ts';
import { type Auth, parseAuth } from '../../lib/sip/auth.ts';

function auth(text: string): Auth {
  const parsed = parseAuth(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

/** RFC 7616 3.9.1: the same request answered with two algorithms. */
const rfc7616 = (algorithm: DigestAlgorithm, response: string): Auth =>
  auth(
    `Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=${algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="${response}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
  );
const md5Answer = rfc7616('MD5', '8ca523f5e9506fed4657c9700eebdbec');
const sha256Answer = rfc7616('SHA-256', '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1');
const secret = {
  md5: ha1('Mufasa', 'http-auth@example.org', 'Circle of Life', 'MD5'),
  sha256: ha1('Mufasa', 'http-auth@example.org', 'Circle of Life', 'SHA-256'),
  sha512256: ha1('Mufasa', 'http-auth@example.org', 'Circle of Life', 'SHA-512-256'),
};

describe('digest answers', () => {
  test('[EDGE-AUTH-03] the vectors of RFC 7616 3.9.1 verify', () => {
    expect(verifyDigest({ method: 'GET', credentials: md5Answer, secret })).toBe(true);
    expect(verifyDigest({ method: 'GET', credentials: sha256Answer, secret })).toBe(true);
  });

  test('[EDGE-AUTH-04] the vector of RFC 2617 3.5 verifies', () => {
    const credentials = auth(
      'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
    );
    const md5 = ha1('Mufasa', 'testrealm@host.com', 'Circle Of Life', 'MD5');
    expect(md5).toBe('939e7578ed9e3c518a452acee763bce9');
    expect(verifyDigest({ method: 'GET', credentials, secret: { md5 } })).toBe(true);
  });

  test('[EDGE-AUTH-04] an answer without qop is that of RFC 2069 clients', () => {
    // RFC 2069 2.4 with erratum 749
    const credentials = auth(
      'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
    );
    const md5 = ha1('Mufasa', 'testrealm@host.com', 'CircleOfLife', 'MD5');
    expect(verifyDigest({ method: 'GET', credentials, secret: { md5 } })).toBe(true);
  });

  test('[EDGE-AUTH-03] an algorithm without a secret is not accepted', () => {
    expect(verifyDigest({ method: 'GET', credentials: md5Answer, secret: { sha256: secret.sha256 } })).toBe(false);
    expect(verifyDigest({ method: 'GET', credentials: sha256Answer, secret: { md5: secret.md5 } })).toBe(false);
  });

  test('another method, secret, request-URI or response is refused', () => {
    const right = { method: 'GET', credentials: sha256Answer, secret };
    expect(verifyDigest({ ...right, method: 'REGISTER' })).toBe(false);
    expect(
      verifyDigest({ ...right, secret: { sha256: secret.sha256.replace(/./, (c) => (c === '0' ? '1' : '0')) } }),
    ).toBe(false);
    expect(verifyDigest({ ...right, uri: '/dir/index.html' })).toBe(true);
    expect(verifyDigest({ ...right, uri: '/other' })).toBe(false);
    expect(verifyDigest({ ...right, credentials: rfc7616('SHA-256', 'ff') })).toBe(false);
    expect(verifyDigest({ ...right, credentials: rfc7616('SHA-256', '') })).toBe(false);
  });

  test('[EDGE-AUTH-10] an unknown user is refused, whatever he sends', () => {
    expect(verifyDigest({ method: 'GET', credentials: sha256Answer, secret: undefined })).toBe(false);
    expect(verifyDigest({ method: 'GET', credentials: sha256Answer, secret: {} })).toBe(false);
    expect(verifyDigest({ method: 'GET', credentials: sha256Answer, secret: { sha256: '' } })).toBe(false);
  });

  test('[EDGE-AUTH-10] the stand-in secret of unknown users opens nothing', () => {
    const zero = '0'.repeat(32);
    const known = answer({ method: 'REGISTER', uri: 'sip:h', ha1: zero, qop: 'auth' });
    expect(verifyDigest({ method: 'REGISTER', credentials: known, secret: { md5: zero } })).toBe(true);
    expect(verifyDigest({ method: 'REGISTER', credentials: known, secret: undefined })).toBe(false);
  });

  test('[EDGE-AUTH-05] Basic is never accepted', () => {
    expect(verifyDigest({ method: 'GET', credentials: { ...md5Answer, scheme: 'Basic' }, secret })).toBe(false);
    expect(findCredentials([{ ...md5Answer, scheme: 'Basic' }], 'http-auth@example.org')).toBeUndefined();
    expect(findCredentials([sha256Answer], 'http-auth@example.org')).toBe(sha256Answer);
    expect(findCredentials([sha256Answer], 'other')).toBeUndefined();
  });

  test('auth-int covers the body', () => {
    const credentials = answer({ method: 'MESSAGE', uri: 'sip:h', ha1: secret.md5, qop: 'auth-int', body: 'hello' });
    expect(verifyDigest({ method: 'MESSAGE', credentials, secret, body: 'hello' })).toBe(true);
    expect(verifyDigest({ method: 'MESSAGE', credentials, secret, body: 'hallo' })).toBe(false);
  });

  test('the request-URI may be written in another way', () => {
    const credentials = answer({
      method: 'REGISTER',
      uri: 'sip:example.com;transport=tcp',
      ha1: secret.md5,
      qop: 'auth',
    });
    expect(verifyDigest({ method: 'REGISTER', uri: 'sip:EXAMPLE.com', credentials, secret })).toBe(true);
    expect(verifyDigest({ method: 'REGISTER', uri: 'sip:example.org', credentials, secret })).toBe(false);
  });

  test('an unknown algorithm or protection is refused', () => {
    expect(algorithmOf(auth('Digest algorithm=sha-256'))).toBe('SHA-256');
    expect(algorithmOf(auth('Digest realm="x"'))).toBe('MD5');
    const sess = auth('Digest algorithm=MD5-sess, nonce="n", uri="u", response="r"');
    expect(algorithmOf(sess)).toBeUndefined();
    expect(verifyDigest({ method: 'GET', credentials: sess, secret })).toBe(false);
    const odd = answer({ method: 'GET', uri: 'u', ha1: secret.md5, qop: 'auth-conf' });
    expect(verifyDigest({ method: 'GET', credentials: odd, secret })).toBe(false);
  });

  test('any credentials are judged without a throw', () => {
    const name = fc.constantFrom('uri', 'nonce', 'nc', 'cnonce', 'qop', 'response', 'algorithm', 'realm');
    const param = fc.record({ name, value: fc.string({ unit: 'binary' }), quoted: fc.boolean() });
    fc.assert(
      fc.property(fc.array(param), fc.string(), (params, uri) => {
        expect(verifyDigest({ method: 'REGISTER', uri, credentials: { scheme: 'Digest', params }, secret })).toBe(
          false,
        );
      }),
    );
  });
});

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex');
}

/** What a client sends, written out once more so that the code under test is not asked about itself. */
function answer({
  method,
  uri,
  ha1: a1,
  qop,
  body,
}: {
  method: string;
  uri: string;
  ha1: string;
  qop: string;
  body?: string;
}): Auth {
  const a2 = md5(qop === 'auth-int' ? `${method}:${uri}:${md5(body ?? '')}` : `${method}:${uri}`);
  const response = md5(`${a1}:n1:00000001:c1:${qop}:${a2}`);
  return auth(
    `Digest username="u", realm="r", nonce="n1", uri="${uri}", qop=${qop}, nc=00000001, cnonce="c1", response="${response}", algorithm=MD5`,
  );
}

describe('challenges', () => {
  test('[EDGE-AUTH-02] one for each algorithm, best first', () => {
    const values = challenge({ realm: 'example.com', nonce: 'n', algorithms: ['MD5', 'SHA-256'] });
    expect(values).toEqual([
      'Digest realm="example.com", nonce="n", algorithm=SHA-256, qop="auth"',
      'Digest realm="example.com", nonce="n", algorithm=MD5, qop="auth"',
    ]);
  });

  test('[EDGE-AUTH-04] always with qop', () => {
    for (const value of challenge({ realm: 'r', nonce: 'n', algorithms: ['MD5', 'SHA-256', 'SHA-512-256'] }))
      expect(value).toContain('qop="auth"');
  });

  test('[EDGE-AUTH-08] a stale nonce is told', () => {
    expect(challenge({ realm: 'r', nonce: 'n', algorithms: ['MD5'], stale: true, opaque: 'o' })).toEqual([
      'Digest realm="r", nonce="n", opaque="o", stale=true, algorithm=MD5, qop="auth"',
    ]);
  });
});

describe('nonces', () => {
  const now = 1_700_000_000_000;

  test('[EDGE-AUTH-08] are ours, fresh for a time and stale afterwards', () => {
    const nonce = mintNonce('key', now, 'a1b2');
    expect(nonce).toMatch(/^[0-9a-z]+\.a1b2\.[A-Za-z0-9_-]{24}$/);
    expect(checkNonce('key', nonce, now, 60_000)).toBe('fresh');
    expect(checkNonce('key', nonce, now + 60_000, 60_000)).toBe('fresh');
    expect(checkNonce('key', nonce, now + 60_001, 60_000)).toBe('stale');
    expect(checkNonce('key', nonce, now - 60_001, 60_000)).toBe('stale');
  });

  test('[EDGE-AUTH-08] are refused after any change and under another key', () => {
    const nonce = mintNonce('key', now, 'a1b2');
    expect(checkNonce('other', nonce, now, 60_000)).toBe('forged');
    for (let at = 0; at < nonce.length; at++) {
      const c = nonce[at] === 'x' ? 'y' : 'x';
      expect(checkNonce('key', nonce.slice(0, at) + c + nonce.slice(at + 1), now, 60_000)).toBe('forged');
    }
    expect(checkNonce('key', `${nonce}x`, now, 60_000)).toBe('forged');
  });

  test('any text but ours is forged', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(checkNonce('key', text, now, 60_000)).toBe('forged');
      }),
    );
  });
});
