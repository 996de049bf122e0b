import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pridHash } from '../../../lib/telemetry/log-fields.ts';
import { mask, redact, redactJson } from '../../../lib/telemetry/redact.ts';

const hex = '00FC13ADFF785122B4AD28809A3420982341241421348097878E577C991DE8F0';

/** Each holds the text S3CRET (or the token above) where a secret would be. */
const carriers = [
  'Contact: <sip:1001@10.0.0.9:5060;transport=tcp;pn-provider=apns;pn-param=ABCDE12345.com.example.app.voip;pn-prid=S3CRET>;expires=3600',
  '<sip:1001@10.0.0.9;pn-prid="S3CRET and more";pn-provider=fcm>',
  '<sip:1001@10.0.0.9;PN-PRID = S3CRET;ob>',
  'sip:1001@10.0.0.9;pn-prid=S3CRET:voip&S3CRET:remote;pn-silent=1',
  'sip:1001@10.0.0.9;pn-prid%3DS3CRET',
  'sip:1001@10.0.0.9;app-id=com.example.dev;pn-type=apple;pn-tok=S3CRET;pn-timeout=0',
  'sip:1001@10.0.0.9;pn-type=wp;pn-uri=https://push.example/S3CRET',
  'sip:1001@10.0.0.9;fcm-token=S3CRET',
  'sip:1001@edge.example;pn-purr=S3CRET;lr',
  'Authorization: Digest username="1001", realm="example.com", nonce="abc", uri="sip:example.com", response="S3CRET"',
  'Proxy-Authorization:Digest username="1001", response=S3CRET, cnonce="S3CRET"\r\nExpires: 60',
  'Digest username="1001", realm="example.com", response="S3CRET", algorithm=MD5, opaque="S3CRET"',
  'authorization: bearer S3CRETS3CRET',
  'Bearer S3CRET.S3CRET-S3CRET_',
  'eyJS3CRET.eyJS3CRET.S3CRET-_',
  'vapid t=eyJhS3CRET.b.c, k=S3CRET',
  'v=0\r\nk=base64:S3CRET\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:S3CRET|2^20\r\n',
  'POST /3/device/S3CRET HTTP/2',
  'redis://user:S3CRET@10.0.0.5:6379/0 does not answer',
  'sip:1001:S3CRET@example.com;transport=udp',
  '-----BEGIN PRIVATE KEY-----\nS3CRET\nS3CRET\n-----END PRIVATE KEY-----\n',
  `the token ${hex} and ${hex.toLowerCase()}`,
];

describe('redact', () => {
  it.each(carriers)('masks what is secret in %j', (text) => {
    const clean = redact(text);
    expect(clean).toContain(mask);
    expect(clean).not.toMatch(new RegExp(`S3CRET|${hex}`, 'i'));
  });

  it.each(carriers)('masks it in JSON, which stays JSON: %j', (text) => {
    const line = redactJson(JSON.stringify({ before: 1, text, nested: { list: [text] }, after: 'kept' }));
    expect(line).not.toMatch(new RegExp(`S3CRET|${hex}`, 'i'));
    expect(JSON.parse(line)).toMatchObject({ before: 1, after: 'kept' });
  });

  it.each(['authorization', 'password', 'secret', 'prid', 'token', 'deviceToken', 'tokens', 'ha1'])(
    'masks a member named %s',
    (name) => {
      const line = redactJson(
        JSON.stringify({ [name]: 'S3"C\\RET', list: { [name]: ['S3]CRET', 'S3"CRET'] }, after: 'kept' }),
      );
      expect(JSON.parse(line)).toMatchObject({ [name]: mask, after: 'kept' });
      expect(line).not.toMatch(/S3|RET/);
    },
  );

  it('leaves alone what an operator needs', () => {
    const line = JSON.stringify({
      aor: '1001@example.com',
      callId: 'a84b4c76e66710@pc33.example.com',
      pridHash: pridHash('x'),
      outcome: 'token-dead',
      remote: '[2001:db8::1]:5060',
      contact:
        '<sip:1001@10.0.0.9:5060;transport=tcp;pn-provider=apns;pn-param=ABCDE12345.com.example.app>;expires=3600',
      message: 'The response to the REGISTER was late; nonce=abc, key=7, stack=3',
    });
    expect(redact(line)).toBe(line);
    expect(redactJson(line)).toBe(line);
  });

  it('keeps JSON readable whatever was logged', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom('token', 'Contact', 'prid', 'x'),
        fc.constantFrom('', 'pn-prid=', 'response="', 'k='),
        (value, name, start) => {
          const line = redactJson(JSON.stringify({ [name]: value, text: start + JSON.stringify(value) }));
          expect(Object.keys(JSON.parse(line) as object)).toEqual([name, 'text']);
        },
      ),
      { numRuns: 1000 },
    );
  });

  // a pattern that goes quadratic makes this run into its time limit
  it('gets through text made to be slow', () => {
    for (const nasty of [
      '-----BEGIN A-----',
      'pn-prid=',
      'Authorization: ',
      '"token":"',
      'a://b:',
      'eyJa.',
      'sip:a:',
      'pn-prid="',
      '"token":["',
      '-----BEGIN ',
    ]) {
      const text = nasty.repeat(20_000);
      expect(redact(text).length).toBeGreaterThan(0);
      expect(redactJson(JSON.stringify({ text })).length).toBeGreaterThan(0);
    }
  });

  it('hashes a PRID to something short that matches itself only', () => {
    expect(pridHash('token')).toMatch(/^[0-9a-f]{12}$/);
    expect(pridHash('token')).toBe(pridHash('token'));
    expect(pridHash('token')).not.toBe(pridHash('Token'));
  });
});
