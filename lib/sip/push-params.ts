/**
 * The push parameters of a Contact (RFC 8599 8.7) in all the dialects that phones speak (D1 to D14 of the requirements),
 * brought to one form; and their removal from what others may see. Whether a provider is supported is decided elsewhere.
 */
import { unquote } from './auth.ts';
import type { Contact } from './contact.ts';
import { type Headers, splitAtCommas } from './headers.ts';
import { parseNameAddr, printNameAddr } from './name-addr.ts';
import { findParam, unescape, type UriParam } from './uri.ts';

export interface AskedToken {
  readonly kind: 'voip' | 'alert' | 'fcm' | 'webpush' | 'webhook';
  /** unescaped once */
  readonly token: string;
}

/** What a Contact asks for. */
export type PushAsk =
  | { readonly is: 'none' }
  /** pn-provider without pn-prid (PN-QRY-01); `provider` undefined and `providerAsSent` '' ask for all types */
  | { readonly is: 'query'; readonly provider: string | undefined; readonly providerAsSent: string }
  | {
      readonly is: 'push';
      /** canonical: `apns`, `fcm`, `webpush`, `unifiedpush` or a private type in lower case */
      readonly provider: string;
      /** to be echoed in sip.pns (DIA-06) */
      readonly providerAsSent: string;
      /** undefined: the phone does not say, configuration decides (PN-APNS-05) */
      readonly environment: 'production' | 'sandbox' | undefined;
      /** unescaped pn-param; begins with a dot when the dialect has no APNs team; undefined for webpush */
      readonly param: string | undefined;
      readonly tokens: readonly AskedToken[];
      /** +sip.pnsreg is there (RFC 8599 4.1.4) */
      readonly wakesItself: boolean;
      /** not RFC 8599: gets pushes but no Feature-Caps (DIA-05) */
      readonly legacy: boolean;
    }
  /** asks for pushes but lacks what the provider needs: an ordinary registration (row 5); `why` never quotes the phone */
  | { readonly is: 'incomplete'; readonly provider: string; readonly providerAsSent: string; readonly why: string }
  /** outside of any reading: 400 */
  | { readonly is: 'malformed'; readonly why: string };

/**
 * Dialects beside RFC 8599: pn-* as Contact header parameters (D10, DIA-07); app-id, pn-type, pn-tok, pn-uri (D7, D8, D14); the
 * header fields X-MPUSH of Mizutech (D12) and X-Push of PortSIP.
 */
export const dialects = ['outside-brackets', 'legacy', 'x-mpush', 'x-push'] as const;
export type Dialect = (typeof dialects)[number];

/** Header fields of a REGISTER that hold tokens: for the registrar only. */
export const pushFields: readonly string[] = ['x-mpush', 'x-push', 'x-p-push', 'portsip-push'];

const none: PushAsk = { is: 'none' };

/** Reads what this Contact of a REGISTER asks for. RFC parameters win over legacy ones (DIA-09), those in the URI over those outside. */
export function readPush(contact: Contact, headers: Headers, understood: readonly Dialect[] = dialects): PushAsk {
  if (contact.uri === undefined) return none;
  const wakesItself = findParam(contact.params, '+sip.pnsreg') !== undefined;
  const inUri = contact.uri.params;
  const places = understood.includes('outside-brackets') ? [inUri, contact.params] : [inUri];
  for (const params of places) {
    if (findParam(params, 'pn-provider') !== undefined) return readRfc(params, wakesItself);
  }
  if (understood.includes('legacy')) {
    for (const params of places) {
      const ask = readLegacy(params, wakesItself);
      if (ask !== undefined) return ask;
    }
  }
  const mpush = understood.includes('x-mpush') ? headers.get('X-MPUSH') : undefined;
  const portsip = understood.includes('x-push') ? portsipField(headers) : undefined;
  return (
    (mpush === undefined ? undefined : readMpush(mpush, wakesItself)) ??
    (portsip === undefined ? undefined : readPortsip(portsip, wakesItself)) ??
    none
  );
}

/** RFC 8599 8.7, with the aliases and Linphone's lists. */
function readRfc(params: readonly UriParam[], wakesItself: boolean): PushAsk {
  for (const name of ['pn-provider', 'pn-param', 'pn-prid', 'pn-purr']) {
    if (params.filter((param) => param.name.toLowerCase() === name).length > 1)
      return { is: 'malformed', why: `${name} more than once` };
  }
  const providerAsSent = valueOf(params, 'pn-provider') ?? '';
  const prid = valueOf(params, 'pn-prid');
  const { provider, environment } = canonicalProvider(providerAsSent);
  if (prid === undefined) return { is: 'query', provider: provider === '' ? undefined : provider, providerAsSent };
  // a token for nobody in particular: the phone can only learn which types there are
  if (provider === '') return { is: 'query', provider: undefined, providerAsSent };
  const param = valueOf(params, 'pn-param');
  const found = readTokens(provider, param, prid);
  if (typeof found === 'string') return { is: 'incomplete', provider, providerAsSent, why: found };
  return {
    is: 'push',
    provider,
    providerAsSent,
    environment,
    param: provider === 'webpush' || provider === 'unifiedpush' ? undefined : param,
    tokens: found,
    wakesItself,
    legacy: false,
  };
}

function canonicalProvider(asSent: string): { provider: string; environment: 'sandbox' | undefined } {
  const lower = asSent.toLowerCase();
  if (lower === 'apns.dev') return { provider: 'apns', environment: 'sandbox' };
  return { provider: aliases.get(lower) ?? lower, environment: undefined };
}

const aliases = new Map([
  ['apple', 'apns'],
  ['firebase', 'fcm'],
  ['android', 'fcm'],
  ['google', 'fcm'],
]);

/** The tokens, or why they cannot be used. */
function readTokens(provider: string, param: string | undefined, prid: string): readonly AskedToken[] | string {
  switch (provider) {
    case 'apns':
      return readApnsTokens(param, prid);
    case 'fcm':
      return param === undefined ? 'pn-param missing' : [{ kind: 'fcm', token: prid }];
    case 'webpush':
    case 'unifiedpush':
      return /^https:\/\/[^/?#\s@]+(?:[/?#][^\s]*)?$/i.test(prid)
        ? [{ kind: 'webpush', token: prid }]
        : 'pn-prid is no https URL';
    default:
      return [{ kind: 'webhook', token: prid }];
  }
}

/** `token`, `token:voip` or a list of them at `&`; one for each service of pn-param (DIA-03). */
function readApnsTokens(param: string | undefined, prid: string): readonly AskedToken[] | string {
  if (param === undefined) return 'pn-param missing';
  const app = apnsApp(param);
  if (app === undefined) return 'pn-param is not team.bundle.service';
  if (app.services.length === 0) return 'pn-param names no service';
  const parts = prid.split('&');
  if (parts.length !== app.services.length) return 'as many tokens as services are needed';
  const tokens: AskedToken[] = [];
  for (const part of parts) {
    const colon = part.indexOf(':');
    const token = colon < 0 ? part : part.slice(0, colon);
    const service =
      colon < 0
        ? parts.length === 1
          ? app.services[0]
          : undefined
        : app.services.find((name) => name === part.slice(colon + 1).toLowerCase());
    if (service === undefined) return 'a token does not belong to a service';
    if (!/^[0-9A-Fa-f]{1,200}$/.test(token)) return 'the token is not hexadecimal';
    const kind = service === 'voip' ? 'voip' : 'alert';
    if (tokens.some((other) => other.kind === kind)) return 'two tokens for one service';
    tokens.push({ kind, token });
  }
  return tokens;
}

export type ApnsService = 'voip' | 'remote';

export interface ApnsApp {
  /** undefined: the dialect has none (pn-param as we made it begins with a dot) */
  readonly team: string | undefined;
  readonly bundle: string;
  /** empty when pn-param ends in a bare dot: the app has no token yet */
  readonly services: readonly ApnsService[];
}

/** Takes an APNs pn-param apart: the first dot ends the team, the last one starts the services (PN-APNS-02, DIA-02). */
export function apnsApp(param: string): ApnsApp | undefined {
  const first = param.indexOf('.');
  if (first < 0) return undefined;
  const team = first === 0 ? undefined : param.slice(0, first);
  const rest = param.slice(first + 1);
  const last = rest.lastIndexOf('.');
  const tail = rest
    .slice(last + 1)
    .toLowerCase()
    .split('&');
  const services = tail.filter((name) => name === 'voip' || name === 'remote');
  const app: ApnsApp =
    last >= 0 && rest.endsWith('.')
      ? { team, bundle: rest.slice(0, -1), services: [] }
      : last >= 0 && services.length === tail.length
        ? { team, bundle: rest.slice(0, last), services }
        : { team, bundle: rest, services: ['remote'] };
  return /^[A-Za-z0-9._-]+$/.test(app.bundle) && (team === undefined || /^[A-Za-z0-9]+$/.test(team)) ? app : undefined;
}

/** apns-topic for a token of this kind: the bundle, with `.voip` for VoIP (PN-APNS-03); undefined when pn-param is no APNs app. */
export function topicOf(param: string, kind: 'voip' | 'alert'): string | undefined {
  const app = apnsApp(param);
  if (app === undefined) return undefined;
  return kind === 'voip' ? `${app.bundle}.voip` : app.bundle;
}

/** app-id, pn-type and pn-tok of old Linphones (D7, D8), pn-type and pn-uri of the draft (D14); undefined when not there. */
function readLegacy(params: readonly UriParam[], wakesItself: boolean): PushAsk | undefined {
  const type = valueOf(params, 'pn-type');
  const token = valueOf(params, 'pn-tok');
  const uri = valueOf(params, 'pn-uri');
  if (type === undefined || (token === undefined && uri === undefined)) return undefined;
  const { provider } = canonicalProvider(type);
  const prid = token ?? unquote(uri as string);
  const appId = valueOf(params, 'app-id');
  if (appId === undefined && (token !== undefined || provider === 'apns' || provider === 'fcm')) {
    return { is: 'incomplete', provider, providerAsSent: type, why: 'app-id missing' };
  }
  if (prid === '') return { is: 'incomplete', provider, providerAsSent: type, why: 'empty token' };
  let param = appId;
  let environment: 'production' | 'sandbox' | undefined;
  if (provider === 'apns') {
    environment = appId?.endsWith('.dev') === true ? 'sandbox' : 'production';
    param = `.${(appId as string).replace(/\.(?:dev|prod)$/, '')}`;
  }
  const found = readTokens(provider, param, prid);
  if (typeof found === 'string') return { is: 'incomplete', provider, providerAsSent: type, why: found };
  return { is: 'push', provider, providerAsSent: type, environment, param, tokens: found, wakesItself, legacy: true };
}

/** `i:<bundle>:<token>` of Mizutech (D12), `a:<package>:<token>` on Android: only the first two colons part it (DIA-08). */
function readMpush(value: string, wakesItself: boolean): PushAsk | undefined {
  const found = /^\s*([ia]):([^:]+):(.+?)\s*$/i.exec(value);
  if (found === null) return undefined;
  const [, system, app, prid] = found as unknown as [string, string, string, string];
  const ios = system.toLowerCase() === 'i';
  return ofHeader(ios ? 'apns' : 'fcm', ios ? `.${app.trim()}` : app.trim(), prid, wakesItself);
}

/** The name has changed over the years. */
function portsipField(headers: Headers): string | undefined {
  return headers.get('X-Push') ?? headers.get('X-P-Push') ?? headers.get('PortSIP-Push');
}

/**
 * `device-os=ios;device-uid=<token>;allow-call-push=true;app-id=<bundle>` of PortSIP. On iOS the token is that for VoIP, or two of
 * them as `<voip>|<remote>`, of which either may be missing. A phone that wants no pushes for calls asks for none.
 */
function readPortsip(value: string, wakesItself: boolean): PushAsk | undefined {
  const params = value.split(';').map((part): UriParam => {
    const equals = part.indexOf('=');
    return equals < 0
      ? { name: part.trim(), value: undefined }
      : { name: part.slice(0, equals).trim(), value: part.slice(equals + 1).trim() };
  });
  const token = findParam(params, 'device-uid')?.value;
  const app = findParam(params, 'app-id')?.value;
  if (token === undefined || findParam(params, 'allow-call-push')?.value?.toLowerCase() === 'false') return undefined;
  switch (findParam(params, 'device-os')?.value?.toLowerCase()) {
    case 'android':
      return ofHeader('fcm', app, token, wakesItself);
    case 'ios': {
      const [voip = '', remote = ''] = token.split('|');
      const services = [voip === '' ? [] : ['voip'], remote === '' ? [] : ['remote']].flat();
      const tokens = [voip === '' ? [] : [`${voip}:voip`], remote === '' ? [] : [`${remote}:remote`]].flat();
      return ofHeader('apns', app === undefined ? app : `.${app}.${services.join('&')}`, tokens.join('&'), wakesItself);
    }
    default:
      return undefined;
  }
}

function ofHeader(provider: 'apns' | 'fcm', param: string | undefined, prid: string, wakesItself: boolean): PushAsk {
  const tokens = prid === '' ? 'empty token' : readTokens(provider, param === '' ? undefined : param, prid);
  if (typeof tokens === 'string') return { is: 'incomplete', provider, providerAsSent: provider, why: tokens };
  return {
    is: 'push',
    provider,
    providerAsSent: provider,
    environment: undefined,
    param,
    tokens,
    wakesItself,
    legacy: true,
  };
}

/** Unescaped exactly once (PN-PARAM-07), quotes of header parameters taken off; undefined when absent or empty (PN-PARAM-03). */
function valueOf(params: readonly UriParam[], name: string): string | undefined {
  const value = findParam(params, name)?.value;
  if (value === undefined) return undefined;
  const text = unescape(unquote(value));
  return text === '' ? undefined : text;
}

/** Cheap test that spares most texts the work. */
const suspicious = /pn-|app-id|fcm-token/i;

/** pn-* and the legacy names, but never pn-purr, which is made for others to see (DIA-11, PN-SEC-02). */
function isSecret(name: string): boolean {
  const lower = name.trim().toLowerCase();
  return lower === 'app-id' || lower === 'fcm-token' || (lower.startsWith('pn-') && lower !== 'pn-purr');
}

/** The URI without any push parameter but pn-purr; every other octet stays as it is. */
export function stripPush(uriText: string): string {
  if (!suspicious.test(uriText)) return uriText;
  const start = uriText.indexOf(';', uriText.indexOf('@') + 1);
  if (start < 0) return uriText;
  const question = uriText.indexOf('?', start);
  const end = question < 0 ? uriText.length : question;
  return uriText.slice(0, start) + stripParams(uriText.slice(start, end)) + uriText.slice(end);
}

/** `;a=1;b` without the secret ones. */
function stripParams(text: string): string {
  return splitParams(text)
    .filter((part, at) => at === 0 || !isSecret(nameOf(part)))
    .join(';');
}

/** Quotes are no URI characters, but some phones use them: where they come in pairs they hide the semicolons between them. */
function splitParams(text: string): string[] {
  const between = text.split('"');
  if (between.length === 1 || between.length % 2 === 0) return text.split(';');
  const parts: string[] = [''];
  for (const [at, piece] of between.entries()) {
    const [first, ...rest] = at % 2 === 0 ? piece.split(';') : [`"${piece}"`];
    parts[parts.length - 1] += first ?? '';
    parts.push(...rest);
  }
  return parts;
}

function nameOf(param: string): string {
  const equals = param.indexOf('=');
  return equals < 0 ? param : param.slice(0, equals);
}

/** A Contact, Refer-To, Record-Route or similar value (or list of them) without push parameters, in the URI and after it. */
export function stripPushParams(headerValue: string): string {
  if (!suspicious.test(headerValue)) return headerValue;
  return splitAtCommas(headerValue).map(stripOne).join(', ');
}

function stripOne(value: string): string {
  if (!suspicious.test(value)) return value;
  const addr = parseNameAddr(value);
  // what cannot be read must not leak either
  if (addr === undefined) return value.replace(/;\s*(?:pn-(?!purr\b)[^;=>,\s]*|app-id|fcm-token)(?:=[^;>,\s]*)?/gi, '');
  return printNameAddr({
    ...addr,
    uri: stripPush(addr.uri),
    params: addr.params.filter((param) => !isSecret(param.name)),
  });
}
