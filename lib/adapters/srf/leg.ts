/** INVITEs of ours (RFC 3261 17.1.1). The next hop says where one goes, whatever its request-URI (see SrfServerTransaction on REGISTER). */
import type { ServerTransaction } from '../../ports/server-transaction.ts';
import type { Leg, LegEvents, LegRequest, Legs } from '../../ports/leg.ts';
import { Headers } from '../../sip/headers.ts';
import type { SipRequest, SipResponse } from '../../sip/message.ts';
import { parseMessage } from '../../sip/message.ts';
import { tagOf } from '../../sip/name-addr.ts';
import { composeRequest, fitsMetaLine, metaTowards } from './compose.ts';
import { ackOnce, dialogOf, placeholder } from './dialog.ts';
import { SrfEarlyDialog } from './early-dialog.ts';
import type { EarlyParty, Exchange, Outgoing } from './exchange.ts';
import { localResponse } from './local-response.ts';
import type { Reply } from './link.ts';
import { Pracks } from './pracks.ts';

/** The engine gives up a cancelled INVITE after 32 s; this only catches one that forgot to say so. */
const endsAfterCancelWithin = 40_000;

export class SrfLegs implements Legs {
  readonly #current: () => Exchange | undefined;

  constructor(current: () => Exchange | undefined) {
    this.#current = current;
  }

  start(request: LegRequest, events: LegEvents): Leg {
    return new SrfLeg(this.#current(), request, events);
  }
}

class SrfLeg implements Leg, EarlyParty, Outgoing {
  callId: string | undefined;
  readonly #exchange: Exchange | undefined;
  readonly #events: LegEvents;
  readonly #pracks: Pracks | undefined;
  #txn: string | undefined;
  /** by the engine's name for it; one for each who rings */
  readonly #early = new Map<string, SrfEarlyDialog>();
  #over = false;
  #cancelled: { readonly reason: string | undefined } | undefined;
  #stopGuard: (() => void) | undefined;
  /** The engine said nothing to it for too long; it may send it yet. */
  #abandoned = false;
  /** it is one of a dialog that stands */
  readonly #isWithin: boolean;

  constructor(exchange: Exchange | undefined, request: LegRequest, events: LegEvents) {
    this.#exchange = exchange;
    this.#events = events;
    this.#isWithin = tagOf(request.headers.get('To') ?? '') !== undefined;
    this.#pracks = exchange === undefined ? undefined : new Pracks(exchange);
    const routes = exchange?.surroundings.takesRoutes === true ? request.routes : undefined;
    const text = composeRequest('INVITE', request.uri, request.headers, request.body, routes);
    if (text === undefined || !fitsMetaLine(request.nextHop)) this.#failSoon(400);
    else if (exchange === undefined || !exchange.alive) this.#failSoon(503);
    else {
      const { sendsWithinMs, clock } = exchange.surroundings;
      if (sendsWithinMs !== undefined) this.#stopGuard = clock.after(sendsWithinMs, () => this.#abandon());
      exchange.request(metaTowards(request.nextHop, routes), text, this);
    }
  }

  cancel(reason?: string): void {
    if (this.#over || this.#cancelled !== undefined) return;
    this.#cancelled = { reason };
    if (this.#txn !== undefined) this.#sendCancel();
  }

  move(nextHop: string): void {
    const exchange = this.#exchange;
    if (this.#over || this.#txn === undefined || exchange?.surroundings.movesFlows !== true || !fitsMetaLine(nextHop))
      return;
    const text = composeRequest('INVITE', placeholder, Headers.empty(), '');
    if (text !== undefined) exchange.tell(`${this.#txn}||${nextHop}`, text);
  }

  sent(txn: string, reply: Reply): void {
    this.#txn = txn;
    if (this.#abandoned) return this.#sendCancel();
    this.#stopGuard?.();
    const invite = parseMessage(reply.text());
    if (invite.kind === 'request') this.callId = invite.headers.get('call-id');
    if (this.#cancelled !== undefined) this.#sendCancel();
  }

  refused(): void {
    this.#fail(localResponse(this.#exchange?.alive === true ? 500 : 503), true);
  }

  response(response: SipResponse, local: boolean, dialogId: string): void {
    if (this.#abandoned) return this.#late(response, dialogId);
    if (this.#over) return;
    if (response.status >= 300) this.#fail(response, local);
    else if (response.status >= 200) this.#answered(response, dialogId);
    else {
      const early = response.status > 100 && dialogId !== '' ? this.#earlyDialog(dialogId) : undefined;
      const provisional = this.#pracks?.take(response, dialogId) ?? 'plain';
      if (provisional !== 'repeated') this.#events.progress(response, provisional === 'reliable', early);
    }
  }

  requested(dialogId: string, transaction: ServerTransaction): boolean {
    return this.#early.get(dialogId)?.requested(transaction) === true;
  }

  /** A PRACK towards an INVITE of ours makes no sense; it has been answered. */
  acknowledged(): void {}

  /** The callee may not send BYE before it answered (RFC 3261 15); its final answer will follow. */
  hungUp(_bye: SipRequest): void {}

  #answered(response: SipResponse, dialogId: string): void {
    const exchange = this.#exchange as Exchange;
    this.#end();
    const dialog = dialogOf(exchange, dialogId, response);
    this.#events.answered(response, dialog, ackOnce(exchange, dialogId, placeholder));
  }

  /** For whoever started it this is a dead flow; should the engine send it after all, it is taken back. */
  #abandon(): void {
    this.#fail(localResponse(503), true);
    this.#abandoned = true;
  }

  /** Our CANCEL has crossed this. */
  #late(response: SipResponse, dialogId: string): void {
    if (response.status >= 200) this.#stopGuard?.();
    if (response.status < 200 || response.status >= 300) return;
    const exchange = this.#exchange as Exchange;
    const dialog = dialogOf(exchange, dialogId, response);
    ackOnce(exchange, dialogId, placeholder)();
    if (this.#isWithin) return dialog.close();
    void dialog.request({ method: 'BYE', headers: Headers.empty(), body: '' }).then(() => dialog.close());
  }

  #failSoon(status: number): void {
    queueMicrotask(() => this.#fail(localResponse(status), true));
  }

  #fail(response: SipResponse, local: boolean): void {
    if (this.#over) return;
    this.#end();
    this.#events.failed(response, local);
  }

  #end(): void {
    this.#over = true;
    this.#stopGuard?.();
    for (const [id, early] of this.#early) {
      early.end();
      this.#exchange?.leaveEarly(id, this);
    }
    this.#early.clear();
  }

  #earlyDialog(id: string): SrfEarlyDialog {
    let early = this.#early.get(id);
    if (early !== undefined) return early;
    const exchange = this.#exchange as Exchange;
    early = new SrfEarlyDialog(exchange, id);
    this.#early.set(id, early);
    exchange.enterEarly(id, this);
    return early;
  }

  #sendCancel(): void {
    const exchange = this.#exchange as Exchange;
    const reason = this.#cancelled?.reason;
    const headers = reason === undefined ? Headers.empty() : Headers.of([['Reason', reason]]);
    const text = composeRequest('CANCEL', placeholder, headers, '');
    if (text !== undefined) exchange.tell(`${this.#txn}|`, text);
    this.#stopGuard = exchange.surroundings.clock.after(endsAfterCancelWithin, () => {
      exchange.forget(this.#txn as string);
      this.#fail(localResponse(487), true);
    });
  }
}
