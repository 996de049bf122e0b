/** The headers of a new request of an app, with the defaults drachtio-srf relies on (drachtio-protocol B.5). */
import type { SipRequest } from '../sip/message.ts';
import { parseNameAddr, printNameAddr } from '../sip/name-addr.ts';
import { ownContact, ownHostPort, ownVia } from './core.ts';
import { alongRoutes } from './dialog/requests.ts';
import { newBranch, newTag, uuid } from './ids.ts';
import type { RequestParts } from './printing.ts';
import { readTag } from './reading.ts';
import type { Flow } from './transport/flow.ts';

/** Methods whose 2xx begins a dialog; their requests need a Contact. */
export const beginsDialog: ReadonlySet<string> = new Set(['INVITE', 'SUBSCRIBE']);

/** A SUBSCRIBE with a tag in To refreshes what its two ends have by themselves (RFC 3515 2.4.4, RFC 6665 4.1.2.2). */
export function beginsOne({ method, to }: Pick<RequestParts, 'method' | 'to'>): boolean {
  return beginsDialog.has(method) && (method !== 'SUBSCRIBE' || (readTag(to) ?? '') === '');
}

/** Undefined when From cannot be read. `nextSeq` is asked when the app names no CSeq. `routes`: the route set of the app, in order. */
export function newRequestParts(
  request: SipRequest,
  ends: Pick<Flow, 'listener' | 'remoteAddress'>,
  nextSeq: () => number,
  routes: readonly string[] = [],
): RequestParts | undefined {
  const { headers, method, uri } = request;
  const own = ownHostPort(ends);
  const given = headers.get('from');
  const from = given === undefined ? ownContact(ends) : bracketed(replaceLocalhost(given, own));
  const tag = readTag(from);
  if (tag === undefined) return undefined;
  const to = headers.get('to');
  const contact = headers.get('contact');
  const seq = /^\d{1,10}/.exec(headers.get('cseq') ?? '')?.[0];
  return {
    method,
    ...alongRoutes(uri, routes),
    via: ownVia(ends, newBranch()),
    maxForwards: headers.get('max-forwards') ?? '70',
    from: tag === '' ? `${from};tag=${newTag()}` : from,
    to: to === undefined ? `<${uri}>` : bracketed(replaceLocalhost(to, own)),
    callId: headers.get('call-id') ?? uuid(),
    seq: seq === undefined ? nextSeq() : Math.min(Number(seq), 0xffff_ffff),
    contact:
      contact === undefined
        ? beginsDialog.has(method)
          ? ownContact(ends)
          : ''
        : bracketed(replaceLocalhost(contact, own)),
  };
}

/** `localhost` stands for whichever of our addresses the request leaves from. */
function replaceLocalhost(value: string, own: string): string {
  if (!value.includes('localhost')) return value;
  return value.replace(/(sips?:(?:[^@<>\s]*@)?)localhost(?::\d+)?(?=[;>?,\s]|$)/gi, `$1${own}`);
}

/** srf writes bare URIs; in brackets nobody can take what follows for a part of them (RFC 3261 20.10). */
function bracketed(value: string): string {
  if (value.includes('<') || value === '*') return value;
  const addr = parseNameAddr(value);
  return addr === undefined ? value : printNameAddr(addr);
}
