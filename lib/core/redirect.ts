/** Where a call goes that a phone has sent elsewhere by a 3xx, and what it says of its way (RFC 3261 8.1.3.4 and 16.5, RFC 5806, RFC 7044). */
import { aorOf } from '../sip/aor.ts';
import { parseContact } from '../sip/contact.ts';
import type { Headers } from '../sip/headers.ts';

/** A call that has been diverted so often, by whomever, is not diverted once more. */
export const mostDiversions = 5;

/**
 * The users named by the Contacts of a 3xx, as `user@host`, the highest q first; not those of other domains (`servesHost`), nor who
 * has been tried in this call (`tried`), nor phones by their addresses, which nobody but their own network knows.
 */
export function redirectTargets(
  headers: Headers,
  servesHost: (host: string) => boolean,
  tried: ReadonlySet<string>,
): readonly string[] {
  const contacts = headers.list('Contact').flatMap((value) => parseContact(value) ?? []);
  const named = contacts.toSorted((a, b) => b.q - a.q).flatMap(({ uriText }) => aorOf(uriText) ?? []);
  return [...new Set(named)].filter((aor) => !tried.has(aor) && servesHost(aor.slice(aor.lastIndexOf('@') + 1)));
}

/** How often a call says that it has been diverted (RFC 5806 `counter`; an entry without one counts once). */
export function diversionsOf(headers: Headers): number {
  const counts = headers
    .list('Diversion')
    .map((value) => Number(/;\s*counter\s*=\s*(\d{1,3})\b/i.exec(value)?.[1] ?? 1));
  return counts.reduce((sum, count) => sum + count, 0);
}

/**
 * The fields that tell the next one of `status`, with which `by` has sent the call to `target`. Diversion always, the newest on top;
 * History-Info where the caller keeps one or says that he understands it.
 */
export function divertedFields(
  asked: Headers,
  { by, target, status }: { readonly by: string; readonly target: string; readonly status: number },
): readonly (readonly [name: string, value: string])[] {
  const fields: (readonly [string, string])[] = [['Diversion', `<sip:${by}>;reason=deflection;counter=1`]];
  const history = asked.list('History-Info');
  const understands = asked.list('Supported').some((tag) => tag.toLowerCase() === 'histinfo');
  if (history.length === 0 && !understands) return fields;
  const last = /;\s*index\s*=\s*([\d.]+)/i.exec(history.at(-1) ?? '')?.[1] ?? '0';
  const index = history.length === 0 ? '1' : `${last}.1`;
  fields.push(['History-Info', `<sip:${by}?Reason=SIP%3Bcause%3D${status}>;index=${index}`]);
  fields.push(['History-Info', `<sip:${target}>;index=${index}.1;mp=${index}`]);
  return fields;
}
