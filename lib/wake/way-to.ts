/**
 * The request for one device: to the Contact it registered, word for word as phones expect it, over the flow it registered on, or along
 * the Path of its REGISTER (RFC 3327 5.3).
 */
import type { Binding } from '../core/binding.ts';
import type { SipRequest } from '../sip/message.ts';
import { flowUri } from '../sip/flow.ts';
import { parseNameAddr, tagOf } from '../sip/name-addr.ts';
import { parseUri, printUri, unescape } from '../sip/uri.ts';
import type { KnownFlow } from './devices.ts';

export interface Way {
  readonly along: Along;
  /** its To; that of the sender when left out */
  readonly named: { readonly to?: string };
}

/** As a LegRequest and a ClientRequest have it. */
export interface Along {
  /** the request-URI */
  readonly uri: string;
  /** `sip:address:port;transport=t` */
  readonly nextHop: string;
  /** see Flow.engine; left out where any engine will do */
  readonly engine?: string;
  /** the Path, as the Route of the request */
  readonly routes?: readonly string[];
}

export function wayTo({ binding, flow }: KnownFlow, { headers, uri: called }: SipRequest): Way {
  const target = parseUri(binding.target);
  return {
    along: {
      uri: target === undefined ? flowUri(flow) : printUri({ ...target, headers: undefined }),
      ...(alongPath(binding.path) ?? { nextHop: flowUri(flow), engine: flow.engine }),
    },
    named: toOf(headers.get('To'), called, binding),
  };
}

/** A proxy is found by its URI and not by the connection it once made to us; undefined: none stands between, or none that can be read. */
function alongPath(path: readonly string[]): Pick<Along, 'nextHop' | 'routes'> | undefined {
  const first = parseUri(parseNameAddr(path[0] ?? '')?.uri ?? '');
  if (first === undefined) return undefined;
  const params = first.params.filter(({ name }) => /^(?:transport|maddr)$/i.test(name));
  return {
    nextHop: printUri({ ...first, user: undefined, password: undefined, params, headers: undefined }),
    routes: path,
  };
}

/** To as the caller wrote it; our opaque Contact, which some PBX copy into it, is nobody's name and becomes the AOR, but not in a dialog. */
function toOf(to: string | undefined, called: string, binding: Binding): { readonly to?: string } {
  if (tagOf(to ?? '') !== undefined) return {};
  const named = parseUri(parseNameAddr(to ?? '')?.uri ?? '');
  const opaque = named?.user === parseUri(called)?.user && !binding.aor.startsWith(`${unescape(named?.user ?? '')}@`);
  return named?.user === undefined || opaque ? { to: `<sip:${binding.aor}>` } : {};
}
