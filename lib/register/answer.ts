/**
 * The 2xx to a REGISTER (RFC 3261 10.3 step 8): this phone's Contacts as it sent them, all others of the AOR without their push
 * parameters (PN-SEC-05), and one Feature-Caps line for each push service that applies (RFC 8599 5.4).
 */
import type { Binding } from '../core/binding.ts';
import { printFeatureCaps } from '../sip/feature-caps.ts';
import { type Headers } from '../sip/headers.ts';
import { parseNameAddr, printNameAddr } from '../sip/name-addr.ts';
import { printParams } from '../sip/uri.ts';
import { stripPushParams } from '../sip/push-params.ts';
import { pushable, type Granted } from './commit.ts';
import type { RegisterDeps } from './read-register.ts';

/** Adds Contact and Feature-Caps to `headers`, which may hold what the PBX has answered. */
export function addRegistered(
  headers: Headers,
  granted: readonly Granted[] | '*',
  bindings: readonly Binding[],
  foreign: readonly string[],
  deps: RegisterDeps,
): Headers {
  const mine = granted === '*' ? [] : granted.filter((one) => one.expires > 0);
  const now = deps.clock.now();
  for (const one of mine) headers.add('Contact', withExpires(one.asked.contact.text, one.expires));
  for (const binding of bindings) {
    if (mine.some((one) => one.asked.id === binding.id)) continue;
    const seconds = Math.max(0, Math.round((binding.expiresAt - now) / 1000));
    headers.add('Contact', withExpires(stripPushParams(binding.contact), seconds));
  }
  // phones that registered past the edge may have tokens too, and this phone is somebody else
  for (const contact of foreign) headers.add('Contact', stripPushParams(contact));
  // one line a service, above what the PBX says of itself (PN-FC-01, -05)
  for (const line of featureCaps(mine, deps).reverse()) headers.prepend('Feature-Caps', line);
  return headers;
}

function featureCaps(granted: readonly Granted[], deps: RegisterDeps): string[] {
  const lines = new Set<string>();
  for (const one of granted) {
    const { decision } = one.asked;
    if (decision.is === 'query')
      for (const pns of decision.announce) lines.add(printFeatureCaps({ pns, ...vapidOf(pns, deps) }));
    if (decision.is !== 'push' || decision.announce === undefined || !pushable(one, deps)) continue;
    const pns = decision.announce;
    lines.add(
      printFeatureCaps({ pns, ...vapidOf(pns, deps), ...(decision.pnsreg ? { pnsreg: deps.policy.pnsreg } : {}) }),
    );
  }
  return [...lines];
}

/** Only for services that use it (PN-REG-12). */
function vapidOf(pns: string, { policy }: RegisterDeps): { readonly vapid?: string } {
  const vapid = policy.vapid.get(pns.toLowerCase());
  return vapid === undefined ? {} : { vapid };
}

/** The Contact value with its expires parameter replaced; in the bare form parameters belong to the header anyway. */
export function withExpires(contact: string, seconds: number): string {
  const addr = parseNameAddr(contact);
  if (addr === undefined) return contact;
  const params = addr.params.filter((param) => param.name.toLowerCase() !== 'expires');
  const expires = { name: 'expires', value: String(seconds) };
  if (addr.display === undefined && !contact.trimStart().startsWith('<')) {
    return `<${addr.uri}>${printParams([...params, expires])}`;
  }
  return printNameAddr({ ...addr, params: [...params, expires] });
}
