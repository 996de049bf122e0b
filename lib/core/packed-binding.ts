/**
 * How bindings lie in a store, as JSON: short names, and a contact refers to what its binding says anyway. 1,205 octets of plain JSON
 * with two tokens of APNs become about 600, and with short-text 340. Fields this file does not know are kept under their own names.
 */
import { type Flow, hostOf } from '../sip/flow.ts';
import type { Aor, Binding, PushRecord, PushToken } from './binding.ts';

/** One binding. */
export interface Packed {
  readonly i: string;
  /** left out when it is the AOR the set is stored under */
  readonly a?: Aor;
  readonly c: string;
  /** left out when it is the usual one: user of the AOR, address and transport of the flow */
  readonly t?: string;
  readonly n?: string;
  readonly r?: number;
  /** left out when 1000 */
  readonly q?: number;
  readonly l: string;
  readonly s: number;
  readonly f: PackedFlow;
  /** left out when empty */
  readonly p?: readonly string[];
  readonly u?: PackedPush;
  readonly g: number;
  /** ms after `g`, like `x` */
  readonly e: number;
  readonly x?: number;
  readonly w?: string;
}

interface PackedFlow {
  readonly t: Flow['transport'];
  readonly a: string;
  readonly p: number;
  readonly e: string;
}

interface PackedPush {
  readonly p: string;
  /** left out when it is the provider */
  readonly s?: string;
  readonly e?: PushRecord['environment'];
  readonly m?: string;
  readonly t: readonly PackedToken[];
  readonly a: string;
  /** left out when false */
  readonly w?: true;
  readonly d?: number;
}

interface PackedToken {
  readonly k: PushToken['kind'];
  /** the token, unless it is told by `h` */
  readonly t?: string;
  /** a token of lower-case hexadecimal digits, as those of APNs: its octets in base64url */
  readonly h?: string;
}

// JSON leaves out what is undefined, so the packed forms below may say it.

/** For the set of `setAor`. */
export function packBinding(binding: Binding, setAor: Aor): Packed {
  const { id, aor, contact, target, instanceId, regId, q, callId, cseq, flow, path, push, ...others } = binding;
  const { registeredAt, expiresAt, upstreamExpiresAt, userAgent, ...unknown } = others;
  const { transport, address, port, engine, ...unknownOfFlow } = flow;
  return {
    ...unknown,
    i: id,
    a: aor === setAor ? undefined : aor,
    c: shortContact(contact, binding),
    t: target === usualTarget(aor, flow) ? undefined : target,
    n: instanceId,
    r: regId,
    q: q === 1000 ? undefined : q,
    l: callId,
    s: cseq,
    f: { ...unknownOfFlow, t: transport, a: address, p: port, e: engine },
    p: path.length === 0 ? undefined : path,
    u: push === undefined ? undefined : packPush(push),
    g: registeredAt,
    e: expiresAt - registeredAt,
    x: upstreamExpiresAt === undefined ? undefined : upstreamExpiresAt - registeredAt,
    w: userAgent,
  } as Packed;
}

function packPush(push: PushRecord): PackedPush {
  const { provider, providerAsSent, environment, param, tokens, app, wakesItself, deadSince, ...unknown } = push;
  return {
    ...unknown,
    p: provider,
    s: providerAsSent === provider ? undefined : providerAsSent,
    e: environment,
    m: param,
    t: tokens.map(({ kind, token, ...rest }) => ({ ...rest, k: kind, ...packToken(token) })),
    a: app,
    w: wakesItself ? true : undefined,
    d: deadSince,
  } as PackedPush;
}

/** Half as many octets for what is written in hexadecimal. */
function packToken(token: string): Omit<PackedToken, 'k'> {
  return token.length >= 32 && token.length % 2 === 0 && /^[0-9a-f]+$/.test(token)
    ? { h: Buffer.from(token, 'hex').toString('base64url') }
    : { t: token };
}

function hexOf(packed: string | undefined): string {
  return Buffer.from(packed ?? '', 'base64url').toString('hex');
}

function usualTarget(aor: Aor, { transport, address, port }: Pick<Flow, 'transport' | 'address' | 'port'>): string {
  return `sip:${aor.slice(0, aor.lastIndexOf('@'))}@${hostOf(address)}:${port};transport=${transport}`;
}

/** Throws for what was never packed. */
export function unpackBinding(packed: Packed, setAor: Aor): Binding {
  const { i, a, c, t, n, r, q, l, s, f, p, u, g, e, x, w, ...unknown } = packed;
  const { t: transport, a: address, p: port, e: engine, ...unknownOfFlow } = f;
  const binding: { -readonly [field in keyof Binding]: Binding[field] } = {
    ...unknown,
    id: i,
    aor: a ?? setAor,
    contact: c,
    target: t ?? usualTarget(a ?? setAor, { transport, address, port }),
    q: q ?? 1000,
    callId: l,
    cseq: s,
    flow: { ...unknownOfFlow, transport, address, port, engine },
    path: p ?? [],
    registeredAt: g,
    expiresAt: g + e,
  };
  if (n !== undefined) binding.instanceId = n;
  if (r !== undefined) binding.regId = r;
  if (u !== undefined) binding.push = unpackPush(u);
  if (x !== undefined) binding.upstreamExpiresAt = g + x;
  if (w !== undefined) binding.userAgent = w;
  binding.contact = fullContact(c, binding);
  return binding;
}

function unpackPush(packed: PackedPush): PushRecord {
  const { p, s, e, m, t, a, w, d, ...unknown } = packed;
  return {
    ...unknown,
    provider: p,
    providerAsSent: s ?? p,
    environment: e,
    param: m,
    tokens: t.map(({ k, t: token, h, ...rest }) => ({ ...rest, kind: k, token: token ?? hexOf(h) })),
    app: a,
    wakesItself: w ?? false,
    ...(d === undefined ? {} : { deadSince: d }),
  };
}

/**
 * What a contact repeats of its binding, each under a mark that no parsed contact contains: control characters, of those that
 * JSON does not blow up.
 */
const marks = ['\u007f', '\u0080', '\u0081', '\u0082', '\u0083'] as const;

type Repeated = Pick<Binding, 'target' | 'instanceId' | 'push'>;

function repeated({ target, instanceId, push }: Repeated): readonly string[] {
  return [target, instanceId ?? '', push?.tokens[0]?.token ?? '', push?.param ?? '', push?.tokens[1]?.token ?? ''];
}

function shortContact(contact: string, binding: Binding): string {
  if (marks.some((mark) => contact.includes(mark))) return `\u0000${contact}`;
  let short = contact;
  for (const [i, text] of repeated(binding).entries()) {
    if (text.length > 4 && !marks.some((mark) => text.includes(mark))) short = replaceOnce(short, text, marks[i] ?? '');
  }
  return short.startsWith('\u0000') ? `\u0000${contact}` : short;
}

function fullContact(short: string, binding: Repeated): string {
  if (short.startsWith('\u0000')) return short.slice(1);
  let full = short;
  for (const [i, text] of repeated(binding).entries()) full = replaceOnce(full, marks[i] ?? '', text);
  return full;
}

/** String.replace would read `$&` in the replacement. */
function replaceOnce(text: string, part: string, replacement: string): string {
  const at = text.indexOf(part);
  return at < 0 ? text : text.slice(0, at) + replacement + text.slice(at + part.length);
}
