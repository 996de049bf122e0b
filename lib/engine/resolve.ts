/**
 * From a SIP URI to an IP address, a port and a transport (RFC 3263, without NAPTR: the transport is the URI's or the default).
 * Addresses are answered at once; names go to the system: SRV when the URI has no port, then A or AAAA.
 */
import { lookup, resolveSrv } from 'node:dns/promises';
import { isIP } from 'node:net';
import { findParam, type SipUri } from '../sip/uri.ts';
import type { TransportName } from './options.ts';
import type { Target, Transports } from './transport/transports.ts';

export type Hop =
  | { readonly is: 'address'; readonly target: Target }
  | { readonly is: 'name'; readonly transport: TransportName; readonly host: string; readonly port: number | undefined }
  /** no listener for the transport the URI asks for */
  | { readonly is: 'no-transport' };

/** What a URI says about the next hop, without asking anybody. */
export function hopOf(uri: SipUri, transports: Transports): Hop {
  const named = findParam(uri.params, 'transport')?.value?.toLowerCase();
  if (uri.scheme === 'sips' || (named !== undefined && named !== 'udp' && named !== 'tcp'))
    return { is: 'no-transport' };
  const transport = named ?? transports.defaultTransport;
  const host = findParam(uri.params, 'maddr')?.value ?? uri.host;
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  if (isIP(bare) === 0) return { is: 'name', transport, host: bare, port: uri.port };
  if (transports.listenerFor(transport, bare) === undefined) return { is: 'no-transport' };
  return { is: 'address', target: { transport, address: bare, port: uri.port ?? 5060 } };
}

/** Resolves a name; undefined when it has no address we have a listener for. */
export async function resolveName(
  hop: Hop & { readonly is: 'name' },
  transports: Transports,
): Promise<Target | undefined> {
  let { host, port } = hop;
  if (port === undefined) {
    try {
      const found = await resolveSrv(`_sip._${hop.transport}.${host}`);
      const best = found.toSorted((a, b) => a.priority - b.priority || b.weight - a.weight)[0];
      if (best !== undefined) ({ name: host, port } = best);
    } catch {
      // no SRV record: the name itself is the host
    }
  }
  try {
    for (const { address } of await lookup(host, { all: true, verbatim: true })) {
      if (transports.listenerFor(hop.transport, address) !== undefined) {
        return { transport: hop.transport, address, port: port ?? 5060 };
      }
    }
  } catch {
    // no such name
  }
  return undefined;
}
