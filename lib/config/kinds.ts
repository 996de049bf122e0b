/** The kinds of value a config key can have: each a zod schema and the words in which we say what was expected. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { Secret } from './secret.ts';

export interface Kind<T extends z.ZodType> {
  readonly schema: T;
  /** reads on from "expected" */
  readonly expected: string;
  /** for lists: the same words for one entry */
  readonly entry?: string;
  /** such values are never shown, not even a wrong one */
  readonly secret?: true;
}

export interface SipListener {
  readonly transport: 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';
  /** without brackets; `0.0.0.0` and `::` mean every address */
  readonly address: string;
  /** 0: a free port is taken */
  readonly port: number;
  /** what peers are told instead, IPv6 without brackets */
  readonly advertise?: { readonly host: string; readonly port?: number };
}

export interface HostPort {
  /** without brackets */
  readonly address: string;
  /** 0: a free port is taken */
  readonly port: number;
}

export interface SipPeer {
  /** as written in the config */
  readonly uri: string;
  /** name or address, IPv6 without brackets */
  readonly host: string;
  /** where a name leaves them out, DNS says them (RFC 3263) */
  readonly port?: number;
  readonly transport?: 'udp' | 'tcp' | 'tls';
}

/** Fits `net.BlockList.addSubnet(address, prefix, family)`. */
export interface Subnet {
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

export function integer(min: number, max: number, unit = '') {
  return {
    schema: z.int().min(min).max(max),
    expected: `a whole number${unit === '' ? '' : ` of ${unit}`}, ${min} to ${max}`,
  };
}

export function oneOf<const T extends readonly [string, ...string[]]>(...words: T) {
  return { schema: z.enum(words), expected: words.length === 1 ? `"${words[0]}"` : `one of ${words.join(', ')}` };
}

export const yesOrNo = { schema: z.boolean(), expected: 'true or false' };

export function text(expected: string, pattern: RegExp) {
  return { schema: z.string().regex(pattern), expected };
}

export function secretText(expected: string, pattern: RegExp = /^[^\0\r\n]{1,4096}$/) {
  return {
    schema: z
      .string()
      .regex(pattern)
      .transform((value) => new Secret(value)),
    expected,
    secret: true as const,
  };
}

/** It travels in one short frame whose parts are divided by `|`. */
export function controlSecret(whose: string) {
  return secretText(`${whose} as text, at most 1024 characters and no vertical bar`, /^[^\0\r\n|]{1,1024}$/);
}

export function listOf<T extends z.ZodType>(kind: Kind<T>, expected: string, min = 0) {
  return { schema: z.array(kind.schema).min(min), expected, entry: kind.expected };
}

/** A kind whose text is taken apart; `read` gives undefined for what it cannot accept. */
export function parsed<T>(expected: string, read: (value: string) => T | undefined) {
  const schema = z.string().transform((value, context): T => {
    const result = read(value);
    if (result !== undefined) return result;
    context.addIssue({ code: 'custom', message: expected });
    return z.NEVER;
  });
  return { schema, expected };
}

const hostName = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$/;

export function isHost(value: string): boolean {
  // four numbers with dots are an address or a mistake, never a name
  return isIP(value) !== 0 || (hostName.test(value) && !/^[\d.]+$/.test(value));
}

function readPort(value: string): number | undefined {
  if (!/^\d{1,5}$/.test(value)) return undefined;
  const port = Number(value);
  return port <= 65_535 ? port : undefined;
}

function splitHostPort(value: string): { readonly host: string; readonly port: number } | undefined {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d+)$/.exec(value);
  if (found === null) return undefined;
  const host = found[1] ?? found[2] ?? '';
  const port = readPort(found[3] ?? '');
  if (port === undefined || (found[1] !== undefined && isIP(host) !== 6)) return undefined;
  return { host, port };
}

export const hostAndPort = parsed<{ readonly host: string; readonly port: number }>(
  'host:port such as redis-1.example.com:6379 or [::1]:6379',
  (value) => {
    const found = splitHostPort(value);
    return found !== undefined && (isIP(found.host) !== 0 || isHost(found.host)) ? found : undefined;
  },
);

export function readHostPort(value: string): HostPort | undefined {
  const found = splitHostPort(value);
  return found !== undefined && isIP(found.host) !== 0 ? { address: found.host, port: found.port } : undefined;
}

export const hostPort = parsed<HostPort>('address:port such as 0.0.0.0:9090 or [::1]:9090', readHostPort);

export const sipListener = parsed<SipListener>(
  'transport://address:port[;advertise=host[:port]] such as udp://0.0.0.0:5060, the transport udp, tcp, tls, ws or wss',
  (value) => {
    const found = /^(udp|tcp|tls|ws|wss):\/\/([^;]+)(?:;advertise=(.+))?$/.exec(value);
    const at = found === null ? undefined : splitHostPort(found[2] ?? '');
    if (found === null || at === undefined || isIP(at.host) === 0) return undefined;
    const transport = found[1] as SipListener['transport'];
    if (found[3] === undefined) return { transport, address: at.host, port: at.port };
    const advertise = readAdvertised(found[3]);
    return advertise === undefined ? undefined : { transport, address: at.host, port: at.port, advertise };
  },
);

/** `host`, `host:port`, `[address]` or `[address]:port`. */
function readAdvertised(value: string): { readonly host: string; readonly port?: number } | undefined {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(value);
  const name = found?.[1] ?? found?.[2] ?? '';
  if (found === null || (found[1] !== undefined ? isIP(name) !== 6 : !isHost(name))) return undefined;
  if (found[3] === undefined) return { host: name };
  const port = readPort(found[3]);
  return port === undefined || port === 0 ? undefined : { host: name, port };
}

/** As `dns.setServers` takes it. */
export const dnsServer = parsed<string>(
  'an address or address:port such as 10.0.0.53 or [2001:db8::53]:5353',
  (value) => {
    if (isIP(value) !== 0) return value;
    const found = splitHostPort(value);
    return found !== undefined && isIP(found.host) !== 0 && found.port > 0 ? value : undefined;
  },
);

/** As browsers write it: scheme and host in small letters, no path (RFC 6454 6.1). */
export const origin = parsed<string>('an origin such as https://phone.example.com', (value) => {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/i.test(value) || !URL.canParse(value)) return undefined;
  const { protocol, host: place } = new URL(value);
  return `${protocol}//${place}`.toLowerCase();
});

export const host = parsed<string>('a host name or an IP address', (value) => (isHost(value) ? value : undefined));

export const sipPeer = parsed<SipPeer>(
  'sip:host[:port][;transport=udp|tcp|tls] such as sip:10.0.0.5:5060;transport=udp or sip:pbx.example.com, or sips:host[:port]',
  (value) => {
    const found =
      /^(sips?):(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?(?:;transport=(udp|tcp|tls))?$/i.exec(value);
    if (found === null) return undefined;
    const name = found[2] ?? found[3] ?? '';
    const named = found[5]?.toLowerCase() as SipPeer['transport'];
    const secure = found[1]?.toLowerCase() === 'sips';
    if (secure && named === 'udp') return undefined;
    const transport = secure ? 'tls' : named;
    const port = found[4] === undefined ? undefined : readPort(found[4]);
    if (found[4] !== undefined && (port === undefined || port === 0)) return undefined;
    if (found[2] !== undefined ? isIP(name) !== 6 : !isHost(name)) return undefined;
    return {
      uri: value,
      host: name,
      ...(port === undefined ? {} : { port }),
      ...(transport === undefined ? {} : { transport }),
    };
  },
);

export const subnet = parsed<Subnet>('an address or a subnet such as 10.0.0.0/24 or 2001:db8::/32', (value) => {
  const [address = '', bits, ...rest] = value.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return undefined;
  const most = version === 4 ? 32 : 128;
  const prefix = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : most + 1;
  return prefix <= most ? { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' } : undefined;
});

export const httpsUrl = parsed<string>(
  'an https:// address without a path, such as https://push.example.com:8443',
  (value) => {
    if (!/^https:\/\//i.test(value) || !URL.canParse(value)) return undefined;
    const url = new URL(value);
    const bare =
      url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
    return bare ? url.origin : undefined;
  },
);

export const filePath = text('the path of a file, relative to the folder of the config file', /^[^\0]{1,4096}$/);
