/**
 * When a sleeping phone is pushed so that its binding does not end (RFC 8599 5.5). Every time follows from the binding alone:
 * nothing is remembered about a push that was sent, and whoever asks later gets the next one.
 */
import type { Aor, Binding, PushRecord } from './binding.ts';

export interface RefreshPolicy {
  /** seconds before its end at which a binding is pushed for the first time, 120 or more (PN-EXP-02) */
  readonly leadSeconds: number;
}

/** A phone that wakes itself is pushed only when it is late (PN-EXP-03). */
const lateSeconds = 120;
/** Shorter before the end than this a push leads to nothing any more. */
const lastSeconds = 10;
/** Two pushes of one binding are so far apart, where it lives for five minutes or more. */
const apartSeconds = 30;
const shortestShare = 10;
/** Bindings that end together are pushed over this part of their lifetime, and over an hour at most (PN-EXP-06). */
const spreadShare = 10;
const longestSpreadSeconds = 3600;

/**
 * The next time to push this binding, ms since the epoch, not before `now`; undefined: never. First at the lead before its end,
 * then once more when half of what is left has gone: phones that stay silent must not keep others waiting (PN-EXP-06).
 */
export function nextRefresh(binding: Binding, now: number, policy: RefreshPolicy): number | undefined {
  if (!canBeRefreshed(binding)) return undefined;
  const end = endOf(binding);
  const first = firstRefresh(binding, end, policy);
  if (now < first) return first;
  const again = end - (end - first) / 2;
  return now < again && end - again >= lastSeconds * 1000 ? again : undefined;
}

/**
 * The next time after a push at `now`. Another node may have planned that push by a clock that is ahead of ours, where its time would
 * seem to be still to come: so not at once again, but this much later.
 */
export function nextAfterPush(binding: Binding, now: number, policy: RefreshPolicy): number | undefined {
  const apart = Math.min(apartSeconds * 1000, (endOf(binding) - binding.registeredAt) / shortestShare);
  return nextRefresh(binding, now + apart, policy);
}

/** Whether a refresh push is due at `now`: the first time has come and the end has not. */
export function isRefreshDue(binding: Binding, now: number, policy: RefreshPolicy): boolean {
  if (!canBeRefreshed(binding)) return false;
  const end = endOf(binding);
  return now >= firstRefresh(binding, end, policy) && now <= end - lastSeconds * 1000;
}

/**
 * A VoIP token is no way: iOS shows a call for each of its pushes (PN-EXP-08, AMB-12). Nor is a browser, which must show
 * something for each of them; an app of UnifiedPush need not.
 */
export function canBeRefreshed({
  push,
}: {
  readonly push?: Pick<PushRecord, 'provider' | 'tokens' | 'deadSince'>;
}): boolean {
  return (
    push !== undefined &&
    push.deadSince === undefined &&
    push.tokens.some(({ kind }) => kind !== 'voip' && (kind !== 'webpush' || push.provider === 'unifiedpush'))
  );
}

/**
 * Whether this binding is the one of its push resource that is pushed: one push wakes the whole app (PN-EXP-06, PN-UA-09). It is the
 * one that ends first, or it would end while another, which has time, speaks for it.
 */
export function speaksForItsResource(binding: Binding, bindings: readonly Binding[]): boolean {
  const own = resourceOf(binding);
  const end = endOf(binding);
  return !bindings.some(
    (other) =>
      (endOf(other) < end || (endOf(other) === end && other.id < binding.id)) &&
      canBeRefreshed(other) &&
      resourceOf(other) === own,
  );
}

function resourceOf({ push }: Binding): string {
  return JSON.stringify([push?.app, ...(push?.tokens.map(({ token }) => token).sort() ?? [])]);
}

/** Name of the task on the agenda. */
export function refreshTask(aor: Aor, bindingId: string): string {
  return `refresh ${bindingId} ${aor}`;
}

/** What a task is about; undefined when it is none of these. */
export function readRefreshTask(task: string): { readonly aor: Aor; readonly bindingId: string } | undefined {
  const [, bindingId, aor] = /^refresh (\S+) (.+)$/s.exec(task) ?? [];
  return bindingId === undefined || aor === undefined ? undefined : { aor, bindingId };
}

/** Of two ends the earlier one: a phone the PBX has forgotten is as unreachable as one we have forgotten. */
function endOf({ expiresAt, upstreamExpiresAt }: Binding): number {
  return Math.min(expiresAt, upstreamExpiresAt ?? expiresAt);
}

function firstRefresh(binding: Binding, end: number, { leadSeconds }: RefreshPolicy): number {
  const life = end - binding.registeredAt;
  if (binding.push?.wakesItself === true) return Math.round(end - Math.min(lateSeconds * 1000, life / 3));
  const lead = Math.min(leadSeconds * 1000, life / 2);
  const spread = Math.min(life / spreadShare, longestSpreadSeconds * 1000);
  return Math.round(end - lead - spread * shareOf(binding.id));
}

/** 0 to 1, the same for the same binding: FNV-1a over its id. */
function shareOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return (hash >>> 0) / 2 ** 32;
}
