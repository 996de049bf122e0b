/** The request for one device: to the Contact it registered, word for word as phones expect it, over the flow it registered on. */
import type { Binding } from '../core/binding.ts';
import type { SipRequest } from '../sip/message.ts';
import { flowUri } from '../sip/flow.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { parseUri, printUri, unescape } from '../sip/uri.ts';
import type { KnownFlow } from './devices.ts';

export interface Way {
  /** the request-URI */
  readonly uri: string;
  /** `sip:address:port;transport=t` */
  readonly nextHop: string;
  /** see Flow.engine */
  readonly engine: string;
  /** To; the sender's when left out */
  readonly to?: string;
}

export function wayTo({ binding, flow }: KnownFlow, { headers, uri: called }: SipRequest): Way {
  const target = parseUri(binding.target);
  return {
    uri: target === undefined ? flowUri(flow) : printUri({ ...target, headers: undefined }),
    nextHop: flowUri(flow),
    engine: flow.engine,
    ...toOf(headers.get('To'), called, binding),
  };
}

/** To as the caller wrote it; our opaque Contact, which some PBX copy into it, is nobody's name and becomes the AOR. */
function toOf(to: string | undefined, called: string, binding: Binding): { readonly to?: string } {
  const named = parseUri(parseNameAddr(to ?? '')?.uri ?? '');
  const opaque = named?.user === parseUri(called)?.user && !binding.aor.startsWith(`${unescape(named?.user ?? '')}@`);
  return named?.user === undefined || opaque ? { to: `<sip:${binding.aor}>` } : {};
}
