/**
 * From a SIP URI to an IP address, a port and a transport (RFC 3263, without NAPTR: the transport is the URI's or the default).
 * Addresses are answered at once; names go to the system: SRV when the URI has no port, then A or AAAA.
 */
import { lookup, resolveSrv } from 'node:dns/promises';
import { isIP } from 'node:net';
import { findParam, type SipUri } from '../sip/uri.ts';
import type { TransportName } from './options.ts';
import { defaultPort } from './transport/flow.ts';
import type { Target, Transports } from './transport/transports.ts';

export type Hop =
  | { readonly is: 'address'; readonly target: Target }
  | { readonly is: 'name'; readonly transport: TransportName; readonly host: string; readonly port: number | undefined }
  /** no listener for the transport the URI asks for */
  | { readonly is: 'no-transport' };

/** What a URI says about the next hop, without asking anybody. */
export function hopOf(uri: SipUri, transports: Transports): Hop {
  const named = findParam(uri.params, 'transport')?.value?.toLowerCase() ?? (uri.scheme === 'sips' ? 'tls' : undefined);
  if (named !== undefined && !isTransport(named)) return { is: 'no-transport' };
  const transport = securely(named ?? transports.defaultTransport, uri.scheme === 'sips');
  if (transport === undefined) return { is: 'no-transport' };
  const host = findParam(uri.params, 'maddr')?.value ?? uri.host;
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  if (isIP(bare) === 0) return { is: 'name', transport, host: bare, port: uri.port };
  if (transports.listenerFor(transport, bare) === undefined) return { is: 'no-transport' };
  return { is: 'address', target: { transport, address: bare, port: uri.port ?? defaultPort(transport) } };
}

function isTransport(name: string): name is TransportName {
  return name === 'udp' || name === 'tcp' || name === 'tls' || name === 'ws' || name === 'wss';
}

/** A sips URI asks for TLS under whatever it names (RFC 3261 26.2.2, RFC 7118 5.2). */
function securely(transport: TransportName, secure: boolean): TransportName | undefined {
  if (!secure) return transport;
  return transport === 'udp' ? undefined : transport === 'ws' ? 'wss' : transport === 'tcp' ? 'tls' : transport;
}

/** Resolves a name; undefined when it has no address we have a listener for. */
export async function resolveName(
  hop: Hop & { readonly is: 'name' },
  transports: Transports,
): Promise<Target | undefined> {
  let { host, port } = hop;
  // the name a browser gives itself: it means its connection, and no server knows it (RFC 7118 5.3)
  if (/\.invalid\.?$/i.test(host)) return undefined;
  if (port === undefined) {
    try {
      const found = await resolveSrv(`${hop.transport === 'tls' ? '_sips._tcp' : `_sip._${hop.transport}`}.${host}`);
      const best = found.toSorted((a, b) => a.priority - b.priority || b.weight - a.weight)[0];
      if (best !== undefined) ({ name: host, port } = best);
    } catch {
      // no SRV record: the name itself is the host
    }
  }
  try {
    for (const { address } of await lookup(host, { all: true, verbatim: true })) {
      if (transports.listenerFor(hop.transport, address) !== undefined) {
        return { transport: hop.transport, address, port: port ?? defaultPort(hop.transport), name: hop.host };
      }
    }
  } catch {
    // no such name
  }
  return undefined;
}
