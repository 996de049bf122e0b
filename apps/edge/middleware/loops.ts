/** What has come back to the edge that the edge itself has sent: a PBX whose routes lead in a circle (RFC 5393, EDGE-REG-14). */
import { openContact } from '../../../lib/core/contact-token.ts';
import type { SipRequest } from '../../../lib/sip/message.ts';
import { parseNameAddr } from '../../../lib/sip/name-addr.ts';
import { parseUri, unescape } from '../../../lib/sip/uri.ts';
import { parseVia } from '../../../lib/sip/via.ts';
import type { LabelValue } from '../../../lib/telemetry/metrics.ts';
import type { KnownDomain } from './classify.ts';

/** A REGISTER that would bind a Contact of ours: calls for it would come back to us. */
export function hasOurContact({ headers }: SipRequest, contactKey: Buffer): boolean {
  return headers.list('Contact').some((value) => {
    const user = parseUri(parseNameAddr(value)?.uri ?? '')?.user;
    return user !== undefined && openContact(contactKey, unescape(user)) !== undefined;
  });
}

/** It has passed a place of ours before. Right for what the PBX sends on to a phone, wrong for what is to go to the PBX. */
export function hasOurVia({ headers }: SipRequest, domains: readonly KnownDomain[]): boolean {
  const vias = headers.list('Via');
  if (vias.length < 2) return false;
  const ours = new Set(domains.map(({ domain }) => domain.edgeHost.split(';', 1)[0]));
  return vias.some((value) => {
    const via = parseVia(value);
    return via !== undefined && ours.has(`${via.host}:${via.port ?? 5060}`);
  });
}

/** For the operator, beside the reason of a refusal. */
export const hintOfRefusal: { readonly [Why in LabelValue<'refusals', 'reason'>]?: string } = {
  'not-from-pbx':
    'our own contact came from an address that is not the PBX: add it to domains[].trusted if it is, else the PBX has sent our contact to somebody',
  'unknown-contact':
    'the PBX calls a contact that the edge has not made: an old one of another edge or store, or a route that leads back here',
};
