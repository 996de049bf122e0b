/**
 * A subscription through the edge: the subscriber's dialog and the notifier's, tied like the two of a call. SUBSCRIBEs and NOTIFYs
 * are said to the other side with all their headers and bodies, and answers go back unchanged; when it ends is decided in
 * core/subscription-state.
 */
import { type PassOptions, passRequest, type Side } from '../core/pass-headers.ts';
import {
  step,
  subscribed,
  type Subscription,
  type SubscriptionEffect,
  type SubscriptionEvent,
  type SubscriptionSide,
  type SubscriptionStep,
} from '../core/subscription-state.ts';
import type { Clock } from '../ports/clock.ts';
import type { Dialog } from '../ports/dialog.ts';
import type { Log } from '../ports/log.ts';
import type { InviteTransaction, ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
import { answerOf } from './answer-of.ts';

export interface SubscriptionOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Call-ID of the subscriber, for the log */
  readonly callId: string;
  /** as the subscriber wrote it, `id` and all */
  readonly event: string;
  /** what the two ends are; for identities at the border of trust */
  readonly subscriber: Side;
  readonly notifier: Side;
  /** the edge's own realm; credentials for it end here */
  readonly realm?: string | undefined;
  /** of the 2xx that began it, seconds */
  readonly granted: number;
  /** exactly once */
  readonly onOver: () => void;
}

export interface BridgedSubscription {
  /** Tells both sides that it is over. Safe at any time. */
  end(): void;
}

export function bridgeSubscription(
  subscriber: Dialog,
  notifier: Dialog,
  options: SubscriptionOptions,
): BridgedSubscription {
  return new Runner(subscriber, notifier, options);
}

/** Seconds of an Expires header; undefined when there is none that can be read. */
export function expiresOf(headers: Headers): number | undefined {
  const text = headers.get('Expires')?.trim();
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

class Runner implements BridgedSubscription {
  readonly #dialogs: Readonly<Record<SubscriptionSide, Dialog>>;
  readonly #options: SubscriptionOptions;
  #state: Subscription;
  #stopTimer: (() => void) | undefined;

  constructor(subscriber: Dialog, notifier: Dialog, options: SubscriptionOptions) {
    this.#dialogs = { subscriber, notifier };
    this.#options = options;
    const [state, effects] = subscribed(options.granted);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    for (const side of ['subscriber', 'notifier'] as const)
      this.#dialogs[side].onEnd(() => this.#tell({ is: 'lost', side }));
    for (const side of ['subscriber', 'notifier'] as const)
      this.#dialogs[side].onRequest((transaction) => void this.#requested(side, transaction));
  }

  end(): void {
    this.#tell({ is: 'stop' });
  }

  async #requested(from: SubscriptionSide, transaction: ServerTransaction | InviteTransaction): Promise<void> {
    const { method, headers, body } = transaction.request;
    // the dialog of a subscription carries nothing else (RFC 6665 4.5.2)
    const fits = method === (from === 'subscriber' ? 'SUBSCRIBE' : 'NOTIFY');
    if (this.#state.at !== 'active') return void (await transaction.respond({ status: 481 }));
    if (!fits && (method === 'INVITE' || method === 'SUBSCRIBE' || method === 'NOTIFY' || method === 'BYE'))
      return void (await transaction.respond({ status: method === 'BYE' ? 481 : 403 }));
    const to = from === 'subscriber' ? 'notifier' : 'subscriber';
    const answer = await this.#dialogs[to].request({
      method,
      headers: passRequest(headers, this.#border(from)),
      body,
    });
    const { response, local } = answer;
    const told = answerOf(answer, this.#border(to));
    await transaction.respond(told);
    if (!fits) return;
    if (response.status >= 300) {
      // what we say in place of somebody out of reach must not end a subscription that he still has (PN-PURR-13)
      if (!local)
        this.#tell({ is: 'refused', of: method === 'NOTIFY' ? 'NOTIFY' : 'SUBSCRIBE', status: response.status });
      else if (told.status === 481) this.#tell({ is: 'lost', side: to });
    } else if (method === 'SUBSCRIBE')
      this.#tell({ is: 'granted', seconds: expiresOf(response.headers) ?? expiresOf(headers) ?? 3600 });
    else {
      const terminated = /^\s*terminated\s*(?:;|$)/i.test(headers.get('Subscription-State') ?? '');
      this.#tell({ is: 'notified', terminated });
    }
  }

  #tell(event: SubscriptionEvent): void {
    this.#take(step(this.#state, event));
  }

  #take([state, effects]: SubscriptionStep): void {
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: SubscriptionEffect): void {
    switch (effect.do) {
      case 'start-timer':
        this.#stopTimer?.();
        this.#stopTimer = this.#options.clock.after(effect.seconds * 1000, () => this.#tell({ is: 'expired' }));
        return;
      case 'stop-timer':
        this.#stopTimer?.();
        this.#stopTimer = undefined;
        return;
      case 'tell-subscriber':
        return void this.#say('subscriber', 'NOTIFY', ['Subscription-State', 'terminated;reason=deactivated']);
      case 'tell-notifier':
        return void this.#say('notifier', 'SUBSCRIBE', ['Expires', '0']);
      case 'close':
        return this.#dialogs[effect.side].close();
      case 'over': {
        const { log, callId, event } = this.#options;
        log.info({ callId, kind: event, ending: effect.because }, 'subscription over');
        return this.#options.onOver();
      }
      default:
        return effect satisfies never;
    }
  }

  async #say(side: SubscriptionSide, method: string, header: readonly [string, string]): Promise<void> {
    const headers = Headers.of([['Event', this.#options.event], header]);
    await this.#dialogs[side].request({ method, headers, body: '' });
    this.#tell({ is: 'told', side });
  }

  #border(from: SubscriptionSide): PassOptions {
    const { subscriber, notifier, realm } = this.#options;
    return from === 'subscriber'
      ? { from: subscriber, towards: notifier, realm }
      : { from: notifier, towards: subscriber, realm };
  }
}

/** A subscription that was granted and that nobody wants: the notifier is told, and its last NOTIFY answered. */
export function dropSubscription(notifier: Dialog, event: string): void {
  notifier.onRequest((transaction) => void transaction.respond({ status: 481 }));
  const headers = Headers.of([
    ['Event', event],
    ['Expires', '0'],
  ]);
  void notifier.request({ method: 'SUBSCRIBE', headers, body: '' }).then(() => notifier.close());
}
