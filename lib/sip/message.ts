/**
 * A SIP message as plain data, read from and written to text (RFC 3261 7).
 *
 * The text is any JavaScript string: the engine reads octets as latin1 so that one character is one octet and nothing is
 * lost; the application gets UTF-8 strings from drachtio-srf. Nothing here looks at the meaning of a header.
 */
import { Headers, trimBlank } from './headers.ts';

export interface SipRequest {
  readonly kind: 'request';
  readonly method: string;
  readonly uri: string;
  readonly headers: Headers;
  readonly body: string;
}

export interface SipResponse {
  readonly kind: 'response';
  /** 100 to 699 */
  readonly status: number;
  readonly reason: string;
  readonly headers: Headers;
  readonly body: string;
}

export type SipMessage = SipRequest | SipResponse;

/** Text that is no SIP message; `why` is fit for a log line and never quotes the text. */
export interface Malformed {
  readonly kind: 'malformed';
  readonly why: 'start-line' | 'version' | 'header' | 'no-end-of-headers';
  /** what could be read before the fault, for an answer where one is possible */
  readonly headers: Headers;
  readonly method?: string;
}

const token = /^[A-Za-z0-9\-.!%*_+`'~]+$/;

/**
 * Reads one message. All that follows the empty line is the body, whatever Content-Length says: framing is the transport's.
 * More than `maxHeaders` header fields make it malformed.
 */
export function parseMessage(text: string, maxHeaders = Number.POSITIVE_INFINITY): SipMessage | Malformed {
  const endOfHead = text.indexOf('\r\n\r\n');
  if (endOfHead < 0) return { kind: 'malformed', why: 'no-end-of-headers', headers: Headers.empty() };
  const endOfLine = text.indexOf('\r\n');
  const startLine = text.slice(0, endOfLine);
  const headers = Headers.empty();
  const headersOk = endOfLine === endOfHead || readHeaders(text, endOfLine + 2, endOfHead, headers, maxHeaders);
  const body = text.slice(endOfHead + 4);

  if (startLine.startsWith('SIP/2.0 ')) {
    const code = startLine.slice(8, 11);
    const rest = startLine.charAt(11);
    if (!/^[1-6]\d\d$/.test(code) || (rest !== ' ' && rest !== '')) return malformed('start-line', headers);
    if (!headersOk) return malformed('header', headers);
    return { kind: 'response', status: Number(code), reason: startLine.slice(12), headers, body };
  }
  const first = startLine.indexOf(' ');
  const last = startLine.lastIndexOf(' ');
  const method = startLine.slice(0, first);
  if (first <= 0 || !token.test(method)) return malformed('start-line', headers);
  const version = startLine.slice(last + 1);
  if (version !== 'SIP/2.0') {
    return malformed(/^SIP\/\d+\.\d+$/i.test(version) ? 'version' : 'start-line', headers, method);
  }
  const uri = startLine.slice(first + 1, last);
  if (last <= first || uri === '' || uri.includes(' ') || uri.includes('\t'))
    return malformed('start-line', headers, method);
  if (!headersOk) return malformed('header', headers, method);
  return { kind: 'request', method, uri, headers, body };
}

function malformed(why: Malformed['why'], headers: Headers, method?: string): Malformed {
  return method === undefined ? { kind: 'malformed', why, headers } : { kind: 'malformed', why, headers, method };
}

/** Reads `text[from, to)` into `headers`; false when a line is neither a header nor a continuation. */
function readHeaders(text: string, from: number, to: number, headers: Headers, maxHeaders: number): boolean {
  let at = from;
  while (at < to) {
    let end = text.indexOf('\r\n', at);
    if (end < 0 || end > to) end = to;
    if (headers.size >= maxHeaders) return false;
    // a line that begins with white space continues the one before it (RFC 3261 7.3.1)
    let next = end + 2;
    if (next < to && isBlank(text.charCodeAt(next))) {
      let line = text.slice(at, end);
      while (next < to && isBlank(text.charCodeAt(next))) {
        let stop = text.indexOf('\r\n', next);
        if (stop < 0 || stop > to) stop = to;
        line += ` ${trimBlank(text.slice(next, stop))}`;
        next = stop + 2;
      }
      if (!addHeader(line, 0, line.length, headers)) return false;
    } else if (!addHeader(text, at, end, headers)) return false;
    at = next;
  }
  return true;
}

/** Adds the field that stands in `text[at, end)`; false when it is none. */
function addHeader(text: string, at: number, end: number, headers: Headers): boolean {
  const colon = text.indexOf(':', at);
  if (colon <= at || colon >= end) return false;
  let endOfName = colon;
  while (endOfName > at && isBlank(text.charCodeAt(endOfName - 1))) endOfName--;
  return headers.addReceived(text.slice(at, endOfName), trimBlank(text.slice(colon + 1, end)));
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

/**
 * The message as text. Content-Length is not touched: whoever frames the message (a transport) sets it,
 * because only there is the length in octets known.
 */
export function printMessage(message: SipMessage): string {
  const startLine =
    message.kind === 'request'
      ? `${message.method} ${message.uri} SIP/2.0`
      : `SIP/2.0 ${message.status} ${message.reason}`;
  return `${startLine}\r\n${message.headers.print()}\r\n${message.body}`;
}

export function request(method: string, uri: string, headers: Headers, body = ''): SipRequest {
  return { kind: 'request', method, uri, headers, body };
}

export function response(status: number, reason: string, headers: Headers, body = ''): SipResponse {
  return { kind: 'response', status, reason, headers, body };
}
