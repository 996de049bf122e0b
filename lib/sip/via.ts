/**
 * Via (RFC 3261 20.42) and the marks a receiver puts on the topmost one (RFC 3261 18.2.1, RFC 3581 4).
 * Works on the text of a message so that everything else in it stays as it was received.
 */

export interface Via {
  /** upper case, for example UDP */
  readonly transport: string;
  /** host as written; IPv6 keeps its brackets */
  readonly host: string;
  readonly port: number | undefined;
  readonly branch: string | undefined;
}

export interface Range {
  readonly start: number;
  readonly end: number;
}

const viaPattern =
  /^SIP[ \t]*\/[ \t]*\d+\.\d+[ \t]*\/[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._%]+)(?:[ \t]*:[ \t]*(\d{1,5}))?[ \t]*(?:;|$)/i;
const branchPattern = /;[ \t]*branch[ \t]*=[ \t]*([^\s;,"]+)/i;

/**
 * Reads one Via value (unfolded, not a comma-joined list); undefined when sent-protocol or sent-by cannot be read. Any version
 * will do: who speaks another one shall at least be told so (505).
 */
export function parseVia(value: string): Via | undefined {
  const found = viaPattern.exec(value);
  if (found === null) return undefined;
  const port = found[3] === undefined ? undefined : Number(found[3]);
  if (port !== undefined && port > 65_535) return undefined;
  return {
    transport: (found[1] as string).toUpperCase(),
    host: found[2] as string,
    port,
    branch: branchPattern.exec(value)?.[1],
  };
}

const fold = /[ \t]*\r\n[ \t]+/g;

/** A value that runs over several lines as one line (RFC 3261 7.3.1). */
export function unfold(value: string): string {
  return value.includes('\r') ? value.replace(fold, ' ') : value;
}

const emptyParam = /;[ \t]*(?:;|$)/;

/** False for `;;` and a semicolon with nothing behind it (RFC 4475 3.1.2.1). */
export function paramsAreSound(value: string): boolean {
  return !emptyParam.test(value);
}

/** Where the first Via value stands in the text of a message; undefined when there is none before the empty line. */
export function topViaRange(text: string): Range | undefined {
  const endOfHead = text.indexOf('\r\n\r\n');
  let line = text.indexOf('\r\n') + 2;
  if (line < 2 || endOfHead < 0) return undefined;
  while (line <= endOfHead) {
    let end = text.indexOf('\r\n', line);
    while (isBlank(text.charCodeAt(end + 2))) end = text.indexOf('\r\n', end + 2);
    const value = viaValueAt(text, line, end);
    if (value >= 0) return { start: value, end: endOfValue(text, value, end) };
    line = end + 2;
  }
  return undefined;
}

/** Position of the value when the line at `at` is a Via header (long or compact form), else -1. */
function viaValueAt(text: string, at: number, end: number): number {
  const first = text.charCodeAt(at) | 32;
  if (first !== 118) return -1; // v
  let colon = at + 1;
  if ((text.charCodeAt(colon) | 32) === 105 && (text.charCodeAt(colon + 1) | 32) === 97) colon += 2; // ia
  while (isBlank(text.charCodeAt(colon))) colon++;
  if (text.charCodeAt(colon) !== 58) return -1;
  let value = colon + 1;
  while (
    value < end &&
    (isBlank(text.charCodeAt(value)) || text.charCodeAt(value) === 13 || text.charCodeAt(value) === 10)
  )
    value++;
  return value;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

/** A Via value ends at the first comma outside quotes, or with its line. */
function endOfValue(text: string, start: number, end: number): number {
  let quoted = false;
  let at = start;
  for (; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code === 34) quoted = !quoted;
    else if (code === 92 && quoted) at++;
    else if (code === 44 && !quoted) break;
  }
  let last = Math.min(at, end);
  while (
    last > start &&
    (isBlank(text.charCodeAt(last - 1)) || text.charCodeAt(last - 1) === 13 || text.charCodeAt(last - 1) === 10)
  )
    last--;
  return last;
}

const rportPattern = /;[ \t]*rport(?:[ \t]*=[ \t]*[^\s;,]*)?(?=[\s;,]|$)/i;
const receivedPattern = /;[ \t]*received(?:[ \t]*=[ \t]*[^\s;,]*)?(?=[\s;,]|$)/gi;

/**
 * One Via value with the source of the message written into it: rport always (as if every client had asked for it),
 * received when the sent-by host is not the source address. Marks the sender wrote itself are not believed.
 */
export function markSource(value: string, via: Via, address: string, port: number): string {
  let marked = value.includes('eceived') || /received/i.test(value) ? value.replace(receivedPattern, '') : value;
  const host = via.host.charCodeAt(0) === 91 ? via.host.slice(1, -1).toLowerCase() : via.host;
  const received = host === address ? '' : `;received=${address}`;
  const rport = rportPattern.exec(marked);
  if (rport === null) return `${marked}${received};rport=${port}`;
  marked = `${marked.slice(0, rport.index)};rport=${port}${marked.slice(rport.index + rport[0].length)}`;
  return marked + received;
}
