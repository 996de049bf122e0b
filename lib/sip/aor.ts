/**
 * The address-of-record a URI names (RFC 3261 10.3 step 5): the key under which bindings live.
 * Canonical text `user@domain`: scheme, password, port, parameters and headers are left out, the domain is in lower case, and the
 * user is unescaped as far as it stays one valid user part, so that `sip:${aor}` is a URI again and `%00` never becomes a NUL.
 */
import { parseUri } from './uri.ts';

/** undefined for anything but a sip or sips URI with a user part. */
export function aorOf(uriText: string): string | undefined {
  const uri = parseUri(uriText);
  if (uri?.user === undefined) return undefined;
  return `${canonicalUser(uri.user)}@${uri.host.toLowerCase()}`;
}

/** unreserved and user-unreserved of RFC 3261 25.1: these are written plainly, all other octets as %HH. */
const plainUser = /^[A-Za-z0-9\-_.!~*'()&=+$,;?/]*$/;

/** One spelling for all spellings of a user part that RFC 3261 19.1.4 calls equal. */
export function canonicalUser(user: string): string {
  if (plainUser.test(user)) return user;
  let text = '';
  for (let at = 0; at < user.length; ) {
    const escape = /^%[0-9A-Fa-f]{2}/.test(user.slice(at, at + 3)) ? user.slice(at + 1, at + 3) : undefined;
    const c =
      escape === undefined
        ? String.fromCodePoint(user.codePointAt(at) as number)
        : String.fromCharCode(Number.parseInt(escape, 16));
    if (plainUser.test(c)) text += c;
    else if (escape === undefined) text += percent(c);
    else text += `%${escape.toUpperCase()}`;
    at += escape === undefined ? c.length : 3;
  }
  return text;
}

function percent(c: string): string {
  let text = '';
  for (const octet of Buffer.from(c, 'utf8')) text += `%${octet.toString(16).toUpperCase().padStart(2, '0')}`;
  return text;
}
