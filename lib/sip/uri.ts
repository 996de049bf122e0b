/**
 * SIP and SIPS URIs (RFC 3261 19.1) taken apart far enough to route, compare and rewrite them. Other schemes are kept as text.
 * Parameters and their order are kept as written; names are looked up without case.
 */

export interface SipUri {
  readonly scheme: 'sip' | 'sips';
  /** user part as written (escapes kept), undefined when absent */
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** host as written; IPv6 keeps its brackets */
  readonly host: string;
  readonly port: number | undefined;
  readonly params: readonly UriParam[];
  /** the text after `?`, undefined when absent */
  readonly headers: string | undefined;
}

/** value undefined: the parameter stands alone (`;lr`); '' : written as `;name=` */
export interface UriParam {
  readonly name: string;
  readonly value: string | undefined;
}

const uriPattern =
  /^(sips?):(?:([^@:]*)(?::([^@]*))?@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%]+)(?::(\d{1,5}))?((?:;[^?]*)?)(?:\?(.*))?$/i;

/** Reads a sip: or sips: URI; undefined for anything else, also for white space, `<` or `>` anywhere. */
export function parseUri(text: string): SipUri | undefined {
  if (/[\s<>"]/.test(text)) return undefined;
  const found = uriPattern.exec(text);
  if (found === null) return undefined;
  const [, scheme, user, password, host, port, params, headers] = found as unknown as [
    string,
    string,
    string?,
    string?,
    string?,
    string?,
    string?,
    string?,
  ];
  const portNumber = port === undefined ? undefined : Number(port);
  if (portNumber !== undefined && portNumber > 65_535) return undefined;
  if (user === '') return undefined;
  return {
    scheme: scheme.toLowerCase() as 'sip' | 'sips',
    user,
    password,
    host: host as string,
    port: portNumber,
    params: parseParams(params ?? ''),
    headers,
  };
}

/** Reads `;name=value;flag` (also without the leading semicolon). The value begins after the first `=` (PN-PARAM-08). */
export function parseParams(text: string): UriParam[] {
  const params: UriParam[] = [];
  for (let start = 0; start < text.length; ) {
    const semicolon = text.indexOf(';', start);
    const end = semicolon < 0 ? text.length : semicolon;
    if (end > start) {
      const part = text.slice(start, end);
      const equals = part.indexOf('=');
      params.push(
        equals < 0 ? { name: part, value: undefined } : { name: part.slice(0, equals), value: part.slice(equals + 1) },
      );
    }
    start = end + 1;
  }
  return params;
}

/** The first parameter with this name, without case; undefined when absent. */
export function findParam(params: readonly UriParam[], name: string): UriParam | undefined {
  const lower = name.toLowerCase();
  return params.find((param) => param.name.toLowerCase() === lower);
}

export function printUri(uri: SipUri): string {
  const userinfo = uri.user === undefined ? '' : `${uri.user}${uri.password === undefined ? '' : `:${uri.password}`}@`;
  const port = uri.port === undefined ? '' : `:${uri.port}`;
  const headers = uri.headers === undefined ? '' : `?${uri.headers}`;
  return `${uri.scheme}:${userinfo}${uri.host}${port}${printParams(uri.params)}${headers}`;
}

export function printParams(params: readonly UriParam[]): string {
  return params
    .map((param) => (param.value === undefined ? `;${param.name}` : `;${param.name}=${param.value}`))
    .join('');
}

/** Undoes %HH once (RFC 4475 3.1.1.3); a broken escape stays as it is. */
export function unescape(text: string): string {
  if (!text.includes('%')) return text;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
