/** A push notification service as the use-cases see it: one request, one outcome, no provider words (RFC 8599 5.1). */
import type { PushToken } from '../core/binding.ts';
import type { PushClass } from '../core/push-class.ts';
import type { PushHints } from '../sip/push-hints.ts';

/** Why a call is over for a phone that was pushed for it. */
export type EndReason = 'caller-cancelled' | 'answered-elsewhere' | 'timeout';

export interface PushRequest {
  /** name of the configured app */
  readonly app: string;
  /** the binding it is for, when there is one */
  readonly bindingId?: string;
  readonly class: PushClass;
  /** of class cancel only */
  readonly reason?: EndReason;
  readonly environment: 'production' | 'sandbox' | undefined;
  /** pn-param of the binding, unescaped; undefined when the phone sent none */
  readonly param: string | undefined;
  readonly tokens: readonly PushToken[];
  /** +sip.instance of the device, for payload profiles that want it */
  readonly instanceId: string | undefined;
  /** what else the phone said about its pushes */
  readonly hints?: PushHints | undefined;
  /** Call-ID as the device will see it, or the caller's when not yet known; never shown to others */
  readonly callId: string;
  readonly from: { readonly uri: string; readonly display: string | undefined };
  readonly to: string;
  readonly hasVideo: boolean;
  /** the service checks it and delivers nothing (FCM only; others ignore it) */
  readonly dryRun?: true;
  /** ms since the epoch after which an outcome is worthless */
  readonly deadline: number;
  /** ms since the epoch after which the phone need not be woken any more */
  readonly wakeUntil: number;
  /** how often this phone has been pushed for this call before, when it is pushed once more on purpose; 0 when left out */
  readonly repeat?: number;
  /** the service may deliver it when it suits the phone; what the class asks for when left out */
  readonly priority?: 'normal';
}

export type PushOutcome =
  /** taken over by the service; no proof that it reached the phone. `environment`: the one the token turned out to belong to. */
  | { readonly is: 'accepted'; readonly id: string; readonly environment?: 'production' | 'sandbox' }
  /** this token is gone for good; `since` (ms): the service's own time of death */
  | { readonly is: 'token-dead'; readonly token: string; readonly reason: string; readonly since?: number }
  /** the service does not know this token here; one such answer proves little (push-providers 3.7) */
  | { readonly is: 'token-suspect'; readonly token: string; readonly reason: string }
  /** refused for this device now; do not try again before retryAfterMs */
  | { readonly is: 'throttled'; readonly reason: string; readonly retryAfterMs?: number }
  /** this class cannot be pushed to these tokens */
  | { readonly is: 'not-applicable'; readonly reason: string }
  /** our credentials, topic or payload are wrong: the operator must act */
  | { readonly is: 'config-error'; readonly reason: string }
  /** no usable answer before the deadline */
  | { readonly is: 'unreachable'; readonly reason: string }
  /** taken back by the signal */
  | { readonly is: 'cancelled' };

export interface PushService {
  /** Never rejects; settles not later than the deadline. `signal`: the call ended or the phone came. */
  push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome>;
  close(): Promise<void>;
}
