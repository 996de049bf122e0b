/**
 * A mid-registrar that does not ask the PBX each time (domains[].throttle). The PBX is asked for an expiry of the edge's own, which
 * no digest covers; until that runs low a REGISTER that changes nothing is answered here. Whatever changes anything (flow, Contact,
 * token, Call-ID, removal) goes to the PBX with the phone's credentials: nobody else can say whether it may.
 */
import type { Binding } from '../core/binding.ts';
import { canBeRefreshed, isRefreshDue } from '../core/refresh-schedule.ts';
import { canBePushed } from '../core/register-decision.ts';
import { flowUri } from '../sip/flow.ts';
import { Headers } from '../sip/headers.ts';
import { parseNameAddr, printNameAddr } from '../sip/name-addr.ts';
import { account } from './account.ts';
import { addRegistered } from './answer.ts';
import { announce, commit, type Granted } from './commit.ts';
import type { Asked, AskedContact, RegisterDeps } from './read-register.ts';

/** Seconds left at the PBX when this REGISTER need not go there; undefined: it must. */
export function leftUpstream(asked: Asked, deps: RegisterDeps): number | undefined {
  const { throttle, upstreamChangedAt = 0 } = asked.domain;
  if (throttle === undefined || asked.mode.contactUpstream !== 'sealed' || asked.contacts === '*') return undefined;
  const [one, ...others] = asked.contacts;
  const known = one?.known;
  if (one === undefined || others.length > 0 || known?.upstreamExpiresAt === undefined || one.expires <= 0)
    return undefined;
  if (!isSame(asked, one, known)) return undefined;
  // another server of the PBX may know nothing of this phone
  if (known.registeredAt <= upstreamChangedAt) return undefined;
  const now = deps.clock.now();
  const { refresh } = deps.policy;
  // it was woken for this very refresh
  if (refresh !== undefined && isRefreshDue(known, now, refresh)) return undefined;
  const left = Math.floor((known.upstreamExpiresAt - now) / 1000);
  return left > Math.min(refresh?.leadSeconds ?? usualLeadSeconds, throttle.upstreamExpires / 2) ? left : undefined;
}

const usualLeadSeconds = 300;

/** Answers a REGISTER of which `leftUpstream` said that it need not go to the PBX. */
export async function registerAgain(asked: Asked, left: number, deps: RegisterDeps): Promise<'answered' | 'ask'> {
  const { contacts } = asked;
  if (contacts === '*') return 'ask';
  const granted: readonly Granted[] = contacts.map((one) => ({
    asked: one,
    expires: expiresOfPhone(asked, one, left, deps),
    upstreamExpires: left,
  }));
  const change = await commit(asked, granted, deps);
  if (change.is === 'stale' || change.is === 'full') return 'ask';
  account(asked, granted, change, deps, 'throttled');
  const headers = Headers.of([['Date', new Date(deps.clock.now()).toUTCString()]]);
  const sent = asked.transaction.respond({
    status: 200,
    headers: addRegistered(headers, { asked, granted, bindings: change.bindings, foreign: [] }, deps),
  });
  announce(asked, change, deps);
  await sent;
  return 'answered';
}

/**
 * Seconds for the phone when the PBX has granted `upstream`: what it asked for where a refresh push can wake it before the PBX
 * forgets it, else no more than the PBX gives.
 */
export function expiresOfPhone(asked: Asked, one: AskedContact, upstream: number, deps: RegisterDeps): number {
  const { throttle } = asked.domain;
  if (throttle === undefined || upstream === 0) return upstream;
  const pushed =
    one.decision.is === 'push' &&
    one.ask.is === 'push' &&
    !one.ask.wakesItself &&
    canBePushed(upstream, deps.policy) &&
    deps.policy.refresh !== undefined &&
    canBeRefreshed({ push: one.ask });
  return Math.min(one.expires, pushed ? Math.min(throttle.phoneExpires, deps.policy.maxExpires) : upstream);
}

/** Nothing but its CSeq and the time is new: the same phone says the same from the same place. */
function isSame({ callId, cseq, transaction, path }: Asked, one: AskedContact, known: Binding): boolean {
  const sameFlow = flowUri(known.flow) === flowUri(transaction.flow) && known.flow.engine === transaction.flow.engine;
  const pushed = one.decision.is === 'push' && one.ask.is === 'push' ? one.ask.tokens : [];
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  return (
    sameFlow &&
    known.byPath !== true &&
    known.callId === callId &&
    cseq > known.cseq &&
    known.push?.deadSince === undefined &&
    withoutExpires(known.contact) === withoutExpires(one.contact.text) &&
    same(known.push?.tokens ?? [], pushed) &&
    same(known.path, path)
  );
}

function withoutExpires(contact: string): string {
  const addr = parseNameAddr(contact);
  if (addr === undefined) return contact;
  return printNameAddr({ ...addr, params: addr.params.filter(({ name }) => name.toLowerCase() !== 'expires') });
}
