/**
 * Ties the two dialogs of an answered call: what one side says inside its dialog is said to the other with all its headers
 * and bodies, and the answer goes back unchanged. Which of two crossing events wins is decided in core/bridge-state.
 */
import {
  type Bridge,
  type BridgeEffect,
  type BridgeEvent,
  type ByeReason,
  type End,
  otherEnd,
  step,
  talking,
} from '../core/bridge-state.ts';
import { passAck, passAnswer, type PassOptions, passProgress, passRequest, type Side } from '../core/pass-headers.ts';
import { oneOfEachProtocol } from '../core/reasons.ts';
import type { Dialog, DialogAnswer } from '../ports/dialog.ts';
import type { Log } from '../ports/log.ts';
import type { InviteTransaction, ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
import type { SipRequest, SipResponse } from '../sip/message.ts';
import { answerOf } from './answer-of.ts';
import type { BridgedDialogs } from './bridged-dialogs.ts';
import { withDescription } from './description.ts';
import { type Heartbeat, watch } from './heartbeat.ts';

/** Of a subscription that shares the dialog, such as that of a transfer: a 408 or 481 ends that one, not the call (RFC 5057 5.1). */
const ownUsage = new Set(['NOTIFY', 'SUBSCRIBE']);

export interface BridgeOptions {
  readonly log: Log;
  /** Call-ID of the caller, for the log */
  readonly callId: string;
  /** exactly once, when both sides have ended */
  readonly onOver: () => void;
  /** what the two ends are; for identities at the border of trust */
  readonly caller?: Side;
  readonly callee?: Side;
  /** the edge's own realm; credentials for it end here */
  readonly realm?: string | undefined;
  /** phones are not told identities (config calls.identity_to_phones) */
  readonly keepsIdentities?: boolean;
  /** lets Replaces and Refer-To name dialogs of ours */
  readonly dialogs?: BridgedDialogs;
  /** asks both sides now and then whether they are still there; when left out a loss shows with the next request only */
  readonly heartbeat?: Heartbeat;
}

export interface BridgedCall {
  /** Hangs up on both sides; `why` is for the log and for Reason. Safe at any time. */
  end(why: string): void;
}

export function bridge(caller: Dialog, callee: Dialog, options: BridgeOptions): BridgedCall {
  return new Runner(caller, callee, options);
}

/** A re-INVITE of one side that is not finished. */
interface Change {
  readonly transaction: InviteTransaction;
  readonly cancel: AbortController;
  /** header fields for the CANCEL on the other side */
  cancelHeaders: Headers;
  /** sends the ACK the other side waits for */
  ack: DialogAnswer['ack'];
  /** the reliable provisional that carried the answer to the offer */
  described: SipResponse | undefined;
}

class Runner implements BridgedCall {
  readonly #dialogs: Readonly<Record<End, Dialog>>;
  readonly #options: BridgeOptions;
  readonly #forget: (() => void) | undefined;
  #stopWatching: readonly (() => void)[] = [];
  #bridge: Bridge = talking;
  readonly #queue: { readonly event: BridgeEvent; readonly transaction: ServerTransaction | undefined }[] = [];
  #busy = false;
  #change: Change | undefined;
  /** the BYE that ended the call, passed on with what it says */
  #bye: SipRequest | undefined;
  #why = '';

  constructor(caller: Dialog, callee: Dialog, options: BridgeOptions) {
    this.#dialogs = { caller, callee };
    this.#options = options;
    this.#forget = options.dialogs?.add(caller, callee);
    for (const end of ['caller', 'callee'] as const) {
      this.#dialogs[end].onEnd((why) => {
        this.#why ||= why;
        this.#tell({ is: 'ended', side: end });
      });
    }
    const { heartbeat } = options;
    // an end above may have come already, and then nobody is left to be watched
    if (heartbeat !== undefined && this.#bridge.at === 'talking')
      this.#stopWatching = (['caller', 'callee'] as const).map((side) =>
        watch(this.#dialogs[side], heartbeat, () => this.#tell({ is: 'lost', side })),
      );
    // also when it is over already: requests then get their answer all the same
    for (const end of ['caller', 'callee'] as const)
      this.#dialogs[end].onRequest((transaction) => this.#requested(end, transaction));
  }

  end(why: string): void {
    this.#why ||= why;
    this.#tell({ is: 'hang-up' });
  }

  #requested(from: End, transaction: ServerTransaction | InviteTransaction): void {
    const { method } = transaction.request;
    if (method === 'BYE') {
      this.#bye ??= transaction.request;
      this.#tell({ is: 'bye', from }, transaction);
    } else if (method === 'INVITE') this.#tell({ is: 'reinvite', from }, transaction);
    else if (this.#bridge.at !== 'talking') void transaction.respond({ status: 481 });
    else void this.#relay(from, transaction);
  }

  /** One event at a time; what effects cause waits, so that no step sees half a state. `transaction`: the request it is about. */
  #tell(event: BridgeEvent, transaction?: ServerTransaction): void {
    this.#queue.push({ event, transaction });
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const [bridge, effects] = step(this.#bridge, next.event);
      this.#bridge = bridge;
      for (const effect of effects) this.#perform(effect, next.transaction);
    }
    this.#busy = false;
  }

  #perform(effect: BridgeEffect, transaction: ServerTransaction | undefined): void {
    switch (effect.do) {
      case 'answer-bye':
        return void transaction?.respond({ status: 200 });
      case 'send-bye':
        return void this.#sendBye(effect.to, effect.because);
      case 'relay-reinvite':
        return void this.#relayChange(effect.from, transaction as InviteTransaction);
      case 'refuse-reinvite':
        return void transaction?.respond(refusal(effect.status));
      case 'drop-reinvite':
        return this.#dropChange();
      case 'close':
        return this.#dialogs[effect.side].close();
      case 'over':
        this.#forget?.();
        for (const stop of this.#stopWatching) stop();
        this.#options.log.info(
          { callId: this.#options.callId, ending: effect.because, reason: this.#why },
          'call over',
        );
        return this.#options.onOver();
      default:
        return effect satisfies never;
    }
  }

  async #relay(from: End, transaction: ServerTransaction): Promise<void> {
    const to = otherEnd(from);
    const { method, headers, body } = transaction.request;
    // what was read together with the answer that began the dialog it names: that one is entered first
    if (method === 'REFER' && /[?&]replaces=/i.test(headers.get('refer-to') ?? ''))
      await new Promise((resolve) => setImmediate(resolve));
    const { response, local } = await this.#dialogs[to].request({
      method,
      headers: passRequest(headers, this.#border(from)),
      body,
    });
    if ((response.status === 408 || response.status === 481) && !ownUsage.has(method)) {
      // never a 408 to a non-INVITE (RFC 4320); this dialog is about to end anyway
      void transaction.respond({ status: 481 });
      this.#tell({ is: 'lost', side: to });
    } else void transaction.respond(answerOf({ response, local }, this.#border(to)));
  }

  async #relayChange(from: End, transaction: InviteTransaction): Promise<void> {
    const to = otherEnd(from);
    const { headers, body } = transaction.request;
    const change: Change = {
      transaction,
      cancel: new AbortController(),
      cancelHeaders: Headers.empty(),
      ack: undefined,
      described: undefined,
    };
    this.#change = change;
    transaction.onCancel((cancel) => {
      change.cancelHeaders = reasonsOf(cancel.headers);
      change.cancel.abort();
    });
    const answer = await this.#dialogs[to].request({
      method: 'INVITE',
      headers: passRequest(headers, this.#border(from)),
      body,
      cancel: change.cancel.signal,
      cancelHeaders: () => change.cancelHeaders,
      progress: (response, reliable) => this.#relayProgress(to, change, response, reliable),
    });
    const { status } = answer.response;
    if (answer.ack !== undefined) await this.#relayChanged(from, change, answer);
    else {
      void transaction.respond(
        answer.local && status !== 408 && status !== 481
          ? { status: 480 }
          : {
              status,
              reason: answer.response.reason,
              headers: passAnswer(answer.response.headers, status, this.#border(to)),
              body: answer.response.body,
            },
      );
      this.#forgetChange(change);
      this.#tell({ is: 'reinvite-failed', from });
      if (status === 408 || status === 481) this.#tell({ is: 'lost', side: to });
    }
  }

  /** The other side takes its time, as when somebody is asked whether he wants to be seen. */
  #relayProgress(from: End, change: Change, response: SipResponse, reliable: boolean): void {
    if (this.#change !== change) return;
    const hasBody = response.body !== '';
    if (reliable && hasBody) change.described = response;
    void change.transaction.respond({
      status: response.status,
      reason: response.reason,
      headers: passProgress(response.headers, hasBody, this.#border(from)),
      ...(hasBody ? { body: response.body } : {}),
      ...(reliable && hasBody ? { reliable } : {}),
    });
  }

  /** A 2xx: with a late offer the ACK of the one who asked carries the answer, so the other side's ACK waits for it. */
  async #relayChanged(from: End, change: Change, { response: answer, ack }: DialogAnswer): Promise<void> {
    const lateOffer = change.transaction.request.body === '';
    // what the other side has told reliably the one who asked has perhaps not heard
    const response = lateOffer ? answer : withDescription(answer, change.described);
    if (this.#change !== change || !lateOffer) ack?.();
    if (this.#change !== change) return;
    if (lateOffer) change.ack = ack;
    this.#dialogs[from].onAck((received) => {
      // an ACK that nobody waited for, such as that of the first INVITE, may still be kept for us
      if (this.#change !== change || !acknowledges(received, change.transaction.request)) return;
      if (lateOffer) ack?.({ headers: passAck(received.headers), body: received.body });
      this.#forgetChange(change);
      this.#tell({ is: 'acked', from });
    });
    this.#tell({ is: 'reinvite-answered', from });
    const accepted = await change.transaction.accept({
      status: response.status,
      reason: response.reason,
      headers: passAnswer(response.headers, response.status, this.#border(otherEnd(from))),
      body: response.body,
    });
    if (accepted !== undefined || this.#change !== change) return;
    // the asker gave up in the same moment; the other side has changed its session all the same and must hear an ACK
    change.ack?.();
    this.#forgetChange(change);
    this.#tell({ is: 'reinvite-failed', from });
  }

  #dropChange(): void {
    const change = this.#change;
    if (change === undefined) return;
    this.#change = undefined;
    change.ack?.();
    change.cancel.abort();
    void change.transaction.respond({ status: 487 });
  }

  #forgetChange(change: Change): void {
    if (this.#change === change) this.#change = undefined;
  }

  async #sendBye(to: End, because: ByeReason): Promise<void> {
    const headers =
      because === 'other-hung-up' && this.#bye !== undefined
        ? passRequest(this.#bye.headers, this.#border(otherEnd(to)))
        : Headers.of([['Reason', this.#reason(because)]]);
    const body = because === 'other-hung-up' ? (this.#bye?.body ?? '') : '';
    // whatever the answer, a 410 or 503 of the engine too: there is nothing left to say
    await this.#dialogs[to].request({ method: 'BYE', headers, body });
    this.#tell({ is: 'bye-over', side: to });
  }

  #reason(because: ByeReason): string {
    if (/^(?:SIP|Q\.850)\s*;/i.test(this.#why)) return this.#why;
    if (because === 'stopping') return `SIP;cause=503;text="${quotable(this.#why)}"`;
    return 'SIP;cause=480;text="Other side lost"';
  }

  #border(from: End): PassOptions {
    const { caller = 'upstream', callee = 'upstream', realm, dialogs, keepsIdentities = false } = this.#options;
    const [sender, receiver] = from === 'caller' ? [caller, callee] : [callee, caller];
    return {
      from: sender,
      towards: receiver,
      realm,
      keepsIdentities,
      ...(dialogs === undefined
        ? {}
        : {
            translate: (names) => dialogs.translate(names),
            across: (uri) =>
              receiver === 'phone'
                ? (dialogs.towardsPhone(uri) ?? undefined)
                : dialogs.ofPhone(this.#dialogs[from], uri),
          }),
    };
  }
}

/** An ACK has the CSeq number of its INVITE (RFC 3261 13.2.2.4). */
function acknowledges(ack: SipRequest, invite: SipRequest): boolean {
  return Number.parseInt(ack.headers.get('CSeq') ?? '', 10) === Number.parseInt(invite.headers.get('CSeq') ?? '', 10);
}

function refusal(status: 491 | 500 | 481): { readonly status: number; readonly headers?: Headers } {
  return status === 500 ? { status, headers: Headers.of([['Retry-After', '3']]) } : { status };
}

function reasonsOf(headers: Headers): Headers {
  return Headers.of(oneOfEachProtocol(headers.list('reason')).map((value): [string, string] => ['Reason', value]));
}

function quotable(text: string): string {
  return text.replace(/["\\\r\n]/g, ' ');
}
