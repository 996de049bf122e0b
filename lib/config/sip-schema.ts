/** The section `sip`: where SIP comes in, over what, and how much of it is taken. */
import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { fallback, optional } from './keys.ts';
import {
  dnsServer,
  host,
  integer,
  listOf,
  oneOf,
  origin,
  secretText,
  sipListener,
  text,
  type SipListener,
} from './kinds.ts';
import { mistake } from './mistake.ts';

const filePath = text('the path of a file, relative to the folder of the config file', /^[^\0]{1,4096}$/);

const tls = z.strictObject({
  cert_file: optional(filePath, {
    doc: 'PEM certificate of the edge with its chain, for the listeners tls and wss. Read again when it changes and on SIGHUP; connections that stand go on.',
    env: 'REVEILLE_TLS_CERT_FILE',
  }),
  chain_file: optional(filePath, { doc: 'PEM certificates of the chain, when they are not in cert_file.' }),
  key_file: optional(filePath, { doc: 'PEM private key of that certificate.', env: 'REVEILLE_TLS_KEY_FILE' }),
  ca_file: optional(filePath, {
    doc: 'PEM certificates to trust at a PBX on TLS, instead of those Node knows. Its certificate must be for the name or address in upstream.',
    env: 'REVEILLE_TLS_CA_FILE',
  }),
  min_version: fallback(oneOf('TLSv1.2', 'TLSv1.3'), 'TLSv1.2', { doc: 'Oldest TLS that is spoken.' }),
});

const websocket = z.strictObject({
  origins: optional(listOf(origin, 'a list of origins such as https://phone.example.com', 1), {
    doc: 'Sites whose pages may connect; others get 403. Every site when left out. Clients that are no browsers send no origin and are let in.',
  }),
  cookie: optional(secretText('name=value of a cookie', /^[!#$%&'*+.^_`|~0-9A-Za-z-]+=[!#-+\--:<-[\]-~]{1,1024}$/), {
    doc: 'Cookie a WebSocket handshake must carry; without it 401.',
  }),
  plain: fallback(oneOf('private', 'anywhere'), 'private', {
    doc: 'Where ws:// may listen: loopback and private addresses only (behind a proxy that speaks TLS), or anywhere.',
  }),
  ping_seconds: fallback(integer(0, 3600, 'seconds'), 30, {
    doc: 'How often a silent WebSocket client is pinged; after two without an answer its connection is gone. 0 never.',
  }),
});

const limits = z.strictObject({
  message_bytes: fallback(integer(2000, 1_000_000), 65_535, { doc: 'Largest SIP message, in octets.' }),
  headers: fallback(integer(30, 10_000), 256, { doc: 'Most header fields of a SIP message.' }),
  connections: fallback(integer(1, 1_000_000), 50_000, {
    doc: 'Most connections at once, of all listeners together; one more is closed. The process needs as many file descriptors.',
  }),
  connections_per_address: fallback(integer(1, 1_000_000), 2000, {
    doc: 'Of these, most from one IPv4 address or IPv6 /64. Raise it where a proxy or a large NAT stands before the edge.',
  }),
  handshake_seconds: fallback(integer(1, 120, 'seconds'), 10, {
    doc: 'Longest handshake of a connection (TLS and WebSocket together).',
  }),
  message_seconds: fallback(integer(1, 120, 'seconds'), 10, {
    doc: 'Longest time a message may take to arrive once it has begun.',
  }),
  idle_seconds: fallback(integer(60, 86_400, 'seconds'), 3600, {
    doc: 'A connection without a message or keep-alive for so long is closed; one that never brought any, after 30 seconds.',
  }),
});

export const sip = z
  .strictObject({
    listen: fallback(
      listOf(sipListener, 'a list of transport://address:port[;advertise=host[:port]]', 1),
      ['udp://0.0.0.0:5060', 'tcp://0.0.0.0:5060'],
      {
        doc: 'Where the embedded engine listens for SIP: udp, tcp, tls, ws, wss; IPv6 in brackets. ;advertise=host:port tells peers another place for this one. With engine.kind drachtio the server has its own contacts. Port 0 takes a free one.',
        env: 'REVEILLE_SIP_LISTEN',
      },
    ),
    external_address: optional(host, {
      doc: 'Name or address by which phones and PBX reach the edge, when it differs from the address it listens on; for every listener without advertise. For TLS and WSS the name in the certificate.',
      env: 'REVEILLE_SIP_EXTERNAL_ADDRESS',
    }),
    dns_servers: fallback(listOf(dnsServer, 'a list of addresses or address:port'), [], {
      doc: 'DNS servers asked for names of next hops (NAPTR, SRV, A, AAAA) instead of those of the system.',
      env: 'REVEILLE_SIP_DNS_SERVERS',
    }),
    tcp_above_bytes: fallback(integer(0, 65_535, 'octets'), 1300, {
      doc: 'A request with more octets than this is sent over TCP where the server takes it (RFC 3261 18.1.1); 0 never. Phones stay on the flow they registered over.',
    }),
    tls: tls.prefault({}),
    websocket: websocket.prefault({}),
    limits: limits.prefault({}),
  })
  .check((context) => {
    const { listen, tls: files, websocket: webSocket, limits: most } = context.value;
    const secure = listen.find(({ transport }) => transport === 'tls' || transport === 'wss');
    for (const key of ['cert_file', 'key_file'] as const) {
      const missing = files[key] === undefined;
      if (missing && secure !== undefined)
        mistake(context, ['tls', key], `a file, because listen has ${secure.transport}`, 'nothing');
      else if (missing && files[key === 'cert_file' ? 'key_file' : 'cert_file'] !== undefined)
        mistake(context, ['tls', key], 'certificate and key together', 'only the other');
    }
    listen.forEach((one, at) => {
      if (one.transport === 'ws' && webSocket.plain === 'private' && !isPrivateAddress(one.address))
        mistake(
          context,
          ['listen', at],
          'wss, or ws at a loopback or private address (sip.websocket.plain: anywhere allows it)',
          `ws at ${one.address}`,
        );
    });
    listen.forEach((one, at) => {
      const first = listen.findIndex((other) => isSamePlace(one, other));
      if (first >= 0 && first < at) mistake(context, ['listen', at], 'a place of its own', `that of listen[${first}]`);
    });
    if (most.connections_per_address > most.connections)
      mistake(
        context,
        ['limits', 'connections_per_address'],
        `no more than connections (${most.connections})`,
        `${most.connections_per_address}`,
      );
  });

const privateNetworks = new BlockList();
for (const [address, bits] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
] as const)
  privateNetworks.addSubnet(address, bits, 'ipv4');
privateNetworks.addAddress('::1', 'ipv6');
privateNetworks.addSubnet('fc00::', 7, 'ipv6');
privateNetworks.addSubnet('fe80::', 10, 'ipv6');

/** Loopback, and networks of somebody's own. */
export function isPrivateAddress(address: string): boolean {
  return privateNetworks.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** UDP has ports of its own, the others share those of TCP; the system finds a free one for each 0. */
function isSamePlace(one: SipListener, other: SipListener): boolean {
  return (
    one.port !== 0 &&
    one.port === other.port &&
    one.address === other.address &&
    (one.transport === 'udp') === (other.transport === 'udp')
  );
}
