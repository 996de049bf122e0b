/**
 * How a set of bindings is written in lmdb: JSON with short names, where a contact refers to what its binding says anyway.
 * 1,005 octets of plain JSON become about 600. Fields this file does not know are kept under their own names.
 */
import { createHash } from 'node:crypto';
import type { Aor, Binding, PushRecord, PushToken } from '../../core/binding.ts';
import type { Flow } from '../../sip/flow.ts';

/** What is stored under one key: when it may be forgotten, the bindings, and the AOR where the key does not tell it. */
type Stored = readonly [keepUntil: number, bindings: readonly Packed[], aor?: Aor];

interface Packed {
  readonly i: string;
  /** left out when it is the AOR the set is stored under */
  readonly a?: Aor;
  readonly c: string;
  readonly t: string;
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
  readonly t: string;
}

/**
 * AORs that may be keys as they are: printable, at most 390 octets (lmdb takes 1,978, but short keys keep the tree flat) and
 * without halves of surrogate pairs or control characters, which do not come back from lmdb's key encoding as they went in.
 */
const plain = /^[!-~\u00a0-\ud7ff\ue000-\uffff][ -~\u00a0-\ud7ff\ue000-\uffff]{0,129}$/;
/** No plain AOR starts with a space. */
const hashedPrefix = ' sha256:';

/** The key of an AOR: the AOR itself, or a hash of it when it is long or odd. */
export function keyOf(aor: Aor): string {
  return plain.test(aor) ? aor : hashedPrefix + createHash('sha256').update(aor, 'utf16le').digest('hex');
}

export function encode(aor: Aor, key: string, bindings: readonly Binding[], keepUntil: number): string {
  const until = Number.isFinite(keepUntil) ? Math.ceil(keepUntil) : Number.MAX_SAFE_INTEGER;
  const packed = bindings.map((binding) => pack(binding, aor));
  const stored: Stored = key === aor ? [until, packed] : [until, packed, aor];
  return JSON.stringify(stored);
}

/** The bindings of a stored text; none when it cannot be read: then the next accepted REGISTER writes it anew. */
export function decodeBindings(aor: Aor, text: string): readonly Binding[] {
  try {
    return parse(text)?.[1].map((packed) => unpack(packed, aor)) ?? [];
  } catch {
    return [];
  }
}

/** The AOR an entry belongs to; undefined when it cannot be told. */
export function decodeAor(key: string, text: string): Aor | undefined {
  return key.startsWith(hashedPrefix) ? parse(text)?.[2] : key;
}

/** When an entry may be forgotten (ms), read without parsing all of it; an unreadable entry may be forgotten at once. */
export function decodeKeepUntil(text: string): number {
  const until = Number.parseInt(text.slice(1, 18), 10);
  return Number.isNaN(until) ? 0 : until;
}

function parse(text: string): Stored | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && Array.isArray(value[1]) ? (value as unknown as Stored) : undefined;
  } catch {
    return undefined;
  }
}

// JSON leaves out what is undefined, so the packed forms below may say it.

function pack(binding: Binding, setAor: Aor): Packed {
  const { id, aor, contact, target, instanceId, regId, q, callId, cseq, flow, path, push, ...others } = binding;
  const { registeredAt, expiresAt, upstreamExpiresAt, userAgent, ...unknown } = others;
  const { transport, address, port, engine, ...unknownOfFlow } = flow;
  return {
    ...unknown,
    i: id,
    a: aor === setAor ? undefined : aor,
    c: shortContact(contact, binding),
    t: target,
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
    t: tokens.map(({ kind, token, ...rest }) => ({ ...rest, k: kind, t: token })),
    a: app,
    w: wakesItself ? true : undefined,
    d: deadSince,
  } as PackedPush;
}

function unpack(packed: Packed, setAor: Aor): Binding {
  const { i, a, c, t, n, r, q, l, s, f, p, u, g, e, x, w, ...unknown } = packed;
  const { t: transport, a: address, p: port, e: engine, ...unknownOfFlow } = f;
  const binding: { -readonly [field in keyof Binding]: Binding[field] } = {
    ...unknown,
    id: i,
    aor: a ?? setAor,
    contact: c,
    target: t,
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
    tokens: t.map(({ k, t: token, ...rest }) => ({ ...rest, kind: k, token })),
    app: a,
    wakesItself: w ?? false,
    ...(d === undefined ? {} : { deadSince: d }),
  };
}

/**
 * What a contact repeats of its binding, each under a mark that no parsed contact contains: control characters, of those that
 * JSON does not blow up.
 */
const marks = ['\u007f', '\u0080', '\u0081', '\u0082'] as const;

type Repeated = Pick<Binding, 'target' | 'instanceId' | 'push'>;

function repeated({ target, instanceId, push }: Repeated): readonly string[] {
  return [target, instanceId ?? '', push?.tokens[0]?.token ?? '', push?.param ?? ''];
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
