/** Checks before any work (RFC 3261 16.3, EDGE-PRX-01, PN-PROXY-26): a request that fails here is answered and goes no further. */
import type { Answer, ServerTransaction } from '../../../lib/ports/server-transaction.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { aorOf } from '../../../lib/sip/aor.ts';
import { parseNameAddr } from '../../../lib/sip/name-addr.ts';
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
    const addr = parseNameAddr(headers.get(name) ?? '');
    if (addr === undefined) return { why: 'malformed', answer: { status: 400, reason: `Bad ${name}` } };
  }
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
