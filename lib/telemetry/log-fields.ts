/** The names a log line may use, so that one question to the logs finds every room's answer. Facts only; the sentence is constant. */
import { hash } from 'node:crypto';

export interface LogFields {
  /** Call-ID of the request or leg the line is about */
  readonly callId?: string | undefined;
  /** Call-ID of the other side of a bridged call */
  readonly peerCallId?: string | undefined;
  readonly branch?: string | undefined;
  /** name of this process among several */
  readonly node?: string | undefined;
  /** `user@domain`; logs may name it, metrics never */
  readonly aor?: string | undefined;
  readonly domain?: string | undefined;
  /** opaque id of a binding */
  readonly bindingId?: string | undefined;
  readonly provider?: string | undefined;
  /** name of the configured push app */
  readonly app?: string | undefined;
  /** see pridHash() */
  readonly pridHash?: string | undefined;
  readonly method?: string | undefined;
  readonly status?: number | undefined;
  /** planned result of a push, a REGISTER, a leg */
  readonly outcome?: string | undefined;
  /** how a held INVITE ended, and whose fault it was */
  readonly ending?: string | undefined;
  readonly fault?: string | undefined;
  /** why, in one word or a short phrase of ours */
  readonly reason?: string | undefined;
  /** what an operator can do about it */
  readonly fix?: string | undefined;
  /** address and port of the other end */
  readonly remote?: string | undefined;
  /** address and port of ours */
  readonly local?: string | undefined;
  readonly transport?: string | undefined;
  /** milliseconds something took or will take */
  readonly ms?: number | undefined;
  readonly seconds?: number | undefined;
  readonly count?: number | undefined;
  readonly signal?: string | undefined;
  readonly version?: string | undefined;
  readonly kind?: string | undefined;
  readonly path?: string | undefined;
  /** id the push service gave to a push */
  readonly pushId?: string | undefined;
  /** what happened to one INVITE, in order: the answer to "why did it not ring?" */
  readonly story?: readonly { readonly at: number; readonly what: string }[] | undefined;
  /** code of an EdgeError */
  readonly code?: string | undefined;
  /** a caught surprise; its message and stack are written, masked */
  readonly err?: unknown;
}

/** First 12 hexadecimal digits of the SHA-256 of a PRID: enough to match two lines, useless for a push. */
export function pridHash(prid: string): string {
  return hash('sha256', prid, 'hex').slice(0, 12);
}
