/** Who sent a request and whom it is for. Decides by source address, by our flow token or sealed Contact and by domain; changes nothing. */
import { type BlockList, isIP } from 'node:net';
import type { Aor, Binding } from '../../../lib/core/binding.ts';
import { openContact } from '../../../lib/core/contact-token.ts';
import { openTarget } from '../../../lib/core/dialog-target.ts';
import { openFlowToken } from '../../../lib/core/flow-token.ts';
import { readGruu } from '../../../lib/core/gruu.ts';
import { modes } from '../../../lib/core/modes.ts';
import { openPurr } from '../../../lib/core/purr.ts';
import { routeNumber } from '../../../lib/core/trunk-routes.ts';
import type { Domain } from '../../../lib/core/domain.ts';
import type { ServerTransaction } from '../../../lib/ports/server-transaction.ts';
import type { Headers } from '../../../lib/sip/headers.ts';
import { aorOf } from '../../../lib/sip/aor.ts';
import { parseNameAddr, tagOf } from '../../../lib/sip/name-addr.ts';
import { findParam, parseUri, type SipUri, unescape } from '../../../lib/sip/uri.ts';
import type { LabelValue } from '../../../lib/telemetry/metrics.ts';
import { claimedUser } from './authenticate.ts';

export type Classified =
  /** from the PBX for one phone, by the Contact we gave to the PBX; `bindingId` may name an instance (binding-set answersTo) */
  | {
      readonly is: 'to-device';
      readonly domain: Domain;
      readonly aor: Aor;
      readonly bindingId: string;
      /** another phone of ours, which called the name we gave it inside a dialog */
      readonly sender?: Binding;
    }
  /** from a phone inside a dialog that is not bridged, to a name we gave it there */
  | { readonly is: 'in-dialog'; readonly domain: Domain; readonly aor: Aor; readonly target: string }
  /** along our URI in Path: from the PBX for the phone that it names, or from that phone */
  | {
      readonly is: 'along-path';
      readonly domain: Domain;
      readonly aor: Aor;
      readonly bindingId: string;
      readonly trusted: boolean;
    }
  /** for a user whose registrar we are; with `gruu` for one of his phones */
  | {
      readonly is: 'to-user';
      readonly domain: Domain;
      readonly aor: Aor;
      readonly trusted: boolean;
      /** it says that it comes from the trunk, and has yet to prove it by a password */
      readonly unproven?: true;
      readonly gruu: { readonly phone: string; readonly call: string | undefined } | undefined;
    }
  /** from a phone for somebody beyond the PBX */
  | {
      readonly is: 'to-upstream';
      readonly domain: Domain;
      readonly from: Aor | undefined;
      /** what the PBX calls itself in this dialog; the sender has been looked at */
      readonly target?: string;
    }
  /** for the edge itself: no user part */
  | { readonly is: 'to-edge' }
  | { readonly is: 'refused'; readonly status: 403 | 404 | 416; readonly why: LabelValue<'refusals', 'reason'> };

/** A domain with what classification needs to know of its PBX. Addresses may change while we run (DNS). */
export interface KnownDomain {
  readonly domain: Domain;
  /** the same for AORs whose account the edge holds; undefined where that is all of them */
  readonly onBehalf?: Domain | undefined;
  /** addresses the PBX sends from */
  readonly trusted: BlockList;
  /** proxies between phones and edge that are believed; undefined: there are none, and asking an empty list costs each REGISTER */
  readonly proxies: BlockList | undefined;
  /** one of the servers of the PBX itself: never send back to where a request came from */
  readonly isUpstream: (address: string, port: number) => boolean;
}

export interface Classifier {
  readonly domains: readonly KnownDomain[];
  readonly contactKey: Buffer;
  readonly flowKey: Buffer;
  readonly targetKey: Buffer;
  readonly gruuKey: Buffer;
  readonly purrKey: Buffer;
  /** whether the edge holds an account of this AOR; when left out it holds none */
  readonly hasAccount?: (aor: Aor) => boolean;
}

/** How this AOR is served: as its domain is, or on behalf. */
export function domainFor(
  { domain, onBehalf }: KnownDomain,
  aor: Aor | undefined,
  { hasAccount }: Pick<Classifier, 'hasAccount'>,
): Domain {
  return aor !== undefined && onBehalf !== undefined && hasAccount?.(aor) === true ? onBehalf : domain;
}

export function classify(transaction: ServerTransaction, classifier: Classifier): Classified {
  const { request, flow } = transaction;
  const { domains, contactKey, gruuKey, purrKey, targetKey } = classifier;
  const uri = parseUri(request.uri);
  if (uri === undefined) return { is: 'refused', status: 416, why: 'uri-scheme' };
  if (uri.user !== undefined && tagOf(request.headers.get('To') ?? '') !== undefined) {
    const named = openTarget(targetKey, unescape(uri.user));
    const home = named && domainOf(domains, hostOfAor(named.aor));
    if (named !== undefined && home !== undefined) return { is: 'in-dialog', domain: home.domain, ...named };
  }
  const along = alongPath(transaction, classifier);
  if (along !== undefined) return along;
  const purr = purrIn(uri, request.headers);
  const opened =
    // a known one names the phone, whatever else the URI says (PN-RPL-03); an unknown one says nothing (PN-PURR-12)
    (purr === undefined ? undefined : openPurr(purrKey, purr)) ??
    (uri.user === undefined ? undefined : openContact(contactKey, unescape(uri.user)));
  if (opened !== undefined) {
    const known = domainOf(domains, hostOfAor(opened.aor));
    if (known === undefined) return { is: 'refused', status: 404, why: 'domain-removed' };
    // only the PBX has ever seen this Contact: from anywhere else it is stolen (PN-SEC-09)
    if (!isFrom(known.trusted, flow.address)) return { is: 'refused', status: 403, why: 'not-from-pbx' };
    return { is: 'to-device', domain: domainFor(known, opened.aor, classifier), ...opened };
  }
  if (uri.user === undefined) return { is: 'to-edge' };
  const fromPbx = domains.filter((known) => isFrom(known.trusted, flow.address));
  const named = domains.find((known) => known.domain.name === uri.host.toLowerCase());
  const from = aorOf(parseNameAddr(request.headers.get('From') ?? '')?.uri ?? '');
  const home = domainOf(domains, from === undefined ? uri.host : hostOfAor(from)) ?? domainOf(domains, uri.host);
  // who has an account of his own calls by it, whatever the domain does for others
  const byAccount = home !== undefined && domainFor(home, from, classifier) === home.onBehalf && fromPbx.length === 0;
  const byTrunk = domains.filter(({ domain: { trunk } }) =>
    trunk?.routes.some((route) => route.domain === uri.host.toLowerCase()),
  );
  const registrar = byAccount
    ? undefined
    : [named, ...fromPbx, ...byTrunk].find((known) => known !== undefined && isCalledByAor(known.domain));
  if (registrar !== undefined) {
    const trunk = throughTrunk(transaction, registrar);
    const host = named === undefined && registrar.domain.name !== '*' ? registrar.domain.name : uri.host.toLowerCase();
    const called = aorOf(`sip:${uri.user}@${host}`);
    const aor = (trunk === undefined ? undefined : routed(uri, registrar.domain)) ?? called;
    const gruu = aor === undefined ? undefined : readGruu(gruuKey, uri, aor);
    if (gruu === 'unknown') return { is: 'refused', status: 404, why: 'unknown-gruu' };
    if (aor !== undefined) {
      const trusted = trunk === 'proven' || (trunk === undefined && isFrom(registrar.trusted, flow.address));
      const to = { is: 'to-user', domain: registrar.domain, aor: gruu?.aor ?? aor, trusted, gruu } as const;
      return trunk === 'unproven' ? { ...to, unproven: true } : to;
    }
  }
  if (home === undefined) return { is: 'refused', status: 404, why: 'no-such-domain' };
  if (home.isUpstream(flow.address, flow.port)) return { is: 'refused', status: 404, why: 'unknown-contact' };
  return { is: 'to-upstream', domain: domainFor(home, from, classifier), from };
}

/** Whether a request comes from the PBX of a domain with a trunk: by its address, or as it says by the user of its digest. */
function throughTrunk({ request, flow }: ServerTransaction, known: KnownDomain): 'proven' | 'unproven' | undefined {
  const { trunk, realm, name } = known.domain;
  if (trunk === undefined) return undefined;
  const byAddress = isFrom(known.trusted, flow.address);
  if (byAddress) return trunk.auth === 'digest' ? 'unproven' : 'proven';
  if (trunk.auth === 'ip') return undefined;
  const claimed = claimedUser(request, realm);
  if (claimed !== undefined) return trunk.users.has(claimed) ? 'unproven' : undefined;
  // no phone of ours calls under another domain
  const from = aorOf(parseNameAddr(request.headers.get('From') ?? '')?.uri ?? '');
  return name !== '*' && (from === undefined || hostOfAor(from) !== name) ? 'unproven' : undefined;
}

function routed({ user, host }: SipUri, { trunk, name }: Domain): Aor | undefined {
  return trunk === undefined || user === undefined
    ? undefined
    : routeNumber(trunk.routes, { user: unescape(user), host }, name);
}

/** What our own URI on top of Route says (RFC 5626 5.3); undefined: there is none, or not one with a token. */
function alongPath({ request, flow }: ServerTransaction, { domains, flowKey }: Classifier): Classified | undefined {
  const route = parseUri(parseNameAddr(request.headers.list('Route')[0] ?? '')?.uri ?? '');
  if (route?.user === undefined) return undefined;
  const opened = openFlowToken(flowKey, route.user);
  if (opened === undefined) {
    const place = `${route.host}:${route.port ?? 5060}`;
    const ours = domains.some(({ domain }) => isPath(domain) && domain.edgeHost.split(';', 1)[0] === place);
    return ours ? { is: 'refused', status: 403, why: 'bad-flow-token' } : undefined;
  }
  const known = domainOf(domains, hostOfAor(opened.aor));
  if (known === undefined) return { is: 'refused', status: 404, why: 'domain-removed' };
  const trusted = isFrom(known.trusted, flow.address);
  return { is: 'along-path', domain: known.domain, ...opened, trusted };
}

function isPath({ registration }: Domain): boolean {
  return modes[registration].calledBy === 'flow-token';
}

/** The PBX names a user of this domain by the AOR, and its phones call one another without the PBX. */
function isCalledByAor({ registration }: Domain): boolean {
  return modes[registration].calledBy === 'aor';
}

/** The edge itself is the registrar of this domain: it asks its phones for passwords and knows its users. */
export function isRegistrar({ registration }: Domain): boolean {
  return modes[registration].acceptedBy === 'edge';
}

/** pn-purr stands in the request-URI or in a Route value (PN-PURR-10). */
function purrIn(uri: SipUri, headers: Headers): string | undefined {
  const found = findParam(uri.params, 'pn-purr')?.value;
  if (found !== undefined) return unescape(found);
  for (const route of headers.list('Route')) {
    const value = findParam(parseUri(parseNameAddr(route)?.uri ?? '')?.params ?? [], 'pn-purr')?.value;
    if (value !== undefined) return unescape(value);
  }
  return undefined;
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
