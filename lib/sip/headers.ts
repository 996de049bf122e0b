/**
 * The header fields of one SIP message, in the order they were received (RFC 3261 7.3).
 * Names are matched without case and compact forms are read as their long form; values are kept octet for octet.
 */

/** Compact form to long form (RFC 3261 7.3.3 and the IANA registry). */
const compactForms: Readonly<Record<string, string>> = {
  a: 'accept-contact',
  b: 'referred-by',
  c: 'content-type',
  d: 'request-disposition',
  e: 'content-encoding',
  f: 'from',
  i: 'call-id',
  j: 'reject-contact',
  k: 'supported',
  l: 'content-length',
  m: 'contact',
  n: 'identity-info',
  o: 'event',
  r: 'refer-to',
  s: 'subject',
  t: 'to',
  u: 'allow-events',
  v: 'via',
  x: 'session-expires',
  y: 'identity',
};

/** How the names we know are written. Anything else is written as it was received. */
const knownNames: readonly string[] = [
  'Via',
  'Route',
  'Record-Route',
  'Path',
  'Service-Route',
  'Max-Forwards',
  'From',
  'To',
  'Call-ID',
  'CSeq',
  'Contact',
  'Expires',
  'Min-Expires',
  'Supported',
  'Require',
  'Proxy-Require',
  'Unsupported',
  'Allow',
  'Allow-Events',
  'Accept',
  'Accept-Contact',
  'Accept-Encoding',
  'Accept-Language',
  'Alert-Info',
  'Authorization',
  'Proxy-Authorization',
  'WWW-Authenticate',
  'Proxy-Authenticate',
  'Authentication-Info',
  'Call-Info',
  'Content-Type',
  'Content-Length',
  'Content-Encoding',
  'Content-Disposition',
  'Content-Language',
  'Date',
  'Diversion',
  'Error-Info',
  'Event',
  'Feature-Caps',
  'History-Info',
  'Identity',
  'Identity-Info',
  'In-Reply-To',
  'Join',
  'MIME-Version',
  'Min-SE',
  'Organization',
  'P-Asserted-Identity',
  'P-Preferred-Identity',
  'Priority',
  'Privacy',
  'RAck',
  'RSeq',
  'Reason',
  'Refer-To',
  'Referred-By',
  'Reject-Contact',
  'Remote-Party-ID',
  'Replaces',
  'Reply-To',
  'Request-Disposition',
  'Retry-After',
  'Server',
  'Session-Expires',
  'SIP-ETag',
  'SIP-If-Match',
  'Subject',
  'Subscription-State',
  'Timestamp',
  'User-Agent',
  'Warning',
  'X-MPUSH',
];
const writtenAs = new Map(knownNames.map((name) => [name.toLowerCase(), name]));

interface FieldName {
  /** see headerKey */
  readonly key: string;
  readonly written: string;
}

/** By name as received, in the spellings that are usual. */
const usual = new Map<string, FieldName>();
for (const name of knownNames) {
  const field = { key: name.toLowerCase(), written: name };
  usual.set(name, field);
  usual.set(field.key, field);
}
for (const [short, long] of Object.entries(compactForms)) {
  const field = { key: long, written: writtenAs.get(long) ?? short };
  usual.set(short, field);
  usual.set(short.toUpperCase(), field);
}

/** The name used for comparison: long form, lower case. `m` and `CONTACT` are both `contact`. */
export function headerKey(name: string): string {
  // of a name nobody registered; compact forms are in the map already, and looking them up in an object would find `__proto__`
  return usual.get(name)?.key ?? name.toLowerCase();
}

const token = /^[A-Za-z0-9\-.!%*_+`'~]+$/;

export class Headers {
  readonly #keys: string[];
  readonly #names: string[];
  readonly #values: string[];

  private constructor(keyList: string[], names: string[], values: string[]) {
    this.#keys = keyList;
    this.#names = names;
    this.#values = values;
  }

  static empty(): Headers {
    return new Headers([], [], []);
  }

  static of(fields: Iterable<readonly [name: string, value: string]>): Headers {
    const headers = Headers.empty();
    for (const [name, value] of fields) headers.add(name, value);
    return headers;
  }

  get size(): number {
    return this.#keys.length;
  }

  has(name: string): boolean {
    return this.#keys.includes(headerKey(name));
  }

  /** The first field with this name, as received; undefined when there is none. */
  get(name: string): string | undefined {
    const at = this.#keys.indexOf(headerKey(name));
    return at < 0 ? undefined : this.#values[at];
  }

  /** Every field with this name, one entry a line, not split at commas. */
  lines(name: string): string[] {
    const key = headerKey(name);
    const found: string[] = [];
    for (let at = 0; at < this.#keys.length; at++) if (this.#keys[at] === key) found.push(this.#values[at] as string);
    return found;
  }

  /** How many lines have this name. */
  count(name: string): number {
    const key = headerKey(name);
    let found = 0;
    for (let at = this.#keys.indexOf(key); at >= 0; at = this.#keys.indexOf(key, at + 1)) found++;
    return found;
  }

  /** Name for comparison, name as written, and value of the field at this position; positions run from 0 to size - 1. */
  keyAt(at: number): string {
    return this.#keys[at] as string;
  }

  nameAt(at: number): string {
    return this.#names[at] as string;
  }

  valueAt(at: number): string {
    return this.#values[at] as string;
  }

  /**
   * True when a name holds a `%`. It is a legal token and means itself (RFC 4475 3.1.1.5), but some parsers unescape it
   * and would read `C%6Fntact` as Contact.
   */
  hasEscapedName(): boolean {
    for (const key of this.#keys) if (key.includes('%')) return true;
    return false;
  }

  /** Every value with this name, comma-joined lines taken apart (not inside quotes or angle brackets). */
  list(name: string): string[] {
    const key = headerKey(name);
    const found: string[] = [];
    for (let at = this.#keys.indexOf(key); at >= 0; at = this.#keys.indexOf(key, at + 1)) {
      const value = this.#values[at] as string;
      if (value.includes(',')) found.push(...split(value, ','));
      else {
        const only = trimBlank(value);
        if (only !== '') found.push(only);
      }
    }
    return found;
  }

  /** `[name as written, value, key]` in order. */
  *entries(): Generator<readonly [name: string, value: string, key: string]> {
    for (let at = 0; at < this.#keys.length; at++) {
      yield [this.#names[at] as string, this.#values[at] as string, this.#keys[at] as string];
    }
  }

  /** Appends one field. */
  add(name: string, value: string): this {
    const field = usual.get(name);
    const key = field?.key ?? name.toLowerCase();
    this.#keys.push(key);
    this.#names.push(field?.written ?? writtenAs.get(key) ?? name);
    this.#values.push(value);
    return this;
  }

  /** Appends one field with a name from outside; false, and nothing is added, when the name is no token (RFC 3261 25.1). */
  addReceived(name: string, value: string): boolean {
    if (!usual.has(name) && !token.test(name)) return false;
    this.add(name, value);
    return true;
  }

  /** Puts one field above all others of its name (top of the message when it is the first). */
  prepend(name: string, value: string): this {
    const key = headerKey(name);
    const first = this.#keys.indexOf(key);
    const at = first < 0 ? 0 : first;
    this.#keys.splice(at, 0, key);
    this.#names.splice(at, 0, writtenAs.get(key) ?? name);
    this.#values.splice(at, 0, value);
    return this;
  }

  /** Replaces every field of this name by one, at the place of the first (at the end when there was none). */
  set(name: string, value: string): this {
    const key = headerKey(name);
    const first = this.#keys.indexOf(key);
    if (first < 0) return this.add(name, value);
    this.#values[first] = value;
    for (let at = this.#keys.length - 1; at > first; at--) if (this.#keys[at] === key) this.#removeAt(at);
    return this;
  }

  /** Replaces the first field of this name only. Nothing happens when there is none. */
  replaceFirst(name: string, value: string): this {
    const at = this.#keys.indexOf(headerKey(name));
    if (at >= 0) this.#values[at] = value;
    return this;
  }

  delete(name: string): this {
    const key = headerKey(name);
    for (let at = this.#keys.length - 1; at >= 0; at--) if (this.#keys[at] === key) this.#removeAt(at);
    return this;
  }

  copy(): Headers {
    return new Headers(this.#keys.slice(), this.#names.slice(), this.#values.slice());
  }

  /** The fields as they go on the wire, each line ended by CRLF, without the empty line. */
  print(): string {
    let text = '';
    for (let at = 0; at < this.#keys.length; at++) text += `${this.#names[at]}: ${this.#values[at]}\r\n`;
    return text;
  }

  #removeAt(at: number): void {
    this.#keys.splice(at, 1);
    this.#names.splice(at, 1);
    this.#values.splice(at, 1);
  }
}

/**
 * Without the white space of SIP at both ends. `trim()` would also take U+00A0, which in text of octets is one half of a
 * letter such as the UTF-8 of \u00e0.
 */
export function trimBlank(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return start === 0 && end === text.length ? text : text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 13 || code === 10;
}

/** Splits a header value at the commas between its values (RFC 3261 7.3.1), trimming white space; empty pieces are left out. */
export function splitAtCommas(value: string): string[] {
  if (value.includes(',')) return split(value, ',');
  const only = trimBlank(value);
  return only === '' ? [] : [only];
}

/** Splits at `separator` outside of quoted strings and angle brackets. */
export function split(value: string, separator: ',' | ';'): string[] {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  let depth = 0;
  for (let at = 0; at < value.length; at++) {
    const c = value[at];
    if (quoted) {
      if (c === '\\') at++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === '<') depth++;
    else if (c === '>') depth = Math.max(0, depth - 1);
    else if (c === separator && depth === 0) {
      const part = trimBlank(value.slice(start, at));
      if (part !== '') parts.push(part);
      start = at + 1;
    }
  }
  const last = trimBlank(value.slice(start));
  if (last !== '') parts.push(last);
  return parts;
}
