/** What the UAS side takes from a request before it lets go of it, and from the app's answer to it. */
import { type Headers, splitAtCommas } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { findParam } from '../sip/uri.ts';
import { contactUri } from './dialog/dialog.ts';
import { flat } from './ids.ts';
import type { Request } from './reading.ts';
import { bindingOf } from './registration-cache.ts';
import type { RequestMemo, ServerTransaction } from './transaction/server-transaction.ts';

export const noMemo: RequestMemo = {
  target: '',
  routes: [],
  takesReliable: false,
  takesUpdate: false,
  forSize: false,
  binding: '',
};

/** RFC 3261 17.2.3: branch, sent-by and method; without the magic cookie what RFC 2543 compared. */
export function transactionKey(request: Request, method: string): string {
  const { via } = request;
  const { branch } = via;
  if (branch !== undefined && branch.length > 7 && branch.startsWith('z9hG4bK'))
    return `${branch} ${via.host}:${via.port ?? ''} ${method}`;
  const { callId, cseq, fromTag, headers } = request;
  return `${callId} ${cseq.number} ${fromTag} ${via.host}:${via.port ?? ''};${branch ?? ''} ${request.flow.remotePort} ${headers.get('from')} ${method}`;
}

/** Copies, so that the request itself can be forgotten; undefined when an answer will need nothing. */
export function memoOf(request: Request, forSize = false): RequestMemo | undefined {
  const { headers, method } = request;
  if (method === 'REGISTER') {
    if (!request.flow.listener.reliable) return undefined;
    const contact = contactUri(headers);
    return contact === undefined ? undefined : { ...noMemo, binding: flat(bindingOf(contact)) };
  }
  if (method !== 'INVITE' && method !== 'SUBSCRIBE' && method !== 'UPDATE') return undefined;
  const target = flat(contactUri(headers) ?? '');
  const extensions = `${headers.lines('supported').join()},${headers.lines('require').join()}`.toLowerCase();
  return {
    target,
    routes: headers.list('record-route').map(flat),
    takesReliable: extensions.includes('100rel'),
    takesUpdate: namesUpdate(headers),
    forSize,
    binding: method === 'SUBSCRIBE' && request.flow.listener.reliable ? flat(bindingOf(target)) : '',
  };
}

/** The sender takes UPDATE (RFC 3311 4). */
export function namesUpdate(headers: Headers): boolean {
  return /(?:^|[\s,])UPDATE(?:$|[\s,])/.test(headers.lines('allow').join());
}

/** The app may choose the tag by putting it into To (drachtio-protocol B.4). */
export function takeTag(transaction: ServerTransaction, response: SipResponse): void {
  if (transaction.toTag !== '') return;
  const chosen = /;\s*tag=([^;>\s]+)\s*$/i.exec(response.headers.get('to') ?? '');
  if (chosen !== null) transaction.toTag = chosen[1] as string;
}

/** Seconds a REGISTER or SUBSCRIBE was granted: the first Contact's expires, else Expires, else none. */
export function expiryIn(response: SipResponse): number {
  const line = response.headers.get('contact');
  const first = line === undefined ? undefined : splitAtCommas(line)[0];
  const addr = first === undefined ? undefined : parseNameAddr(first);
  const text =
    (addr === undefined ? undefined : findParam(addr.params, 'expires')?.value) ??
    response.headers.get('expires') ??
    '0';
  const seconds = Number(text);
  return Number.isFinite(seconds) ? seconds : 0;
}
