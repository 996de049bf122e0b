/** Requests and responses the engine writes, put together from text (RFC 3261 8.1.1, 8.2.6, 17.1.1.3, 9.1). */
import type { Headers } from '../sip/headers.ts';

/** Headers of an app's message that are never taken from it: the engine sets them (drachtio-protocol B.4, B.5). */
const always = new Set(['via', 'route', 'record-route', 'rseq', 'content-length', 'call-id', 'cseq', 'from', 'to']);
const inRequests = new Set([...always, 'contact', 'max-forwards']);

/**
 * The rest of an app's headers as lines, with a Content-Type assumed for SDP; undefined when a body has no type.
 * `requests` leaves Contact and Max-Forwards to the caller.
 */
export function appLines(headers: Headers, body: string, requests: boolean): string | undefined {
  const skip = requests ? inRequests : always;
  let lines = '';
  let typed = body === '';
  const { size } = headers;
  for (let at = 0; at < size; at++) {
    const key = headers.keyAt(at);
    if (skip.has(key)) continue;
    if (key === 'content-type') typed = true;
    lines += `${nameOnWire(headers.nameAt(at))}: ${headers.valueAt(at)}\r\n`;
  }
  if (typed) return lines;
  return body.startsWith('v=0') ? `${lines}Content-Type: application/sdp\r\n` : undefined;
}

const names = new Map<string, string>();

/** srf writes names in lower case: each part gets its capital, except in names that begin with `X-`. */
function nameOnWire(name: string): string {
  if (name.charCodeAt(0) < 97 || name.startsWith('x-')) return name;
  let written = names.get(name);
  if (written === undefined) {
    written = name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
    if (names.size < 1000) names.set(name, written);
  }
  return written;
}

export interface ResponseParts {
  /** every Via line, each with CRLF */
  readonly vias: string;
  readonly from: string;
  readonly to: string;
  readonly callId: string;
  readonly cseq: string;
}

/** `lines` are further header lines, each ended by CRLF. */
export function printResponse(status: number, reason: string, parts: ResponseParts, lines = '', body = ''): string {
  return `SIP/2.0 ${status} ${reason}\r\n${parts.vias}From: ${parts.from}\r\nTo: ${parts.to}\r\nCall-ID: ${parts.callId}\r\nCSeq: ${parts.cseq}\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`;
}

export interface RequestParts {
  readonly method: string;
  readonly uri: string;
  /** the Via value */
  readonly via: string;
  readonly maxForwards: string;
  /** Route lines, each with CRLF */
  readonly routes: string;
  readonly from: string;
  readonly to: string;
  readonly callId: string;
  readonly seq: number;
  /** Contact value, '' for none */
  readonly contact: string;
}

export function printRequest(parts: RequestParts, lines = '', body = ''): string {
  const contact = parts.contact === '' ? '' : `Contact: ${parts.contact}\r\n`;
  return `${parts.method} ${parts.uri} SIP/2.0\r\nVia: ${parts.via}\r\n${parts.routes}Max-Forwards: ${parts.maxForwards}\r\nFrom: ${parts.from}\r\nTo: ${parts.to}\r\nCall-ID: ${parts.callId}\r\nCSeq: ${parts.seq} ${parts.method}\r\n${contact}${lines}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Every line of one header, printed with its name. */
export function linesOf(headers: Headers, name: string): string {
  let text = '';
  for (const value of headers.lines(name)) text += `${name}: ${value}\r\n`;
  return text;
}
