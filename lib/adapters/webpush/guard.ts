/**
 * Where we are willing to send what a phone names as its push resource (PN-SEC-10): the URL comes from outside, and a server that
 * follows it blindly can be led to the inside of its own network.
 */
import { lookup as lookupName } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

export interface GuardPolicy {
  /** host names, `*.example.com` for every name below one */
  readonly allowHosts: readonly string[];
  /** ports beside 443 */
  readonly allowPorts: readonly number[];
  /** true: private addresses too, for stand-ins and services of one's own network */
  readonly allowPrivate: boolean;
}

/** All of IPv6 that is given out to the Internet; what maps or translates an IPv4 address stands elsewhere, or is excepted below. */
const global6 = new BlockList();
global6.addSubnet('2000::', 3, 'ipv6');

/** Everything that is not the public Internet: RFC 6890 and its kin. */
const inside = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  inside.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  inside.addSubnet(net, prefix, 'ipv6');

/** Why this URL is not pushed to; undefined when it may be. Looks at the text only: `guardedLookup` looks at the addresses. */
export function refusal(text: string, policy: GuardPolicy): string | undefined {
  if (text.length > 2048 || !URL.canParse(text)) return 'not a URL';
  const url = new URL(text);
  if (url.protocol !== 'https:') return 'not https';
  if (url.username !== '' || url.password !== '') return 'credentials in the URL';
  const host = url.hostname.toLowerCase().replace(/^\[|\]$|\.$/g, '');
  if (isIP(host) !== 0 && !policy.allowPrivate) return 'an address instead of a name';
  const port = url.port === '' ? 443 : Number(url.port);
  if (port !== 443 && !policy.allowPorts.includes(port)) return 'a port that is not allowed';
  if (!policy.allowHosts.some((allowed) => fits(host, allowed.toLowerCase()))) return 'a host that is not allowed';
  return undefined;
}

function fits(host: string, allowed: string): boolean {
  if (allowed === '*') return true;
  return allowed.startsWith('*.') ? host.endsWith(allowed.slice(1)) : host === allowed;
}

/** Whether an address is part of the public Internet. */
export function isPublic(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !inside.check(address, 'ipv4');
  if (family !== 6) return false;
  // the one inside counts, or a private address could be dressed up
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return !inside.check(mapped, 'ipv4');
  return global6.check(address, 'ipv6') && !inside.check(address, 'ipv6');
}

/** A look-up for connects that fails at the first address that is not public, so that no name leads inside. */
export function guardedLookup(policy: GuardPolicy): LookupFunction {
  return (hostname, options, callback) => {
    lookupName(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0);
      const bad = policy.allowPrivate ? undefined : addresses.find(({ address }) => !isPublic(address));
      const [first] = addresses;
      if (bad !== undefined || first === undefined)
        return callback(Object.assign(new Error('not a public address'), { code: 'EACCES' }), '', 0);
      return options.all === true ? callback(null, addresses) : callback(null, first.address, first.family);
    });
  };
}
