/**
 * What a SIP URI says about the next hop (RFC 3263 4.1) before anybody is asked: an address with port and transport, or a name that
 * the locator has to follow.
 */
import { isIP } from 'node:net';
import { findParam, type SipUri } from '../sip/uri.ts';
import type { NamedHop } from './locating/locator.ts';
import type { TransportName } from './options.ts';
import { defaultPort } from './transport/flow.ts';
import type { Target, Transports } from './transport/transports.ts';

export type Hop =
  | { readonly is: 'address'; readonly target: Target }
  | ({ readonly is: 'name' } & NamedHop)
  /** no listener for the transport the URI asks for */
  | { readonly is: 'no-transport' };

export function hopOf(uri: SipUri, transports: Transports): Hop {
  const secure = uri.scheme === 'sips';
  const named = findParam(uri.params, 'transport')?.value?.toLowerCase() ?? (secure ? 'tls' : undefined);
  if (named !== undefined && !isTransport(named)) return { is: 'no-transport' };
  const wanted = named === undefined ? undefined : securely(named, secure);
  if (named !== undefined && (wanted === undefined || !transports.speaks(wanted))) return { is: 'no-transport' };
  const host = findParam(uri.params, 'maddr')?.value ?? uri.host;
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  if (isIP(bare) === 0) return { is: 'name', host: bare, port: uri.port, transport: wanted, secure };
  const transport = wanted ?? transports.defaultTransport;
  if (transports.listenerFor(transport, bare) === undefined) return { is: 'no-transport' };
  const target = { transport, address: bare, port: uri.port ?? defaultPort(transport) };
  // an address in maddr stands for the name before it, which the certificate of a TLS peer must be for (RFC 5922 4)
  return { is: 'address', target: host === uri.host ? target : { ...target, name: uri.host } };
}

function isTransport(name: string): name is TransportName {
  return name === 'udp' || name === 'tcp' || name === 'tls' || name === 'ws' || name === 'wss';
}

/** A sips URI asks for TLS under whatever it names (RFC 3261 26.2.2, RFC 7118 5.2). */
function securely(transport: TransportName, secure: boolean): TransportName | undefined {
  if (!secure) return transport;
  return transport === 'udp' ? undefined : transport === 'ws' ? 'wss' : transport === 'tcp' ? 'tls' : transport;
}
