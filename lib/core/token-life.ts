/**
 * The life of a push token: what an answer of its service, or the silence of its phone, changes in the stored binding
 * (push-providers 3.7, 6.1, 8.6). Pure: times come in, a new set comes out; whoever calls it swaps the set. A REGISTER that came after
 * the push always wins, because it is the newer word about the token.
 */
import { createHmac } from 'node:crypto';
import type { Binding, PushRecord, PushToken, TokenLife } from './binding.ts';

/** So many occasions in a row at which the service did not know a token prove it dead. */
export const suspectsToBelieve = 3;
const dayMs = 86_400_000;
/** FCM looks at so many days of high-priority messages (push-providers 4.1). */
export const wasteDays = 7;

/** What is learned about one token of one binding. */
export type TokenNews =
  /** `environment`: where it was found, when that is not where it was sought */
  | { readonly is: 'accepted'; readonly environment?: 'production' | 'sandbox' }
  /** `since`: the service's own time of death, ms */
  | { readonly is: 'dead'; readonly since?: number }
  /** `occasion`: the call or refresh; the same one twice counts once */
  | { readonly is: 'suspect'; readonly occasion: string }
  /** accepted, and its phone did not come while the call waited; `high`: it was sent with high priority */
  | { readonly is: 'unanswered'; readonly high: boolean };

/** Numbers at which the operator is told. 0: never. */
export interface TokenBudget {
  /** VoIP pushes in a row without a REGISTER */
  readonly voip: number;
  /** high-priority pushes of FCM within seven days without a REGISTER */
  readonly highPriority: number;
}

export type TokenEvent = 'dead' | 'suspect' | 'cleared' | 'environment' | 'voip-budget' | 'high-priority-budget';

export interface TokenChange {
  /** the same array when nothing has changed */
  readonly bindings: readonly Binding[];
  readonly events: readonly TokenEvent[];
}

/** `token`: as it was pushed; `pushedAt`: when, ms. */
export function hearOfToken(
  bindings: readonly Binding[],
  id: string,
  token: string,
  news: TokenNews,
  pushedAt: number,
  budget: TokenBudget,
): TokenChange {
  const nothing: TokenChange = { bindings, events: [] };
  const binding = bindings.find((one) => one.id === id);
  const push = binding?.push;
  const kind = push?.tokens.find((one) => one.token === token)?.kind;
  if (push === undefined || kind === undefined || push.deadSince !== undefined) return nothing;
  const life = push.life?.[kind] ?? {};
  switch (news.is) {
    case 'dead':
      return died(bindings, id, token, news.since, pushedAt);
    case 'accepted': {
      const found = news.environment !== undefined && news.environment !== life.environment;
      const cleared = life.suspects !== undefined;
      if (!found && !cleared) return nothing;
      const { suspects: _, ...trusted } = life;
      const known = news.environment === undefined ? trusted : { ...trusted, environment: news.environment };
      const events: TokenEvent[] = [
        ...(cleared ? ['cleared' as const] : []),
        ...(found ? ['environment' as const] : []),
      ];
      return { bindings: withLife(bindings, id, push, kind, known), events };
    }
    case 'suspect': {
      if (hasRegisteredSince(binding, pushedAt)) return nothing;
      const before = life.suspects ?? [];
      const suspects = before.includes(news.occasion) ? before : [...before, news.occasion];
      if (suspects.length >= suspectsToBelieve) return died(bindings, id, token, undefined, pushedAt);
      if (suspects === before) return nothing;
      return { bindings: withLife(bindings, id, push, kind, { ...life, suspects }), events: ['suspect'] };
    }
    case 'unanswered':
      return hasRegisteredSince(binding, pushedAt)
        ? nothing
        : unanswered(bindings, id, push, kind, life, news.high, pushedAt, budget);
    default:
      return news satisfies never;
  }
}

/**
 * The push service said that this token is gone. Nothing changes (the same array comes back) when the binding has another token by
 * now or has registered since. `since`: the service's own time of death, ms; `pushedAt`: when the push was sent, ms.
 */
export function markTokenDead(
  bindings: readonly Binding[],
  id: string,
  token: string,
  since: number | undefined,
  pushedAt: number,
): readonly Binding[] {
  const diedAt = since ?? pushedAt;
  const at = bindings.findIndex((binding) => binding.id === id);
  const binding = bindings[at];
  if (binding?.push === undefined || binding.push.deadSince !== undefined || binding.registeredAt >= diedAt)
    return bindings;
  const left = binding.push.tokens.filter((other) => other.token !== token);
  if (left.length === binding.push.tokens.length) return bindings;
  // the last token stays for recognition: a REGISTER that brings it again is still this device
  const push = left.length > 0 ? { ...binding.push, tokens: left } : { ...binding.push, deadSince: diedAt };
  return bindings.with(at, { ...binding, push });
}

function hasRegisteredSince(binding: Binding | undefined, pushedAt: number): boolean {
  return binding === undefined || binding.registeredAt >= pushedAt;
}

function died(
  bindings: readonly Binding[],
  id: string,
  token: string,
  since: number | undefined,
  pushedAt: number,
): TokenChange {
  const marked = markTokenDead(bindings, id, token, since, pushedAt);
  return { bindings: marked, events: marked === bindings ? [] : ['dead'] };
}

function unanswered(
  bindings: readonly Binding[],
  id: string,
  push: PushRecord,
  kind: PushToken['kind'],
  life: TokenLife,
  high: boolean,
  pushedAt: number,
  budget: TokenBudget,
): TokenChange {
  if (kind === 'voip') {
    const count = (life.unanswered ?? 0) + 1;
    const next = { ...life, unanswered: count, unansweredAt: Math.max(life.unansweredAt ?? 0, pushedAt) };
    const spent = budget.voip > 0 && count === budget.voip;
    return { bindings: withLife(bindings, id, push, kind, next), events: spent ? ['voip-budget'] : [] };
  }
  if (kind !== 'fcm' || !high) return { bindings, events: [] };
  const today = Math.floor(pushedAt / dayMs);
  const days = (life.wasted ?? []).filter(([day]) => day > today - wasteDays);
  const count = days.find(([day]) => day === today)?.[1] ?? 0;
  const wasted = [...days.filter(([day]) => day !== today), [today, count + 1] as const];
  const spent = budget.highPriority > 0 && wastedWithin({ wasted }, pushedAt) === budget.highPriority;
  return {
    bindings: withLife(bindings, id, push, kind, { ...life, wasted }),
    events: spent ? ['high-priority-budget'] : [],
  };
}

/** High-priority pushes of the last seven days that led to nothing. */
export function wastedWithin(life: TokenLife | undefined, now: number): number {
  const today = Math.floor(now / dayMs);
  let sum = 0;
  for (const [day, count] of life?.wasted ?? []) if (day > today - wasteDays) sum += count;
  return sum;
}

function withLife(
  bindings: readonly Binding[],
  id: string,
  push: PushRecord,
  kind: PushToken['kind'],
  life: TokenLife,
): readonly Binding[] {
  const at = bindings.findIndex((one) => one.id === id);
  const binding = bindings[at];
  return binding === undefined
    ? bindings
    : bindings.with(at, { ...binding, push: { ...push, life: { ...push.life, [kind]: life } } });
}

/**
 * What a REGISTER leaves of what was known about the tokens it brings again: where they belong and what FCM has counted. That the phone
 * did not come, and that its token was suspect, is over: here it is.
 */
export function afterRegister(before: PushRecord | undefined, now: PushRecord): PushRecord {
  if (before?.life === undefined || before.provider !== now.provider) return now;
  const life: { [kind in PushToken['kind']]?: TokenLife } = {};
  for (const { kind, token } of now.tokens) {
    const known = before.life[kind];
    if (known === undefined || !before.tokens.some((one) => one.kind === kind && one.token === token)) continue;
    const { environment, wasted } = known;
    // the phone itself says otherwise now
    const kept = before.environment === now.environment ? environment : undefined;
    if (kept === undefined && wasted === undefined) continue;
    life[kind] = {
      ...(kept === undefined ? {} : { environment: kept }),
      ...(wasted === undefined ? {} : { wasted }),
    };
  }
  return Object.keys(life).length === 0 ? now : { ...now, life };
}

/**
 * Takes a token from whoever registered it before `registeredAt`, ms; the same array when nobody did. A phone with several accounts
 * keeps it under each: it says so by its instance.
 */
export function takeToken(
  bindings: readonly Binding[],
  provider: string,
  token: string,
  registeredAt: number,
  instanceId?: string,
): readonly Binding[] {
  let left = bindings;
  for (const { id, push, registeredAt: before, instanceId: other } of bindings)
    if (push?.provider === provider && before <= registeredAt && (other === undefined || other !== instanceId))
      left = markTokenDead(left, id, token, registeredAt + 1, registeredAt + 1);
  return left;
}

/** A claim is renewed once in so many lifetimes of a registration, and lasts twice as long: a write for each refresh would be dear. */
const lifetimesOfClaim = 4;

/** Which tokens of a registered binding its user has to claim now, and until when, ms; `before`: the same device as it was stored. */
export function claimsDue(
  before: Binding | undefined,
  { push, registeredAt, expiresAt }: Binding,
): { readonly tokens: readonly string[]; readonly until: number } {
  const window = Math.max(1, (expiresAt - registeredAt) * lifetimesOfClaim);
  const until = (Math.floor(registeredAt / window) + 2) * window;
  const sameWindow =
    before !== undefined &&
    before.expiresAt - before.registeredAt === expiresAt - registeredAt &&
    Math.floor(before.registeredAt / window) === Math.floor(registeredAt / window) &&
    before.push?.provider === push?.provider &&
    before.push?.deadSince === undefined;
  const owned = new Set(sameWindow ? before.push?.tokens.map(({ token }) => token) : []);
  return { tokens: (push?.tokens ?? []).flatMap(({ token }) => (owned.has(token) ? [] : token)), until };
}

/** The environment to push a token in: where it was found, else what the phone said. */
export function environmentOf(push: PushRecord, kind: PushToken['kind']): PushRecord['environment'] {
  return push.life?.[kind]?.environment ?? push.environment;
}

/** The name of a token for others to know it by: nobody without the key can tell the token from it, or try tokens against it. */
export function tokenKey(key: Buffer, provider: string, token: string): string {
  return createHmac('sha256', key).update(`${provider} ${token}`).digest('base64url').slice(0, 32);
}
