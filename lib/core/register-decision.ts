/**
 * What a REGISTER gets for the push parameters of one of its Contacts, as mid-registrar and as registrar: the decision table of
 * RFC 8599 5.6.1.1, 5.6.1.2 and 4.1.2. Judges one Contact; `*`, authentication and the binding set are not its business.
 */
import type { PushAsk } from '../sip/push-params.ts';

export interface RegisterPolicy {
  /** name of the configured app that can push this provider, pn-param and tokens; undefined: none */
  readonly supports: (
    provider: string,
    param: string | undefined,
    tokens: readonly { readonly token: string }[],
  ) => string | undefined;
  /** every provider with a configured app, as announced to a query for all */
  readonly providers: readonly string[];
  /** reject: 555, only when no other proxy could support the type (PN-555-03) */
  readonly unsupportedPush: 'accept' | 'reject';
  /** seconds: shortest expiry of a binding that is to be pushed */
  readonly minExpires: number;
  /** seconds before its end at which a binding must be refreshed by a push */
  readonly pushLeadSeconds: number;
  /** seconds a woken phone and the network may take */
  readonly slackSeconds: number;
  /** seconds: shortest expiry of any other binding; 0 when left out */
  readonly minPlainExpires?: number;
  /** what happens when too short an expiry is asked for; 423 when left out */
  readonly tooShort?: 'refuse' | 'accept-plain';
}

export interface RegisterQuestion {
  readonly ask: PushAsk;
  /** seconds asked for, after defaults (EDGE-REG-08) */
  readonly expires: number;
  /** sip.pns values that a trusted proxy nearer to the phone put into the REGISTER; none from the phone itself (PN-SEC-12) */
  readonly indicated: readonly string[];
}

export type RegisterDecision =
  /** an ordinary registration: nothing announced, never pushed */
  | { readonly is: 'plain' }
  /** to be pushed by this app; the 2xx has sip.pns `announce` unless undefined, and sip.pnsreg when `pnsreg` */
  | { readonly is: 'push'; readonly app: string; readonly announce: string | undefined; readonly pnsreg: boolean }
  /** an ordinary registration whose 2xx has one Feature-Caps for each of these and nothing else (PN-QRY-11) */
  | { readonly is: 'query'; readonly announce: readonly string[] }
  /** expiry 0: the binding goes, with or without pn-prid (PN-DEREG-01, -03) */
  | { readonly is: 'remove' }
  | { readonly is: 'refuse'; readonly status: 400 | 555 }
  | { readonly is: 'refuse'; readonly status: 423; readonly minExpires: number };

const plain: RegisterDecision = { is: 'plain' };

export function decideRegister(
  { ask, expires, indicated }: RegisterQuestion,
  policy: RegisterPolicy,
): RegisterDecision {
  if (ask.is === 'malformed') return { is: 'refuse', status: 400 };
  if (expires <= 0) return { is: 'remove' };
  switch (ask.is) {
    case 'none':
      return plainWithin(expires, policy);
    case 'query':
      return decideQuery(ask.provider, ask.providerAsSent, expires, indicated, policy);
    case 'incomplete':
      return indicated.length > 0 ? plainWithin(expires, policy) : unsupported(expires, policy);
    case 'push': {
      // somebody nearer to the phone pushes it (row 10)
      if (indicated.length > 0) return plainWithin(expires, policy);
      const app = policy.supports(ask.provider, ask.param, ask.tokens);
      if (app === undefined) return unsupported(expires, policy);
      if (expires < shortestPushed(policy)) {
        const short = expires < 3600 && policy.tooShort !== 'accept-plain';
        return short ? { is: 'refuse', status: 423, minExpires: shortestPushed(policy) } : plain;
      }
      return {
        is: 'push',
        app,
        announce: ask.legacy ? undefined : ask.providerAsSent,
        pnsreg: ask.wakesItself && !ask.legacy,
      };
    }
    default:
      return unreachable(ask);
  }
}

type Times = Pick<RegisterPolicy, 'minExpires' | 'pushLeadSeconds' | 'slackSeconds'>;

/** Seconds: the Min-Expires of a binding that is to be pushed. */
export function shortestPushed(times: Times): number {
  return Math.max(times.minExpires, times.pushLeadSeconds + times.slackSeconds + 1);
}

/**
 * Whether a push before its end could still lead to a refresh (PN-REG-07): to be asked again for the expiry that was granted,
 * and no means plain (row 4, PN-REG-09).
 */
export function canBePushed(granted: number, times: Times): boolean {
  return granted > times.pushLeadSeconds + times.slackSeconds;
}

function decideQuery(
  provider: string | undefined,
  asSent: string,
  expires: number,
  indicated: readonly string[],
  policy: RegisterPolicy,
): RegisterDecision {
  const within = plainWithin(expires, policy);
  if (within.is === 'refuse') return within;
  const announce = provider === undefined ? policy.providers : policy.providers.includes(provider) ? [asSent] : [];
  if (announce.length > 0) return { is: 'query', announce };
  return indicated.length > 0 ? plain : unsupported(expires, policy);
}

function unsupported(expires: number, policy: RegisterPolicy): RegisterDecision {
  return policy.unsupportedPush === 'reject' ? { is: 'refuse', status: 555 } : plainWithin(expires, policy);
}

/** 423 only between 0 and an hour (PN-INT-14). */
function plainWithin(expires: number, policy: RegisterPolicy): RegisterDecision {
  const shortest = policy.minPlainExpires ?? 0;
  return expires < shortest && expires < 3600 ? { is: 'refuse', status: 423, minExpires: shortest } : plain;
}

function unreachable(value: never): never {
  throw new Error(`not an ask: ${JSON.stringify(value)}`);
}
