/** Where a phone may not lead us: the text of the URL, and the addresses behind its name. */
import { describe, expect, it } from 'vitest';
import { type GuardPolicy, isPublic, refusal } from '../../../../lib/adapters/webpush/guard.ts';

const policy: GuardPolicy = {
  allowHosts: ['web.push.example', '*.push.example'],
  allowPorts: [8443],
  allowPrivate: false,
};
const anyHost: GuardPolicy = { ...policy, allowHosts: ['*'] };

describe('[PN-SEC-10] the guard of push resources', () => {
  it.each([
    'https://127.0.0.1/x',
    'https://127.0.0.1./x',
    'https://127.1/x',
    'https://0x7f.1/x',
    'https://2130706433/x',
    'https://[::1]/x',
    'https://[::ffff:7f00:1]/x',
    'https://93.184.216.34/x',
  ])('takes no address for a name, however it is written: %s', (url) => {
    expect(refusal(url, anyHost)).toBe('an address instead of a name');
  });

  it.each([
    ['http://web.push.example/x', 'not https'],
    ['https://user@web.push.example/x', 'credentials in the URL'],
    ['https://web.push.example:444/x', 'a port that is not allowed'],
    ['https://web.push.example.evil.example/x', 'a host that is not allowed'],
    ['https://evilpush.example/x', 'a host that is not allowed'],
    ['https://push.example/x', 'a host that is not allowed'],
    ['web.push.example', 'not a URL'],
  ])('refuses %s', (url, why) => {
    expect(refusal(url, policy)).toBe(why);
  });

  it.each(['https://web.push.example/x', 'https://a.push.example:8443/x', 'https://WEB.push.example./x'])(
    'lets pass %s',
    (url) => {
      expect(refusal(url, policy)).toBeUndefined();
    },
  );

  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '169.254.169.254',
    '0.0.0.0',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fec0::1',
    'fd00::1',
    'ff02::1',
    '2001:db8::1',
    // a private IPv4 address in all the dresses there are
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::7f00:1',
    '::127.0.0.1',
    '::ffff:0:7f00:1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
  ])('keeps away from %s', (address) => {
    expect(isPublic(address)).toBe(false);
  });

  it.each(['8.8.8.8', '::ffff:8.8.8.8', '2606:4700::1111', '2a00:1450:4001::1'])('goes to %s', (address) => {
    expect(isPublic(address)).toBe(true);
  });
});
