/** Whether a call is given a media relay (config media.when). */
import { parseUri } from '../sip/uri.ts';

export type MediaWhen = 'never' | 'always' | 'behind_nat';

/**
 * A phone that names an address in its Contact which is not the one its packets come from stands behind a NAT: a private address,
 * a name, or what WebSocket phones write because they have none (RFC 7118 5). `source` is a numeric address, IPv6 without brackets.
 */
export function isBehindNat(contact: string, source: string): boolean {
  const host = parseUri(contact)?.host;
  return host === undefined || bare(host) !== bare(source);
}

export function wantsMediaHelp(when: MediaWhen, behindNat: boolean): boolean {
  return when === 'always' || (when === 'behind_nat' && behindNat);
}

/** Two ways to write one IPv6 address count as two: at worst somebody is helped who would not need it. */
function bare(host: string): string {
  return host.replace(/^\[|\]$/g, '').toLowerCase();
}
