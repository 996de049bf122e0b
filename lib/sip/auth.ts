/**
 * The words of WWW-Authenticate, Proxy-Authenticate, Authorization and Proxy-Authorization (RFC 3261 20.7, 25.1):
 * one scheme and its parameters. What they mean is in core/digest.ts.
 */

export interface AuthParam {
  /** as written */
  readonly name: string;
  /** without quotes, backslashes undone */
  readonly value: string;
  readonly quoted: boolean;
}

export interface Auth {
  /** as written: `Digest` */
  readonly scheme: string;
  readonly params: readonly AuthParam[];
}

const tokenPattern = /[A-Za-z0-9\-.!%*_+`'~]+/y;
const barePattern = /[^\s,"]+/y;

/** Reads one header value; undefined when it is not `scheme name=value, ...`. Never more than one pass over the text. */
export function parseAuth(text: string): Auth | undefined {
  let at = skipSpace(text, 0);
  const scheme = take(tokenPattern, text, at);
  if (scheme === '') return undefined;
  at += scheme.length;
  const params: AuthParam[] = [];
  if (at < text.length && !isSpace(text.charCodeAt(at))) return undefined;
  for (at = skipSpace(text, at); at < text.length; at = skipSpace(text, at)) {
    if (text[at] === ',') {
      at++;
      continue;
    }
    const name = take(tokenPattern, text, at);
    if (name === '') return undefined;
    at = skipSpace(text, at + name.length);
    if (text[at] !== '=') return undefined;
    at = skipSpace(text, at + 1);
    if (text[at] === '"') {
      const end = endOfQuoted(text, at);
      if (end < 0) return undefined;
      params.push({ name, value: unquote(text.slice(at, end)), quoted: true });
      at = end;
    } else {
      const value = take(barePattern, text, at);
      params.push({ name, value, quoted: false });
      at += value.length;
    }
    at = skipSpace(text, at);
    if (at < text.length && text[at] !== ',') return undefined;
  }
  return { scheme, params };
}

/** The value of the first parameter with this name, without case. */
export function authParam(auth: Auth, name: string): string | undefined {
  const lower = name.toLowerCase();
  return auth.params.find((param) => param.name.toLowerCase() === lower)?.value;
}

export function printAuth(auth: Auth): string {
  const params = auth.params.map(({ name, value, quoted }) => `${name}=${quoted ? quote(value) : value}`);
  return params.length === 0 ? auth.scheme : `${auth.scheme} ${params.join(', ')}`;
}

/** A quoted-string (RFC 3261 25.1) with this content. */
export function quote(value: string): string {
  return `"${/["\\]/.test(value) ? value.replace(/["\\]/g, '\\$&') : value}"`;
}

/** The content of a quoted-string; text without quotes comes back unchanged. */
export function unquote(text: string): string {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return text;
  const inner = text.slice(1, -1);
  return inner.includes('\\') ? inner.replace(/\\([\s\S])/g, '$1') : inner;
}

function endOfQuoted(text: string, open: number): number {
  for (let at = open + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return -1;
}

function take(pattern: RegExp, text: string, at: number): string {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? '';
}

function isSpace(code: number): boolean {
  return code === 32 || code === 9 || code === 13 || code === 10;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && isSpace(text.charCodeAt(at))) at++;
  return at;
}
