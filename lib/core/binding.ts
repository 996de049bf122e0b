/** What the edge remembers of one device that registered (RFC 3261 10, RFC 5626 6, RFC 8599 5.6): plain data that survives JSON. */
import type { Flow } from '../sip/flow.ts';

/** Canonical `user@domain`: user unescaped, domain in lower case, no parameters (RFC 3261 10.3 step 5). */
export type Aor = string;

/** One token a push can be sent to. */
export interface PushToken {
  readonly kind: 'voip' | 'alert' | 'fcm' | 'webpush' | 'webhook';
  /** unescaped once, compared octet for octet */
  readonly token: string;
}

/** What pushes have taught about one token. A REGISTER clears what says that the phone does not come. */
export interface TokenLife {
  /** the environment it was found to belong to (push-providers 3.7) */
  readonly environment?: 'production' | 'sandbox';
  /** digests of the occasions in a row at which the service did not know it */
  readonly suspects?: readonly string[];
  /** VoIP pushes in a row that no REGISTER followed */
  readonly unanswered?: number;
  /** when the last of them was sent, ms */
  readonly unansweredAt?: number;
  /** high-priority pushes that no REGISTER followed, by day since the epoch, oldest first */
  readonly wasted?: readonly (readonly [day: number, count: number])[];
}

/** The push parameters of a Contact, normalised over all client dialects (RFC 8599 8.7). */
export interface PushRecord {
  /** canonical: `apns`, `fcm`, `webpush` or a private type */
  readonly provider: string;
  /** the provider as the phone wrote it, to be echoed in sip.pns (DIA-06) */
  readonly providerAsSent: string;
  readonly environment: 'production' | 'sandbox' | undefined;
  /** pn-param, unescaped; undefined when the phone sent none */
  readonly param: string | undefined;
  readonly tokens: readonly PushToken[];
  /** name of the configured app that can push it */
  readonly app: string;
  /** the phone sent +sip.pnsreg: it can wake itself for refreshes */
  readonly wakesItself: boolean;
  /** the push service said that the token is gone, at this time (ms); cleared by the next accepted REGISTER that brings a token */
  readonly deadSince?: number;
  /** by kind of token; absent where nothing is known */
  readonly life?: Readonly<Partial<Record<PushToken['kind'], TokenLife>>>;
}

export interface Binding {
  /** opaque, stable over every refresh of this device: names the device to the PBX and in logs */
  readonly id: string;
  readonly aor: Aor;
  /** the Contact value as received, with all parameters: echoed to this device only */
  readonly contact: string;
  /** its URI with every push parameter taken out: request-URI of legs, and what others may see */
  readonly target: string;
  /** the targets before it, newest first, of a phone that has moved: they may be taken back later, and nothing is meant by that */
  readonly formerTargets?: readonly string[];
  /** +sip.instance without the angle brackets */
  readonly instanceId?: string;
  readonly regId?: number;
  /** q of the Contact times 1000; 1000 when absent */
  readonly q: number;
  readonly callId: string;
  readonly cseq: number;
  readonly flow: Flow;
  /** Path values of the REGISTER that came before ours, in order (RFC 3327) */
  readonly path: readonly string[];
  /** the PBX knows the Contact itself and reaches it by our URI in Path (mode P); else it knows a Contact of ours */
  readonly byPath?: true;
  /** present when the edge has told the phone that it will push (sip.pns in the 2xx), PN-PROXY-01 */
  readonly push?: PushRecord;
  /** the provider when the phone asked for pushes that no configured app can send: a call that needs one says so */
  readonly unsupportedPush?: string;
  /** when the last accepted REGISTER came, ms since the epoch */
  readonly registeredAt: number;
  /** when it ends for the phone, ms since the epoch: nothing is sent to its flow after that */
  readonly expiresAt: number;
  /** present when its push record outlives it: until then the phone is still pushed for what comes, ms since the epoch */
  readonly wakeableUntil?: number;
  /** when it ends at the PBX (mid-registrar), ms since the epoch */
  readonly upstreamExpiresAt?: number;
  readonly userAgent?: string;
  /** made by an operator and not by a REGISTER: it stays until the operator takes it away, whatever the phone registers or removes */
  readonly provisioned?: true;
}
