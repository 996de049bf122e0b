/**
 * `"Display" <uri>;param=value` and the bare form `uri;param` of From, To, Contact, Route and their like (RFC 3261 20.10, 25.1).
 * In the bare form everything after the first semicolon belongs to the header, not to the URI (RFC 4475 3.3.12).
 */
import { split, trimBlank } from './headers.ts';
import { findParam, printParams, type UriParam } from './uri.ts';

export interface NameAddr {
  /** display name as written, with its quotes; undefined when absent */
  readonly display: string | undefined;
  /** the URI as written */
  readonly uri: string;
  /** header parameters, after the closing bracket */
  readonly params: readonly UriParam[];
}

/** Reads one value; undefined when the brackets or quotes do not balance or the URI is missing. */
export function parseNameAddr(text: string): NameAddr | undefined {
  const value = trimBlank(text);
  const open = openingBracket(value);
  if (open < 0) {
    const semicolon = value.indexOf(';');
    const uri = trimBlank(semicolon < 0 ? value : value.slice(0, semicolon));
    if (uri === '' || /[\s"<>]/.test(uri)) return undefined;
    return { display: undefined, uri, params: semicolon < 0 ? [] : headerParams(value.slice(semicolon)) };
  }
  const close = value.indexOf('>', open);
  if (close < 0) return undefined;
  const display = trimBlank(value.slice(0, open));
  const uri = value.slice(open + 1, close);
  const rest = trimBlank(value.slice(close + 1));
  if (uri === '' || (rest !== '' && !rest.startsWith(';'))) return undefined;
  return { display: display === '' ? undefined : display, uri, params: headerParams(rest) };
}

/** Header parameters: split outside quotes, white space around `=` and `;` removed, quotes kept in the value. */
function headerParams(text: string): UriParam[] {
  if (text === '') return [];
  return split(text, ';').map((part) => {
    const equals = part.indexOf('=');
    return equals < 0
      ? { name: trimBlank(part), value: undefined }
      : { name: trimBlank(part.slice(0, equals)), value: trimBlank(part.slice(equals + 1)) };
  });
}

/** Position of the `<` that opens the URI, not one inside a quoted display name; -1 when there is none. */
function openingBracket(value: string): number {
  let quoted = false;
  for (let at = 0; at < value.length; at++) {
    const c = value[at];
    if (quoted) {
      if (c === '\\') at++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === '<') return at;
  }
  return -1;
}

export function printNameAddr(addr: NameAddr): string {
  const display = addr.display === undefined ? '' : `${addr.display} `;
  return `${display}<${addr.uri}>${printParams(addr.params)}`;
}

/** The tag of a From or To value; undefined when it has none. */
export function tagOf(value: string): string | undefined {
  const addr = parseNameAddr(value);
  return addr === undefined ? undefined : findParam(addr.params, 'tag')?.value;
}
