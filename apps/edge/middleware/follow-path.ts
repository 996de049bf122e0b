/**
 * Whom a request along our URI in Path concerns (RFC 5626 5.3). From the PBX it is for a phone; from the phone's own flow it goes the
 * other way; from anybody else the token is stolen. Several Contacts of one REGISTER share one Path: the request-URI tells them apart.
 */
import type { Binding } from '../../../lib/core/binding.ts';
import { answersTo } from '../../../lib/core/binding-set.ts';
import type { ServerTransaction } from '../../../lib/ports/server-transaction.ts';
import { parseNameAddr } from '../../../lib/sip/name-addr.ts';
import { parseUri, type SipUri } from '../../../lib/sip/uri.ts';
import { sameUri } from '../../../lib/sip/uri-compare.ts';
import type { Classified } from './classify.ts';

/** `bindings`: those of the AOR that the token names. */
export function followPath(
  { request, flow }: ServerTransaction,
  { domain, aor, bindingId, trusted }: Extract<Classified, { is: 'along-path' }>,
  bindings: readonly Binding[],
): Exclude<Classified, { is: 'along-path' } | { is: 'in-dialog' }> {
  const named = bindings.find((binding) => answersTo(binding, bindingId));
  if (!trusted) {
    const own = named?.flow.address === flow.address && named.flow.port === flow.port;
    return own ? { is: 'to-upstream', domain, from: aor } : { is: 'refused', status: 403, why: 'foreign-flow-token' };
  }
  const uri = parseUri(request.uri);
  // the Contact may have changed since, and PBXs rewrite what they keep: the token decides unless another Contact fits better
  const sibling =
    named === undefined || uri === undefined || isAt(named, uri)
      ? undefined
      : bindings.find((other) => other.callId === named.callId && isAt(other, uri));
  return { is: 'to-device', domain, aor, bindingId: sibling?.id ?? bindingId };
}

function isAt({ contact }: Binding, uri: SipUri): boolean {
  const registered = parseUri(parseNameAddr(contact)?.uri ?? '');
  return registered !== undefined && sameUri(registered, uri);
}
