/** Who sent a request and whom it is for. Decides by source address, by our own sealed Contact and by domain; changes nothing. */
import { type BlockList, isIP } from 'node:net';
import type { Aor } from '../../../lib/core/binding.ts';
import { openContact } from '../../../lib/core/contact-token.ts';
import type { Domain } from '../../../lib/core/domain.ts';
import type { ServerTransaction } from '../../../lib/ports/server-transaction.ts';
import type { LabelValue } from '../../../lib/telemetry/metrics.ts';
import { aorOf } from '../../../lib/sip/aor.ts';
import { parseNameAddr } from '../../../lib/sip/name-addr.ts';
import { parseUri, unescape } from '../../../lib/sip/uri.ts';

export type Classified =
  /** from the PBX for one device, by the Contact we gave to the PBX */
  | { readonly is: 'to-device'; readonly domain: Domain; readonly aor: Aor; readonly bindingId: string }
  /** for a user whose registrar we are */
  | { readonly is: 'to-user'; readonly domain: Domain; readonly aor: Aor; readonly trusted: boolean }
  /** from a phone for somebody beyond the PBX */
  | { readonly is: 'to-upstream'; readonly domain: Domain; readonly from: Aor | undefined }
  /** for the edge itself: no user part */
  | { readonly is: 'to-edge' }
  | { readonly is: 'refused'; readonly status: 403 | 404 | 416; readonly why: LabelValue<'refusals', 'reason'> };

/** A domain with what classification needs to know of its PBX. Addresses may change while we run (DNS). */
export interface KnownDomain {
  readonly domain: Domain;
  /** addresses the PBX sends from */
  readonly trusted: BlockList;
  /** `address:port` of the PBX itself: never send back to where a request came from */
  readonly upstreamSource: () => string;
}

export interface Classifier {
  readonly domains: readonly KnownDomain[];
  readonly contactKey: Buffer;
}

export function classify(transaction: ServerTransaction, { domains, contactKey }: Classifier): Classified {
  const { request, flow } = transaction;
  const uri = parseUri(request.uri);
  if (uri === undefined) return { is: 'refused', status: 416, why: 'uri-scheme' };
  if (uri.user === undefined) return { is: 'to-edge' };
  const opened = openContact(contactKey, unescape(uri.user));
  if (opened !== undefined) {
    const known = domainOf(domains, hostOfAor(opened.aor));
    if (known === undefined) return { is: 'refused', status: 404, why: 'domain-removed' };
    // only the PBX has ever seen this Contact: from anywhere else it is stolen (PN-SEC-09)
    if (!isFrom(known.trusted, flow.address)) return { is: 'refused', status: 403, why: 'not-from-pbx' };
    return { is: 'to-device', domain: known.domain, ...opened };
  }
  const fromPbx = domains.filter((known) => isFrom(known.trusted, flow.address));
  const named = domains.find((known) => known.domain.name === uri.host.toLowerCase());
  const registrar = [named, ...fromPbx].find((known) => known?.domain.registration === 'registrar');
  if (registrar !== undefined) {
    const host = named === undefined && registrar.domain.name !== '*' ? registrar.domain.name : uri.host.toLowerCase();
    const aor = aorOf(`sip:${uri.user}@${host}`);
    if (aor !== undefined)
      return { is: 'to-user', domain: registrar.domain, aor, trusted: isFrom(registrar.trusted, flow.address) };
  }
  const from = aorOf(parseNameAddr(request.headers.get('From') ?? '')?.uri ?? '');
  const home = domainOf(domains, from === undefined ? uri.host : hostOfAor(from)) ?? domainOf(domains, uri.host);
  if (home === undefined) return { is: 'refused', status: 404, why: 'no-such-domain' };
  if (`${flow.address}:${flow.port}` === home.upstreamSource())
    return { is: 'refused', status: 404, why: 'unknown-contact' };
  return { is: 'to-upstream', domain: home.domain, from };
}

/** The domain a REGISTER is for: that of its To. */
export function domainOf(domains: readonly KnownDomain[], host: string): KnownDomain | undefined {
  const lower = host.toLowerCase();
  return domains.find(({ domain }) => domain.name === lower) ?? domains.find(({ domain }) => domain.name === '*');
}

function hostOfAor(aor: Aor): string {
  return aor.slice(aor.lastIndexOf('@') + 1);
}

export function isFrom(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
}
