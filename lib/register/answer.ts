/**
 * The 2xx to a REGISTER (RFC 3261 10.3 step 8): this phone's Contacts as it sent them, all others of the AOR without their push
 * parameters (PN-SEC-05), and one Feature-Caps line for each push service that applies (RFC 8599 5.4).
 */
import type { Binding } from '../core/binding.ts';
import { gruus } from '../core/gruu.ts';
import { type Indicated, indicatedInAnswer } from '../core/indicators.ts';
import { type PushFeatures, printFeatureCaps } from '../sip/feature-caps.ts';
import { type Headers } from '../sip/headers.ts';
import { parseNameAddr, printNameAddr } from '../sip/name-addr.ts';
import { stripPushParams } from '../sip/push-params.ts';
import { printParams, type UriParam } from '../sip/uri.ts';
import type { Granted } from './commit.ts';
import type { Asked, RegisterDeps } from './read-register.ts';

export interface Registered {
  readonly asked: Asked;
  readonly granted: readonly Granted[] | '*';
  readonly bindings: readonly Binding[];
  /** Contacts of the AOR that did not come through this edge */
  readonly foreign: readonly string[];
}

/** Adds what the registrar says (the edge, for the phone) to `headers`, which may hold what the PBX has answered. */
export function addRegistered(
  headers: Headers,
  { asked, granted, bindings, foreign }: Registered,
  deps: RegisterDeps,
): Headers {
  const mine = granted === '*' ? [] : granted.filter((one) => one.expires > 0);
  const now = deps.clock.now();
  for (const one of mine)
    headers.add('Contact', withParams(one.asked.contact.text, one.expires, gruusOf(asked, one.asked.contact, deps)));
  for (const binding of bindings) {
    // whose registration has ended is not registered, even if he can still be woken
    if (binding.expiresAt <= now || mine.some((one) => one.asked.id === binding.id)) continue;
    const seconds = Math.max(0, Math.round((binding.expiresAt - now) / 1000));
    headers.add('Contact', withParams(stripPushParams(binding.contact), seconds, gruusOf(asked, binding, deps)));
  }
  // phones that registered past the edge may have tokens too, and this phone is somebody else
  for (const contact of foreign) headers.add('Contact', stripPushParams(contact));
  if (asked.outbound) headers.add('Require', 'outbound');
  // RFC 3327 5.3: the phone learns how it is reached, if it knows what that means
  if (asked.supported.has('path')) for (const path of asked.path) headers.add('Path', path);
  prependFeatureCaps(headers, indicatedInAnswer(indicatedOf(asked, granted, deps), deps.policy));
  return headers;
}

/** One line a type, above what the PBX says of itself (PN-FC-01, -05). */
export function prependFeatureCaps(headers: Headers, types: readonly PushFeatures[]): void {
  for (const type of [...types].reverse()) headers.prepend('Feature-Caps', printFeatureCaps(type));
}

export function indicatedOf(
  { aor }: Asked,
  granted: readonly Granted[] | '*',
  deps: RegisterDeps,
): readonly Indicated[] {
  if (granted === '*') return [];
  return granted.map(({ asked: { decision, id }, expires }) => {
    const purr = deps.purr?.({ aor, bindingId: id });
    return { decision, expires, ...(purr === undefined ? {} : { purr }) };
  });
}

function gruusOf(
  asked: Asked,
  { instanceId }: { readonly instanceId?: string },
  deps: RegisterDeps,
): readonly UriParam[] {
  if (!asked.mode.givesGruu || !asked.supported.has('gruu') || instanceId === undefined) return [];
  const { pub, temp } = gruus(deps.gruuKey, { ...asked, instanceId });
  return [
    { name: 'pub-gruu', value: `"${pub}"` },
    { name: 'temp-gruu', value: `"${temp}"` },
  ];
}

const writtenByUs = new Set(['expires', 'pub-gruu', 'temp-gruu', 'temp-gruu-cookie']);

/** The Contact value with the parameters a registrar writes; in the bare form parameters belong to the header anyway. */
function withParams(contact: string, seconds: number, more: readonly UriParam[]): string {
  const addr = parseNameAddr(contact);
  if (addr === undefined) return contact;
  const params = addr.params.filter((param) => !writtenByUs.has(param.name.toLowerCase()));
  params.push(...more, { name: 'expires', value: String(seconds) });
  if (addr.display === undefined && !contact.trimStart().startsWith('<')) return `<${addr.uri}>${printParams(params)}`;
  return printNameAddr({ ...addr, params });
}
