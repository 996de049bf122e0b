/** Checks before any work (RFC 3261 16.3, EDGE-PRX-01, PN-PROXY-26): a request that fails here is answered and goes no further. */
import type { Answer, ServerTransaction } from '../../../lib/ports/server-transaction.ts';
import { Headers, splitAtCommas } from '../../../lib/sip/headers.ts';
import { aorOf } from '../../../lib/sip/aor.ts';
import { parseNameAddr } from '../../../lib/sip/name-addr.ts';
import { parseUri } from '../../../lib/sip/uri.ts';
import type { LabelValue } from '../../../lib/telemetry/metrics.ts';

export interface Screened {
  readonly why: LabelValue<'refusals', 'reason'>;
  readonly answer: Answer;
}

/** Options a request may require of us as proxy or registrar. */
const understood = new Set(['path', 'outbound', 'gruu']);

/** The answer that ends the request here, and the reason it is counted under; undefined: it may pass. */
export function screen({ request }: ServerTransaction): Screened | undefined {
  const { headers, method } = request;
  for (const name of ['From', 'To']) {
    const value = headers.get(name) ?? '';
    // a comma in a display name without quotes: who reads it as a list sees two addresses (RFC 4475 3.1.2.15)
    if (parseNameAddr(value) === undefined || splitAtCommas(value).length > 1)
      return { why: 'malformed', answer: { status: 400, reason: `Bad ${name}` } };
  }
  const uri = parseUri(request.uri);
  if (uri === undefined && !/^sips?:/i.test(request.uri)) return { why: 'uri-scheme', answer: { status: 416 } };
  // header fields have no place in a request-URI (RFC 3261 19.1.1, RFC 4475 3.1.2.11)
  if (uri === undefined || uri.headers !== undefined)
    return { why: 'malformed', answer: { status: 400, reason: 'Bad Request-URI' } };
  const hops = headers.get('Max-Forwards');
  if (hops !== undefined && Number(hops) === 0 && method !== 'OPTIONS') return { why: 'hops', answer: { status: 483 } };
  const proxyRequire = headers.list('Proxy-Require').filter((option) => !understood.has(option.toLowerCase()));
  if (proxyRequire.length > 0) return unsupported(proxyRequire);
  if (method === 'REGISTER' && aorOf(parseNameAddr(headers.get('To') ?? '')?.uri ?? '') === undefined)
    return { why: 'malformed', answer: { status: 400, reason: 'Bad To' } };
  return undefined;
}

/** What only the registrar may judge: Require with a tag it does not know (RFC 3261 10.3 step 3). */
export function screenAsRegistrar({ request }: ServerTransaction): Screened | undefined {
  const required = request.headers.list('Require').filter((option) => !understood.has(option.toLowerCase()));
  return required.length > 0 ? unsupported(required) : undefined;
}

function unsupported(options: readonly string[]): Screened {
  const headers = Headers.of([['Unsupported', options.join(', ')]]);
  return { why: 'extension', answer: { status: 420, headers } };
}
