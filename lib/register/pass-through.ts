/**
 * Mode P: the PBX gets the phone's REGISTER as it is, push parameters included, with our URI on top of Path, so that its calls for the
 * phone come to us (RFC 3327 5.2, RFC 5626 5.1, RFC 8599 5.6.1). Nothing of the answer is changed but what is added (PN-INT-09).
 */
import { pathValue } from '../core/flow-token.ts';
import { indicatedInAnswer, indicatedUpstream } from '../core/indicators.ts';
import { type Contact, parseContact, parseContacts, readExpires } from '../sip/contact.ts';
import { printFeatureCaps } from '../sip/feature-caps.ts';
import type { SipResponse } from '../sip/message.ts';
import { stripPushParams } from '../sip/push-params.ts';
import { sameUri } from '../sip/uri-compare.ts';
import type { Granted } from './commit.ts';
import { indicatedOf, prependFeatureCaps } from './answer.ts';
import type { Form } from './form.ts';
import type { Asked } from './read-register.ts';

export const passThrough: Form = {
  request(headers, asked, deps) {
    const { contacts, domain, mode } = asked;
    // in one line: an engine may take the first one only
    const told = headers.list('Contact').join(', ');
    headers.delete('Contact');
    if (told !== '') headers.add('Contact', told);
    // a fetch binds nothing: no Path, no Feature-Caps (PN-FC-06)
    const first = contacts === '*' ? undefined : (contacts.find(({ expires }) => expires > 0) ?? contacts[0]);
    if (first === undefined || contacts === '*') return headers;
    const ob = asked.firstHop && first.contact.regId !== undefined;
    headers.prepend('Path', pathValue(deps.flowKey, { aor: asked.aor, bindingId: first.id }, domain.edgeHost, ob));
    if (domain.requirePath && !headers.list('Require').some((tag) => tag.toLowerCase() === 'path'))
      headers.add('Require', 'path');
    for (const type of [...indicatedUpstream(contacts, mode)].reverse())
      headers.prepend('Feature-Caps', printFeatureCaps(type));
    return headers;
  },

  passesBack: () => true,

  granted(asked, response) {
    return asked.contacts === '*' ? '*' : grantedBy(asked.contacts, response);
  },

  answer(passed, { asked, granted }, deps) {
    const mine = asked.contacts === '*' ? [] : asked.contacts.map(({ contact }) => contact);
    const listed = passed.list('Contact');
    passed.delete('Contact');
    // other phones' tokens are nobody's business, also where the PBX has written them into its answer (PN-SEC-05)
    for (const value of listed) passed.add('Contact', isOneOf(mine, value) ? value : stripPushParams(value));
    prependFeatureCaps(passed, indicatedInAnswer(indicatedOf(asked, granted, deps), deps.policy));
    return passed;
  },
};

/** Its expires on the same Contact, else Expires, else what was asked (RFC 3261 10.3 step 8). */
function grantedBy(contacts: Exclude<Asked['contacts'], '*'>, response: SipResponse): readonly Granted[] {
  const read = parseContacts(response.headers);
  const listed = typeof read === 'string' ? [] : read;
  const header = readExpires(response.headers.get('Expires'));
  return contacts.map((asked) => {
    const found = listed.find((other) => isSame(asked.contact, other));
    const expires = asked.expires === 0 ? 0 : (found?.expires ?? header ?? asked.expires);
    return { asked, expires, upstreamExpires: expires };
  });
}

function isOneOf(mine: readonly Contact[], value: string): boolean {
  const contact = parseContact(value);
  return contact !== undefined && mine.some((one) => isSame(one, contact));
}

function isSame(a: Contact, b: Contact): boolean {
  return a.uri !== undefined && b.uri !== undefined && sameUri(a.uri, b.uri);
}
