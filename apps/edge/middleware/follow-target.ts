/**
 * Whom a phone means that calls a name we gave it inside a dialog which its two ends have by themselves (lib/call/dialog-contacts):
 * the PBX's Contact, or that of another phone of ours. The name is proof enough of the dialog, the flow of whose phone it is.
 */
import type { Binding } from '../../../lib/core/binding.ts';
import { openContact } from '../../../lib/core/contact-token.ts';
import type { ServerTransaction } from '../../../lib/ports/server-transaction.ts';
import { flowUri } from '../../../lib/sip/flow.ts';
import { parseUri, unescape } from '../../../lib/sip/uri.ts';
import type { Classified, Classifier } from './classify.ts';
import { domainOf } from './classify.ts';

type Found = Exclude<Classified, { is: 'along-path' } | { is: 'in-dialog' }>;

/** `bindings`: those of the user that the name was given to. */
export function followTarget(
  { flow }: ServerTransaction,
  { domain, aor, target }: Extract<Classified, { is: 'in-dialog' }>,
  bindings: readonly Binding[],
  { domains, contactKey }: Classifier,
): Found {
  const sender =
    bindings.find((binding) => flowUri(binding.flow) === flowUri(flow)) ??
    // it may have moved to another port since it registered
    bindings.find((binding) => binding.flow.address === flow.address);
  if (sender === undefined) return { is: 'refused', status: 403, why: 'not-registered' };
  const uri = parseUri(target);
  const phone = uri?.user === undefined ? undefined : openContact(contactKey, unescape(uri.user));
  if (phone === undefined) return { is: 'to-upstream', domain, from: aor, target };
  const known = domainOf(domains, phone.aor.slice(phone.aor.lastIndexOf('@') + 1));
  if (known === undefined) return { is: 'refused', status: 404, why: 'domain-removed' };
  return { is: 'to-device', domain: known.domain, ...phone, sender };
}
