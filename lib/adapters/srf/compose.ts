/**
 * The text of what we send. Every value has come from a network or a user, so line breaks in it become spaces: nobody can
 * add a header, a frame field or a second message by writing one. Header fields go out one line each, in their order
 * (drachtio-srf would join lines of one name with commas, which PN-FC-01 forbids); only Path is joined.
 */
import type { Headers } from '../../sip/headers.ts';
import { reasonPhrase } from './reason-phrases.ts';
import { toOctets } from './frames.ts';

/** Header fields the engine makes; given ones would be dropped by it or, worse, doubled. */
const engineOwned = new Set(['via', 'route', 'record-route', 'rseq', 'content-length']);
/** On a response the engine copies these of the request as well. */
const copiedOnResponses = new Set([...engineOwned, 'call-id', 'cseq', 'from', 'to']);
const copiedAndExpires = new Set([...copiedOnResponses, 'expires']);

// oxlint-disable-next-line no-control-regex -- these are what must not pass
const control = /[\u0000-\u0008\u000a-\u001f\u007f]/;
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000a-\u001f\u007f]+/g;

function clean(value: string): string {
  return control.test(value) ? value.replace(controls, ' ') : value;
}

/** The SIP request as an octet string; undefined when the URI or the method cannot stand in a start line. */
export function composeRequest(
  method: string,
  uri: string,
  headers: Headers,
  body: string,
  routes: readonly string[] = [],
): string | undefined {
  if (!/^[A-Za-z0-9\-.!%*_+`'~]+$/.test(method) || uri === '' || /[\s\u0000-\u0020\u007f]/.test(uri)) return undefined;
  const lines = routes.map((route) => `\r\nRoute: ${clean(route)}`).join('');
  return compose(`${method} ${uri} SIP/2.0${lines}`, headers, body, engineOwned);
}

/** `hidesContact`: the server shall not see that it is a Contact (nor an Expires); whoever receives it does. `to`: with its tag, when it is not the engine's to choose. */
export function composeResponse(
  status: number,
  reason: string | undefined,
  headers: Headers | undefined,
  body: string,
  { hidesContact = false, to }: { readonly hidesContact?: boolean; readonly to?: string | undefined } = {},
): string {
  const phrase = clean(reason === undefined || reason === '' ? reasonPhrase(status) : reason);
  const leftOut = hidesContact ? copiedAndExpires : copiedOnResponses;
  const lines = to === undefined ? '' : `\r\nTo: ${clean(to)}`;
  return compose(`SIP/2.0 ${status} ${phrase}${lines}`, headers, body, leftOut, hidesContact);
}

function compose(
  startLine: string,
  headers: Headers | undefined,
  body: string,
  leftOut: ReadonlySet<string>,
  hidesContact = false,
): string {
  let head = `${startLine}\r\n`;
  let typed = false;
  let pathWritten = false;
  if (headers !== undefined) {
    for (let at = 0; at < headers.size; at++) {
      const key = headers.keyAt(at);
      if (leftOut.has(key)) continue;
      const name = headers.nameAt(at);
      if (key === 'content-type') typed = true;
      if (key === 'path') {
        // drachtio-server turns the order of Path lines round, and their order is the way back to the phone (RFC 3327)
        if (pathWritten) continue;
        pathWritten = true;
        head += `${name}: ${clean(headers.lines('path').join(', '))}\r\n`;
      } else head += `${hidesContact && key === 'contact' ? 'm' : name}: ${clean(headers.valueAt(at))}\r\n`;
    }
  }
  if (body === '') return toOctets(`${head}Content-Length: 0\r\n\r\n`);
  // drachtio refuses a body without a type unless it looks like SDP (drachtio-protocol A.7)
  if (!typed) head += `Content-Type: ${body.startsWith('v=0') ? 'application/sdp' : 'application/octet-stream'}\r\n`;
  const octets = bodyOctets(body);
  return `${toOctets(`${head}Content-Length: ${octets.length}\r\n\r\n`)}${octets}`;
}

/** Bodies are octet strings already; a text of ours with wider characters becomes UTF-8. */
function bodyOctets(body: string): string {
  return /[^\u0000-\u00ff]/.test(body) ? Buffer.from(body, 'utf8').toString('latin1') : body;
}

/** Where a request outside dialogs goes. `routed` after it, which the embedded engine knows: its Route fields are to be kept. */
export function metaTowards(nextHop: string | undefined, routes: readonly string[] = []): string {
  if (nextHop === undefined) return '|';
  return routes.length === 0 ? `||${nextHop}` : `||${nextHop}|routed`;
}

/** A next hop stands in the first line of a frame, where `|` and line breaks would be fields of their own. */
export function fitsMetaLine(text: string): boolean {
  return !/[|\s\u0000-\u0020\u007f]/.test(text);
}
