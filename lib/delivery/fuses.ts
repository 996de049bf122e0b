/** The two breakers of one pool, kept: asks and tells them, and reports when one opens or closes. */
import type { Clock } from '../ports/clock.ts';
import { ask, type Breaker, closedBreaker, credentialStep, transportStep } from './breaker.ts';

export type FuseKind = 'transport' | 'credentials';

/** Why a push does not go. */
export type Blown = { readonly kind: FuseKind; readonly reason: string };

/** Called at each change. */
export type FuseHook = (kind: FuseKind, isOpen: boolean, reason: string) => void;

export class Fuses {
  readonly #clock: Clock;
  readonly #changed: FuseHook;
  #transport: Breaker = closedBreaker;
  #credentials: Breaker = closedBreaker;

  constructor(clock: Clock, changed: FuseHook) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** undefined: it may go. */
  ask(): Blown | undefined {
    // as good as always
    if (this.#transport.is === 'closed' && this.#credentials.is === 'closed') return undefined;
    const now = this.#clock.now();
    const credentials = ask(this.#credentials, now);
    if (!credentials.admitted && credentials.breaker.is !== 'closed')
      return { kind: 'credentials', reason: credentials.breaker.reason };
    const transport = ask(this.#transport, now);
    if (!transport.admitted && transport.breaker.is !== 'closed')
      return { kind: 'transport', reason: transport.breaker.reason };
    // one push may be the trial of both
    this.#credentials = credentials.breaker;
    this.#transport = transport.breaker;
    return undefined;
  }

  connected(): void {
    this.#step({ is: 'connected' });
  }

  connectFailed(reason: string): void {
    this.#step({ is: 'connect-failed', reason });
  }

  /** The service works; `known`: it also accepted who we are. */
  answered(known: boolean): void {
    this.#step({ is: 'answered' });
    if (known && this.#credentials.is !== 'closed') this.#credential({ is: 'accepted' });
  }

  failed(reason: string): void {
    this.#step({ is: 'failed', reason });
  }

  /** A push that may have been the trial has ended, and how is not known. */
  takenBack(): void {
    if (this.#transport.is === 'half-open') this.#step({ is: 'taken-back' });
    if (this.#credentials.is === 'half-open') this.#credential({ is: 'taken-back' });
  }

  /** The service does not accept who we are. */
  refused(reason: string): void {
    this.#step({ is: 'answered' });
    this.#credential({ is: 'refused', reason });
  }

  renewed(): void {
    this.#credential({ is: 'renewed' });
  }

  get isOpen(): { readonly transport: boolean; readonly credentials: boolean } {
    return { transport: this.#transport.is !== 'closed', credentials: this.#credentials.is !== 'closed' };
  }

  #step(event: Parameters<typeof transportStep>[1]): void {
    const before = this.#transport;
    this.#transport = transportStep(before, event, this.#clock.now());
    this.#tell('transport', before, this.#transport);
  }

  #credential(event: Parameters<typeof credentialStep>[1]): void {
    const before = this.#credentials;
    this.#credentials = credentialStep(before, event, this.#clock.now());
    this.#tell('credentials', before, this.#credentials);
  }

  #tell(kind: FuseKind, before: Breaker, after: Breaker): void {
    if (before.is !== 'open' && after.is === 'open') this.#changed(kind, true, after.reason);
    else if (before.is !== 'closed' && after.is === 'closed') this.#changed(kind, false, '');
  }
}
