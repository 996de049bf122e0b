/**
 * From octets to a request or response the engine can act on, or the reason why not (RFC 3261 8.2, 18.1.2, 18.3; RFC 4475).
 * Nothing that drachtio-srf's own parser would choke on gets through: it prints what it cannot read, secrets included.
 */
import { type CSeq, parseCSeq } from '../sip/cseq.ts';
import { type Headers, splitAtCommas } from '../sip/headers.ts';
import { parseMessage, type SipMessage } from '../sip/message.ts';
import { parseNameAddr, tagOf } from '../sip/name-addr.ts';
import { markSource, paramsAreSound, parseVia, topViaRange, unfold, type Via } from '../sip/via.ts';
import type { Flow } from './transport/flow.ts';

export interface Request {
  readonly is: 'request';
  /** the message as it goes to the app: as received, with the source written into the top Via */
  readonly text: string;
  /** octets of its start line and header fields */
  readonly headBytes: number;
  readonly method: string;
  readonly uri: string;
  readonly headers: Headers;
  readonly via: Via;
  readonly callId: string;
  readonly cseq: CSeq;
  readonly from: string;
  readonly fromTag: string;
  readonly to: string;
  /** '' when there is none */
  readonly toTag: string;
  readonly flow: Flow;
  /** `text` as it was read here; undefined where octets behind it were cut off */
  readonly parsed: SipMessage | undefined;
}

export interface Response {
  readonly is: 'response';
  readonly text: string;
  readonly status: number;
  readonly headers: Headers;
  readonly branch: string;
  readonly cseq: CSeq;
  readonly callId: string;
  readonly from: string;
  readonly to: string;
  readonly toTag: string;
  readonly flow: Flow;
  /** see Request */
  readonly parsed: SipMessage | undefined;
}

export type Read =
  | Request
  | Response
  /** answer it, if it is not an ACK */
  | {
      readonly is: 'refused';
      readonly status: number;
      readonly reason: string;
      readonly method: string;
      readonly headers: Headers;
    }
  | { readonly is: 'unreadable' };

const unreadable: Read = { is: 'unreadable' };
// one class and no alternatives, because it is for every octet: everything that is neither text nor TAB, CR, LF
const control = /[^\t\r\n\x20-\x7e\x80-\xff]/;
// a backslash in a quoted string may hide any octet but CR and LF (RFC 3261 25.1)
// oxlint-disable-next-line no-control-regex -- controls are what it looks for
const hiddenControl = /\\[\0-\x09\x0b\x0c\x0e-\x7f]/g;
const singleHeaders = ['from', 'to', 'call-id', 'cseq', 'max-forwards'];
// both become part of the dialog id in a meta line: no `|`, and nothing that UTF-8 decoding could change
const callIdPattern = /^[^\s|\x80-\xff]+$/;
const tagPattern = /^[^\s|;,"<>\x80-\xff]*$/;
// U+2028 and U+2029 end a line for srf's pattern of a status line
const lineSeparator = /\xe2\x80[\xa8\xa9]/;
// the start line must be readable for srf: ASCII without spaces in the URI
const uriPattern = /^[\x21\x23-\x3b\x3d\x3f-\x7e]+$/;
const usualAddr =
  /^(?:[A-Za-z0-9 .\-_!%*+`'~]*|"[^"\\]*"[ \t]*)<([^<>"\s]+)>((?:;[A-Za-z0-9\-.!%*_+`'~]+(?:=[A-Za-z0-9\-.!%*_+`'~:[\]]+)?)*)$/;
// one Contact as nearly all phones write it, whose URI is absolute whatever follows it
const usualContact = /^<[A-Za-z][A-Za-z0-9+.-]*:[^>]+>(?:;|$)/;
const absoluteUri = /^[A-Za-z][A-Za-z0-9+.-]*:./;
const tagParam = /;tag=([^;]+)/i;

/** The tag of a From or To value ('' when it has none); undefined when the value cannot be read. */
export function readTag(value: string): string | undefined {
  const usual = usualAddr.exec(value);
  if (usual !== null) return tagParam.exec(usual[2] as string)?.[1] ?? '';
  if (value.startsWith(';') || parseNameAddr(value) === undefined) return undefined;
  return tagOf(value) ?? '';
}

/** Reads one message from the network. `maxHeaders` bounds the work a header bomb can cause later. */
export function read(received: string, flow: Flow, maxHeaders: number): Read {
  const isResponse = received.startsWith('SIP/');
  const range = topViaRange(received);
  if (range === undefined) return unreadable;
  const viaValue = unfold(received.slice(range.start, range.end));
  const via = parseVia(viaValue);
  if (via === undefined) return unreadable;
  const marked = isResponse
    ? received
    : received.slice(0, range.start) +
      markSource(viaValue, via, flow.remoteAddress, flow.remotePort) +
      received.slice(range.end);
  const message = parseMessage(marked, maxHeaders);
  if (message.kind === 'malformed') {
    if (isResponse || message.method === undefined) return unreadable;
    const refusal = message.why === 'version' ? 'Version Not Supported' : 'Bad Request';
    return refused(message.why === 'version' ? 505 : 400, refusal, message.method, message.headers);
  }
  const { headers } = message;
  const endOfHead = marked.length - message.body.length;
  const head = received.slice(0, received.length - message.body.length);
  if (message.kind === 'response') {
    const cut = cutBody(marked, endOfHead, headers);
    const cseq = parseCSeq(headers.get('cseq') ?? '');
    const callId = headers.get('call-id');
    const to = headers.get('to') ?? '';
    const from = headers.get('from') ?? '';
    const toTag = readTag(to);
    if (
      cut === undefined ||
      cseq === undefined ||
      callId === undefined ||
      toTag === undefined ||
      via.branch === undefined
    )
      return unreadable;
    if (readTag(from) === undefined || !callIdPattern.test(callId)) return unreadable;
    if (hasStrayControl(head) || !tagPattern.test(toTag) || lineSeparator.test(message.reason)) return unreadable;
    return {
      is: 'response',
      text: cut,
      status: message.status,
      headers,
      branch: via.branch,
      cseq,
      callId,
      from,
      to,
      toTag,
      flow,
      parsed: cut === marked ? message : undefined,
    };
  }
  const bad = (): Read => refused(400, 'Bad Request', message.method, headers);
  const cut = cutBody(marked, endOfHead, headers);
  if (cut === undefined) return bad();
  if (!paramsAreSound(viaValue)) return bad();
  // such a method is answered here (uas.ts), so nothing in the message can confuse an app
  const forNoApp = message.method.includes('%');
  if (hasStrayControl(forNoApp ? head.replace(hiddenControl, '') : head)) return bad();
  if (!uriPattern.test(message.uri)) return bad();
  for (const name of singleHeaders) if (headers.count(name) > 1) return bad();
  const from = headers.get('from');
  const to = headers.get('to');
  const callId = headers.get('call-id');
  const cseq = parseCSeq(headers.get('cseq') ?? '');
  if (from === undefined || to === undefined || callId === undefined || cseq === undefined) return bad();
  const fromTag = readTag(from);
  const toTag = readTag(to);
  if (fromTag === undefined || toTag === undefined || !tagPattern.test(fromTag) || !tagPattern.test(toTag))
    return bad();
  if (cseq.method !== message.method || !callIdPattern.test(callId)) return bad();
  if (!forNoApp && headers.hasEscapedName()) return bad();
  if (message.method === 'REGISTER' && !contactsAreSound(headers)) return bad();
  return {
    is: 'request',
    text: cut,
    headBytes: endOfHead,
    method: message.method,
    uri: message.uri,
    headers,
    via,
    callId,
    cseq,
    from,
    fromTag,
    to,
    toTag,
    flow,
    parsed: cut === marked ? message : undefined,
  };
}

function refused(status: number, reason: string, method: string, headers: Headers): Read {
  return { is: 'refused', status, reason, method, headers };
}

/** The message without octets behind its Content-Length; undefined when it is shorter, or the length cannot be read. */
function cutBody(text: string, endOfHead: number, headers: Headers): string | undefined {
  const length = headers.get('content-length');
  if (length === undefined) return text;
  if (!/^\d{1,9}$/.test(length)) return undefined;
  if (headers.count('content-length') > 1 && headers.lines('content-length').some((line) => line !== length))
    return undefined;
  const end = endOfHead + Number(length);
  if (end > text.length) return undefined;
  return end === text.length ? text : text.slice(0, end);
}

function contactsAreSound(headers: Headers): boolean {
  for (const line of headers.lines('contact')) {
    if (line === '*') {
      if (headers.get('expires') !== '0' || headers.count('contact') > 1) return false;
      continue;
    }
    if (usualContact.test(line) && !line.includes(',')) continue;
    for (const value of splitAtCommas(line)) {
      const addr = parseNameAddr(value);
      // RFC 3261 20.10: a URI with a question mark must stand in brackets
      if (addr === undefined || !absoluteUri.test(addr.uri) || (!value.includes('<') && addr.uri.includes('?')))
        return false;
    }
  }
  return true;
}

/** In the head CR and LF stand only as a pair, and there is no NUL or other control. */
function hasStrayControl(head: string): boolean {
  if (control.test(head)) return true;
  for (let at = -1; ; ) {
    const cr = head.indexOf('\r', at + 1);
    const lf = head.indexOf('\n', at + 1);
    if (cr < 0 || lf !== cr + 1) return cr >= 0 || lf >= 0;
    at = lf;
  }
}
