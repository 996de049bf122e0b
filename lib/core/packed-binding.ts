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

// JSON leaves out what is undefined, so the packed forms below may say it. Fields are copied one by one: V8 spreads an object with
// fields left out ten times slower, and a REGISTER packs and unpacks its set.

/** Of a binding, its flow, its push record and its tokens: the fields that have a short name. */
const named = {
  binding: new Set<string>([
    ...['id', 'aor', 'contact', 'target', 'instanceId', 'regId', 'q', 'callId', 'cseq', 'flow', 'path', 'push'],
    ...['registeredAt', 'expiresAt', 'upstreamExpiresAt', 'userAgent'],
  ]),
  flow: new Set<string>(['transport', 'address', 'port', 'engine']),
  push: new Set<string>([
    ...['provider', 'providerAsSent', 'environment', 'param', 'tokens', 'app', 'wakesItself', 'deadSince'],
  ]),
  token: new Set<string>(['kind', 'token']),
};

type Fields = Record<string, unknown>;

/** The fields without a short name go as they are. */
function addOthers<T extends object>(packed: T, whole: object, known: ReadonlySet<string>): T {
  for (const name in whole) if (!known.has(name)) (packed as Fields)[name] = (whole as Fields)[name];
  return packed;
}

/** Short names are letters, so a longer one is no short name. */
function takeOthers<T extends object>(whole: T, packed: object): T {
  for (const name in packed) if (name.length > 1) (whole as Fields)[name] = (packed as Fields)[name];
  return whole;
}

/** For the set of `setAor`. */
export function packBinding(binding: Binding, setAor: Aor): Packed {
  const { aor, target, q, flow, path, push, registeredAt, upstreamExpiresAt } = binding;
  const packed = {
    i: binding.id,
    a: aor === setAor ? undefined : aor,
    c: shortContact(binding.contact, binding),
    t: target === usualTarget(aor, flow) ? undefined : target,
    n: binding.instanceId,
    r: binding.regId,
    q: q === 1000 ? undefined : q,
    l: binding.callId,
    s: binding.cseq,
    f: addOthers({ t: flow.transport, a: flow.address, p: flow.port, e: flow.engine }, flow, named.flow),
    p: path.length === 0 ? undefined : path,
    u: push === undefined ? undefined : packPush(push),
    g: registeredAt,
    e: binding.expiresAt - registeredAt,
    x: upstreamExpiresAt === undefined ? undefined : upstreamExpiresAt - registeredAt,
    w: binding.userAgent,
  };
  return addOthers(packed, binding, named.binding) as Packed;
}

function packPush(push: PushRecord): PackedPush {
  const { provider, providerAsSent } = push;
  const packed = {
    p: provider,
    s: providerAsSent === provider ? undefined : providerAsSent,
    e: push.environment,
    m: push.param,
    t: push.tokens.map((token) => addOthers(packToken(token), token, named.token)),
    a: push.app,
    w: push.wakesItself ? true : undefined,
    d: push.deadSince,
  };
  return addOthers(packed, push, named.push) as PackedPush;
}

/** Half as many octets for what is written in hexadecimal. */
function packToken({ kind, token }: PushToken): PackedToken {
  return token.length >= 32 && token.length % 2 === 0 && /^[0-9a-f]+$/.test(token)
    ? { k: kind, h: Buffer.from(token, 'hex').toString('base64url') }
    : { k: kind, t: token };
}

function hexOf(packed: string | undefined): string {
  return Buffer.from(packed ?? '', 'base64url').toString('hex');
}

function usualTarget(aor: Aor, { transport, address, port }: Pick<Flow, 'transport' | 'address' | 'port'>): string {
  return `sip:${aor.slice(0, aor.lastIndexOf('@'))}@${hostOf(address)}:${port};transport=${transport}`;
}

/** Throws for what was never packed. */
export function unpackBinding(packed: Packed, setAor: Aor): Binding {
  const { n, r, f, u, g, x, w } = packed;
  const aor = packed.a ?? setAor;
  const flow = takeOthers({ transport: f.t, address: f.a, port: f.p, engine: f.e }, f);
  const binding: { -readonly [field in keyof Binding]: Binding[field] } = {
    id: packed.i,
    aor,
    contact: packed.c,
    target: packed.t ?? usualTarget(aor, flow),
    q: packed.q ?? 1000,
    callId: packed.l,
    cseq: packed.s,
    flow,
    path: packed.p ?? [],
    registeredAt: g,
    expiresAt: g + packed.e,
  };
  if (n !== undefined) binding.instanceId = n;
  if (r !== undefined) binding.regId = r;
  if (u !== undefined) binding.push = unpackPush(u);
  if (x !== undefined) binding.upstreamExpiresAt = g + x;
  if (w !== undefined) binding.userAgent = w;
  binding.contact = fullContact(packed.c, binding);
  return takeOthers(binding, packed);
}

function unpackPush(packed: PackedPush): PushRecord {
  const push: { -readonly [field in keyof PushRecord]: PushRecord[field] } = {
    provider: packed.p,
    providerAsSent: packed.s ?? packed.p,
    environment: packed.e,
    param: packed.m,
    tokens: packed.t.map((token) => takeOthers({ kind: token.k, token: token.t ?? hexOf(token.h) }, token)),
    app: packed.a,
    wakesItself: packed.w ?? false,
  };
  if (packed.d !== undefined) push.deadSince = packed.d;
  return takeOthers(push, packed);
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

const anyMark = /[\u007f-\u0083]/;

function shortContact(contact: string, binding: Binding): string {
  if (anyMark.test(contact)) return `\u0000${contact}`;
  let short = contact;
  repeated(binding).forEach((text, i) => {
    if (text.length > 4 && !anyMark.test(text)) short = replaceOnce(short, text, marks[i] ?? '');
  });
  return short.startsWith('\u0000') ? `\u0000${contact}` : short;
}

function fullContact(short: string, binding: Repeated): string {
  if (short.startsWith('\u0000')) return short.slice(1);
  let full = short;
  if (anyMark.test(short))
    repeated(binding).forEach((text, i) => {
      full = replaceOnce(full, marks[i] ?? '', text);
    });
  return full;
}

/** String.replace would read `$&` in the replacement. */
function replaceOnce(text: string, part: string, replacement: string): string {
  const at = text.indexOf(part);
  return at < 0 ? text : text.slice(0, at) + replacement + text.slice(at + part.length);
}
