/**
 * Legs whose media goes through a relay; every session description that crosses such a leg,
 * before the answer, in it, in its ACK and inside the dialog, is exchanged on the way. All of it happens at the callee's side, so
 * ring and bridge do not know. Whatever the relay does or does not, the message goes on, in order.
 */
import { type MediaWhen, wantsMediaHelp } from '../core/media-help.ts';
import type { AckContent, EarlyDialog } from '../ports/dialog.ts';
import type { Leg, LegEvents, LegRequest, Legs } from '../ports/leg.ts';
import type { MediaRelay, MediaSession } from '../ports/media-relay.ts';
import { HelpedDialog, HelpedEarlyDialog } from './helped-dialog.ts';
import { InTurn, isOffer, translated } from './media-exchange.ts';

export class HelpedLegs implements Legs {
  readonly #legs: Legs;
  readonly #relay: MediaRelay;
  readonly #when: MediaWhen;

  constructor(legs: Legs, relay: MediaRelay, when: MediaWhen) {
    this.#legs = legs;
    this.#relay = relay;
    this.#when = when;
  }

  start(request: LegRequest, events: LegEvents): Leg {
    return wantsMediaHelp(this.#when, request.behindNat ?? false)
      ? new HelpedLeg(this.#legs, this.#relay.open(), request, events)
      : this.#legs.start(request, events);
  }
}

class HelpedLeg implements Leg {
  readonly #media: MediaSession;
  readonly #events: LegEvents;
  /** the INVITE has an offer; otherwise the callee makes it (late offer) */
  readonly #offers: boolean;
  readonly #turn = new InTurn();
  readonly #early = new Map<EarlyDialog, EarlyDialog>();
  #leg: Leg | undefined;
  #cancelled: { readonly reason: string | undefined } | undefined;
  #movedTo: string | undefined;

  constructor(legs: Legs, media: MediaSession, request: LegRequest, events: LegEvents) {
    this.#media = media;
    this.#events = events;
    this.#offers = isOffer(request);
    void this.#begin(legs, request);
  }

  get callId(): string | undefined {
    return this.#leg?.callId;
  }

  cancel(reason?: string): void {
    this.#cancelled ??= { reason };
    this.#leg?.cancel(reason);
  }

  move(nextHop: string): void {
    this.#movedTo = nextHop;
    this.#leg?.move(nextHop);
  }

  async #begin(legs: Legs, request: LegRequest): Promise<void> {
    const { body } = await translated(this.#media, 'offer', 'caller', request);
    this.#leg = legs.start(
      { ...request, body, nextHop: this.#movedTo ?? request.nextHop },
      {
        progress: (response, reliable, early) =>
          this.#turn.do(async () => {
            const helped = await translated(this.#media, this.#kind, 'callee', response);
            this.#events.progress(helped, reliable, early === undefined ? undefined : this.#earlyOf(early));
          }),
        failed: (response, local) =>
          this.#turn.do(async () => {
            this.#media.end();
            this.#events.failed(response, local);
          }),
        answered: (response, dialog, ack) =>
          this.#turn.do(async () => {
            const helped = await translated(this.#media, this.#kind, 'callee', response);
            this.#events.answered(helped, new HelpedDialog(dialog, this.#media), (content) => this.#ack(ack, content));
          }),
      },
    );
    // one start is one INVITE, also for a phone that is only to hear that its call is over
    if (this.#cancelled !== undefined) this.#leg.cancel(this.#cancelled.reason);
  }

  get #kind(): 'offer' | 'answer' {
    return this.#offers ? 'answer' : 'offer';
  }

  #ack(ack: (content?: AckContent) => void, content: AckContent | undefined): void {
    if (content === undefined) ack();
    else void translated(this.#media, 'answer', 'caller', content).then(ack);
  }

  /** The same object for the same early dialog, as the port promises. */
  #earlyOf(early: EarlyDialog): EarlyDialog {
    const known = this.#early.get(early) ?? new HelpedEarlyDialog(early, this.#media);
    this.#early.set(early, known);
    return known;
  }
}
