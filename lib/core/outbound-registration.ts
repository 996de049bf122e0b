/**
 * One registration that the edge keeps alive at a PBX with an account it holds (RFC 3261 10.2), with the semantics of PJSIP: what is
 * retried, when, and what is given up. A machine without clock and chance: both come with the events. What it knows is plain data
 * that survives JSON, so that another node can go on with the same Call-ID and a higher CSeq.
 */
import { type Challenge, isSamePlace } from './digest-client.ts';

export type OutboundState = 'unregistered' | 'registering' | 'registered' | 'rejected' | 'stopped';

export interface OutboundPolicy {
  /** seconds asked for */
  readonly expires: number;
  /** seconds before its end at which a registration is refreshed, but not before half of it is over */
  readonly refreshLeadSeconds: number;
  /** 0 to 0.3: this part of its life a refresh may come earlier, by chance */
  readonly refreshSpread: number;
  /** seconds after no answer, 408, 480, 500, 502, 503, 504 and 6xx */
  readonly retrySeconds: number;
  /** 0 to 1: by this part of itself a pause may be longer, by chance */
  readonly retrySpread: number;
  /** failures in a row after which it is given up; 0: never */
  readonly maxRetries: number;
  /** seconds after 403; 0: given up */
  readonly forbiddenRetrySeconds: number;
  /** seconds after any other refusal; 0: given up */
  readonly fatalRetrySeconds: number;
  /** credentials that were refused are not tried again until somebody changes them */
  readonly authRejectionPermanent: boolean;
}

/** A challenge that was answered; its nonce is used on, which spares a round trip. */
export interface KnownChallenge {
  readonly challenge: Challenge;
  /** how often the nonce was used */
  readonly count: number;
}

export interface Failure {
  /** 0: no answer */
  readonly status: number;
  readonly reason: string;
  /** ms since the epoch */
  readonly at: number;
}

/** A REGISTER that is on its way. */
export interface Attempt {
  readonly cseq: number;
  readonly asks: 'register' | 'remove';
  readonly contact: string;
  readonly expires: number;
  /** nonces that came in this attempt and were answered */
  readonly answered: readonly { readonly proxy: boolean; readonly realm: string; readonly nonce: string }[];
  readonly tooBrief: boolean;
}

export interface OutboundRegistration {
  readonly state: OutboundState;
  readonly callId: string;
  /** of From */
  readonly tag: string;
  /** the last one used */
  readonly cseq: number;
  /** the Contact the PBX may still have from us */
  readonly contact?: string;
  /** other Contacts it may still have: of a node that died, of an address that changed */
  readonly strays: readonly string[];
  /** when that ends, ms since the epoch */
  readonly expiresAt?: number;
  /** the last 2xx and the last REGISTER, ms since the epoch */
  readonly registeredAt?: number;
  readonly triedAt?: number;
  /** the next REGISTER; left out: none is planned */
  readonly nextAt?: number;
  /** in a row */
  readonly failures: number;
  readonly failure?: Failure;
  /** learnt from 423 */
  readonly minExpires?: number;
  readonly challenges: readonly KnownChallenge[];
  /** as the last 2xx said (RFC 3608, RFC 3327) */
  readonly serviceRoute: readonly string[];
  readonly path: readonly string[];
  readonly attempt?: Attempt;
}

/** What a final answer says. */
export interface RegisterAnswer {
  readonly status: number;
  readonly reason: string;
  /** those that can be answered; see readChallenges */
  readonly challenges: readonly Challenge[];
  /** seconds for our Contact; undefined: as asked */
  readonly granted: number | undefined;
  readonly minExpires: number | undefined;
  readonly retryAfter: number | undefined;
  readonly serviceRoute: readonly string[];
  readonly path: readonly string[];
}

/** `now`: ms since the epoch; `chance`: 0 to 1. */
export type OutboundEvent =
  /** the time has come, and we are the one to do it; `contact` is the one of this node, `callId` for the day CSeq is used up */
  | { readonly is: 'due'; readonly now: number; readonly contact: string; readonly callId: string }
  | {
      readonly is: 'answered';
      readonly now: number;
      readonly chance: number;
      readonly cseq: number;
      readonly answer: RegisterAnswer;
    }
  /** nobody has answered in time, or nothing could be sent */
  | { readonly is: 'silent'; readonly now: number; readonly chance: number; readonly cseq: number }
  /** nothing could be sent, and nothing can until the account changes */
  | { readonly is: 'unusable'; readonly now: number; readonly cseq: number; readonly reason: string }
  /** the account or somebody's wish has changed: try now, whatever was before; a stopped one begins again */
  | { readonly is: 'start'; readonly now: number }
  /** register again now, as after a PBX has come back; a stopped one stays so */
  | { readonly is: 'renew'; readonly now: number }
  | { readonly is: 'stop'; readonly now: number; readonly deregister: boolean }
  /** another node has it now */
  | { readonly is: 'lost' };

export type OutboundEffect =
  | {
      readonly do: 'send';
      readonly cseq: number;
      readonly contacts: readonly { readonly uri: string; readonly expires: number }[];
      readonly expires: number;
      readonly credentials: readonly KnownChallenge[];
    }
  /** the next 'due'; undefined: none */
  | { readonly do: 'plan'; readonly at: number | undefined };

export type OutboundStep = readonly [OutboundRegistration, readonly OutboundEffect[]];

/** RFC 3261 8.1.1.5: below 2^31. */
const lastCseq = 2 ** 31 - 16;
/** Fresh nonces taken in one attempt from one place: `stale=true` says that the credentials were good (RFC 7616 3.4.5). */
const mostStale = 3;
/** Without that word a new nonce may mean either: once more, and then the password is wrong. */
const mostChanged = 1;
const longestRetryAfter = 3600;
const longestMinExpires = 7 * 86_400;
const mostRoutes = 8;
const mostStrays = 4;
/** A removal that fails for a time is sent so often. */
const mostRemovals = 5;

const temporary = new Set([408, 480, 500, 502, 503, 504]);

export function newRegistration(callId: string, tag: string, now: number): OutboundRegistration {
  return {
    state: 'unregistered',
    callId,
    tag,
    cseq: 0,
    failures: 0,
    strays: [],
    challenges: [],
    serviceRoute: [],
    path: [],
    nextAt: now,
  };
}

export function step(one: OutboundRegistration, event: OutboundEvent, policy: OutboundPolicy): OutboundStep {
  switch (event.is) {
    case 'due':
      return one.state === 'stopped' ? takeBackDue(one, event.now) : begin(one, event, policy);
    case 'answered':
      if (one.attempt?.cseq !== event.cseq) return [one, []];
      if (isOutdated(one)) return registerInstead(one, event.now, event.answer.status < 300);
      return one.attempt.asks === 'remove'
        ? onRemoved(one, one.attempt, event, policy)
        : onAnswer(one, one.attempt, event, policy);
    case 'silent':
      if (one.attempt?.cseq !== event.cseq) return [one, []];
      if (isOutdated(one)) return registerInstead(one, event.now, false);
      if (one.attempt.asks === 'remove')
        return takeBackLater(one, one.attempt, event, { status: 0, reason: 'no answer' }, 0, policy);
      return retry(one, event, { status: 0, reason: 'no answer' }, policy.retrySeconds, 0, policy);
    case 'unusable':
      if (one.attempt?.cseq !== event.cseq) return [one, []];
      if (isOutdated(one)) return registerInstead(one, event.now, false);
      if (one.attempt.asks === 'remove') return gone(one);
      return giveUp(one, event, { status: 0, reason: event.reason });
    case 'start':
      return plan(
        // what is under way may still leave (behalf/registrations waits for that)
        { ...without(one, 'failure', 'minExpires'), state: 'unregistered', failures: 0, challenges: [] },
        event.now,
      );
    case 'renew':
      if (one.state === 'stopped' || one.attempt !== undefined) return [one, []];
      return plan({ ...one, failures: 0 }, event.now);
    case 'stop':
      return stop(one, event);
    case 'lost':
      return [without(one, 'attempt'), []];
    default:
      return event satisfies never;
  }
}

function begin(
  one: OutboundRegistration,
  { now, contact, callId }: Extract<OutboundEvent, { is: 'due' }>,
  policy: OutboundPolicy,
): OutboundStep {
  const anew = one.cseq >= lastCseq ? { callId, cseq: 0, challenges: [] } : {};
  const stands = one.expiresAt !== undefined && one.expiresAt > now && one.state === 'registered';
  // what is left from another node or an earlier address would get calls until it runs out; it may have come to be even without an answer
  const known = [one.attempt?.contact, one.contact, ...one.strays];
  const strays = [...new Set(known)].flatMap((each) => (each === undefined || each === contact ? [] : [each]));
  return send(
    {
      ...without(one, 'nextAt'),
      ...anew,
      strays: strays.slice(0, mostStrays),
      state: stands ? 'registered' : 'registering',
      triedAt: now,
    },
    {
      asks: 'register',
      contact,
      expires: Math.max(policy.expires, one.minExpires ?? 0),
      answered: [],
      tooBrief: false,
    },
  );
}

/** With the next CSeq and every challenge known, each nonce counted once more. */
function send(one: OutboundRegistration, attempt: Omit<Attempt, 'cseq'>): OutboundStep {
  const cseq = one.cseq + 1;
  const challenges = one.challenges.map(({ challenge, count }) => ({ challenge, count: count + 1 }));
  const { contact, expires, asks } = attempt;
  const left = one.strays.map((uri) => ({ uri, expires: 0 }));
  return [
    { ...one, cseq, challenges, attempt: { ...attempt, cseq } },
    [
      {
        do: 'send',
        cseq,
        contacts: [{ uri: contact, expires: asks === 'remove' ? 0 : expires }, ...left],
        expires: asks === 'remove' ? 0 : expires,
        credentials: challenges,
      },
    ],
  ];
}

function onAnswer(
  one: OutboundRegistration,
  attempt: Attempt,
  event: Extract<OutboundEvent, { is: 'answered' }>,
  policy: OutboundPolicy,
): OutboundStep {
  const { answer } = event;
  const { status, reason } = answer;
  if (status < 300) return onAccepted(one, attempt, event, policy);
  const failed = { status, reason };
  if (status === 401 || status === 407) {
    const again = authenticate(one, attempt, answer.challenges);
    if (again !== undefined) return again;
    const refused = {
      status,
      reason:
        answer.challenges.length === 0
          ? 'no challenge that can be answered: other realm, or unknown scheme or algorithm'
          : 'the credentials were refused',
    };
    // what was refused is not sent once more
    const forgotten = { ...one, challenges: [] };
    return policy.authRejectionPermanent
      ? giveUp(forgotten, event, refused)
      : retry(forgotten, event, refused, policy.retrySeconds, 0, policy);
  }
  if (status === 423) {
    const { minExpires = 0 } = answer;
    if (!attempt.tooBrief && minExpires > attempt.expires && minExpires <= longestMinExpires)
      return send({ ...one, minExpires }, { ...attempt, expires: minExpires, tooBrief: true });
  }
  const after = answer.retryAfter ?? 0;
  if (temporary.has(status) || status >= 600) return retry(one, event, failed, policy.retrySeconds, after, policy);
  const pause = status === 403 ? policy.forbiddenRetrySeconds : policy.fatalRetrySeconds;
  return pause === 0 ? giveUp(one, event, failed) : retry(one, event, failed, pause, after, policy);
}

function onAccepted(
  one: OutboundRegistration,
  attempt: Attempt,
  { now, chance, answer }: Extract<OutboundEvent, { is: 'answered' }>,
  policy: OutboundPolicy,
): OutboundStep {
  const granted = answer.granted ?? attempt.expires;
  const { status } = answer;
  if (granted <= 0) {
    const none = { ...without(one, 'contact', 'expiresAt'), state: 'unregistered' as const };
    const said = { status, reason: 'accepted, but for no time' };
    const [next, effects] = retry(none, { now, chance }, said, policy.retrySeconds, 0, policy);
    return [{ ...next, state: 'unregistered' }, effects];
  }
  return plan(
    {
      ...without(one, 'attempt', 'failure'),
      state: 'registered',
      contact: attempt.contact,
      strays: [],
      registeredAt: now,
      expiresAt: now + granted * 1000,
      failures: 0,
      serviceRoute: answer.serviceRoute.slice(0, mostRoutes),
      path: answer.path.slice(0, mostRoutes),
    },
    now + refreshDelay(granted, chance, policy),
  );
}

/** Ms from the 2xx to the refresh. */
function refreshDelay(granted: number, chance: number, { refreshLeadSeconds, refreshSpread }: OutboundPolicy): number {
  const lead = Math.min(refreshLeadSeconds, granted / 2);
  return Math.max(1000, Math.round((granted - lead - chance * refreshSpread * granted) * 1000));
}

/** The same REGISTER with credentials; undefined: there are none that could help. */
function authenticate(
  one: OutboundRegistration,
  attempt: Attempt,
  asked: readonly Challenge[],
): OutboundStep | undefined {
  if (asked.length === 0) return undefined;
  for (const challenge of asked) {
    const before = attempt.answered.filter((other) => isSamePlace(other, challenge));
    if (before.some(({ nonce }) => nonce === challenge.nonce)) return undefined;
    if (before.length > (challenge.stale ? mostStale : mostChanged)) return undefined;
  }
  const others = one.challenges.filter(({ challenge }) => !asked.some((newer) => isSamePlace(newer, challenge)));
  const countOf = ({ nonce }: Challenge): number =>
    one.challenges.find((old) => old.challenge.nonce === nonce)?.count ?? 0;
  const news = asked.map((challenge) => ({ challenge, count: countOf(challenge) }));
  return send(
    { ...one, challenges: [...others, ...news] },
    {
      ...attempt,
      answered: [...attempt.answered, ...asked.map(({ proxy, realm, nonce }) => ({ proxy, realm, nonce }))],
    },
  );
}

function retry(
  one: OutboundRegistration,
  event: { readonly now: number; readonly chance: number },
  failed: Omit<Failure, 'at'>,
  seconds: number,
  retryAfter: number,
  { retrySpread, maxRetries }: OutboundPolicy,
): OutboundStep {
  if (maxRetries > 0 && one.failures >= maxRetries) return giveUp(one, event, failed);
  const pause = Math.max(seconds, Math.min(retryAfter, longestRetryAfter)) + seconds * retrySpread * event.chance;
  return plan(refused(one, event, failed), event.now + Math.round(pause * 1000));
}

function giveUp(one: OutboundRegistration, event: { readonly now: number }, failed: Omit<Failure, 'at'>): OutboundStep {
  return rest(refused(one, event, failed));
}

/** What the PBX has stays until it ends: calls come as long. */
function refused(
  one: OutboundRegistration,
  { now }: { readonly now: number },
  failed: Omit<Failure, 'at'>,
): OutboundRegistration {
  return { ...without(one, 'attempt'), state: 'rejected', failures: one.failures + 1, failure: { ...failed, at: now } };
}

function stop(one: OutboundRegistration, { now, deregister }: Extract<OutboundEvent, { is: 'stop' }>): OutboundStep {
  const stopped: OutboundRegistration = { ...one, state: 'stopped', failures: 0 };
  return deregister ? takeBack(stopped, now) : rest(without(stopped, 'attempt'));
}

/** A removal that was not heard, or was left by a node that died; one that nobody wanted is not begun. */
function takeBackDue(one: OutboundRegistration, now: number): OutboundStep {
  const wanted = one.nextAt !== undefined || one.attempt?.asks === 'remove';
  return wanted ? takeBack(one, now) : rest(without(one, 'attempt'));
}

function takeBack(one: OutboundRegistration, now: number): OutboundStep {
  const quiet = without(one, 'attempt', 'nextAt');
  const asked = one.attempt?.contact;
  // a REGISTER under way may still succeed; the removal has the higher CSeq, so it wins
  const contact = one.contact ?? asked;
  const mayStand = contact !== undefined && (asked !== undefined || (one.expiresAt ?? 0) > now);
  if (!mayStand) return rest(quiet);
  const removed = asked ?? contact;
  const known = one.contact === undefined ? one.strays : [one.contact, ...one.strays];
  const strays = [...new Set(known)].filter((each) => each !== removed).slice(0, mostStrays);
  return send({ ...quiet, strays }, { asks: 'remove', contact: removed, expires: 0, answered: [], tooBrief: false });
}

/** A removal under way, of an account that has been started anew since. */
function isOutdated({ attempt, state }: OutboundRegistration): boolean {
  return attempt?.asks === 'remove' && state !== 'stopped';
}

/** Whatever became of the removal, the account is registered again; what the PBX may still have is taken back with that. */
function registerInstead(one: OutboundRegistration, now: number, removed: boolean): OutboundStep {
  const rest = without(one, 'attempt');
  const next = removed ? { ...without(rest, 'contact', 'expiresAt'), strays: [] } : rest;
  return plan(next, Math.max(one.nextAt ?? now, now + 1000));
}

function onRemoved(
  one: OutboundRegistration,
  attempt: Attempt,
  event: Extract<OutboundEvent, { is: 'answered' }>,
  policy: OutboundPolicy,
): OutboundStep {
  const { status, reason, challenges, retryAfter } = event.answer;
  if (status === 401 || status === 407) return authenticate(one, attempt, challenges) ?? gone(one);
  return temporary.has(status) || status >= 600
    ? takeBackLater(one, attempt, event, { status, reason }, retryAfter ?? 0, policy)
    : gone(one);
}

/** Not for ever, and not longer than the PBX can have it: a Contact nobody takes back ends by itself. */
function takeBackLater(
  one: OutboundRegistration,
  { contact }: Attempt,
  { now, chance }: { readonly now: number; readonly chance: number },
  failed: Omit<Failure, 'at'>,
  retryAfter: number,
  { retrySeconds, retrySpread }: OutboundPolicy,
): OutboundStep {
  const told = { ...one, failures: one.failures + 1, failure: { ...failed, at: now } };
  const pause = Math.max(retrySeconds, Math.min(retryAfter, longestRetryAfter)) + retrySeconds * retrySpread * chance;
  const at = now + Math.round(pause * 1000);
  // what the REGISTER under way may have brought about ends at the latest when it would have
  const until = one.expiresAt ?? now + longestRetryAfter * 1000;
  if (told.failures >= mostRemovals || at >= until) return gone(told);
  return plan({ ...without(told, 'attempt'), contact, expiresAt: until }, at);
}

/** Whatever was answered: nothing more can be done, and it ends by itself. */
function gone(one: OutboundRegistration): OutboundStep {
  return rest({ ...without(one, 'attempt', 'contact', 'expiresAt'), strays: [], serviceRoute: [], path: [] });
}

function plan(one: OutboundRegistration, at: number): OutboundStep {
  return [{ ...one, nextAt: at }, [{ do: 'plan', at }]];
}

function rest(one: OutboundRegistration): OutboundStep {
  return [without(one, 'nextAt'), [{ do: 'plan', at: undefined }]];
}

function without<K extends 'attempt' | 'failure' | 'minExpires' | 'nextAt' | 'contact' | 'expiresAt'>(
  one: OutboundRegistration,
  ...names: readonly K[]
): OutboundRegistration {
  const copy: { -readonly [P in keyof OutboundRegistration]: OutboundRegistration[P] } = { ...one };
  for (const name of names) delete copy[name];
  return copy;
}
