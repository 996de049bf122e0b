/**
 * What a SIP URI says about the next hop (RFC 3263 4.1) before anybody is asked: an address with port and transport, or a name that
 * the locator has to follow.
 */
import { isIP } from 'node:net';
import type { Transport } from '../sip/flow.ts';
import { findParam, type SipUri } from '../sip/uri.ts';
import { defaultPort, type NamedHop } from './locating/locator.ts';
import type { Target, Transports } from './transport/transports.ts';

export type Hop =
  | { readonly is: 'address'; readonly target: Target }
  | ({ readonly is: 'name' } & NamedHop)
  /** no listener for the transport the URI asks for */
  | { readonly is: 'no-transport' };

export function hopOf(uri: SipUri, transports: Transports): Hop {
  const secure = uri.scheme === 'sips';
  const named = findParam(uri.params, 'transport')?.value?.toLowerCase() as Transport | undefined;
  // a sips URI says TLS whatever its transport parameter says (RFC 3261 26.2.2)
  const wanted = secure && (named === undefined || named === 'tcp') ? 'tls' : named;
  if (wanted !== undefined && !transports.speaks(wanted)) return { is: 'no-transport' };
  const host = findParam(uri.params, 'maddr')?.value ?? uri.host;
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  if (isIP(bare) === 0)
    return { is: 'name', host: bare, port: uri.port, transport: secure && named === 'tcp' ? 'tls' : named, secure };
  const transport = wanted ?? transports.defaultTransport;
  if (!transports.speaks(transport) || transports.listenerFor(transport, bare) === undefined)
    return { is: 'no-transport' };
  return { is: 'address', target: { transport, address: bare, port: uri.port ?? defaultPort(transport) } };
}
