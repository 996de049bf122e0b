/**
 * What apps answer to requests of the network, as responses (RFC 3261 12.1.1, 13.3; RFC 3262 3): headers, dialogs, copies of
 * the 2xx, turns of reliable provisionals. drachtio-protocol B.4.
 */
import { parseMessage, type SipResponse } from '../sip/message.ts';
import type { AppLink } from './control/app-link.ts';
import { type Core, ownContact, peerOf } from './core.ts';
import { Dialog, dialogId, pointsAlong } from './dialog/dialog.ts';
import { PendingAck } from './dialog/pending-ack.ts';
import { ReliableProvisionals } from './dialog/reliable-provisionals.ts';
import { refreshTarget } from './dialog/requests.ts';
import { uuid } from './ids.ts';
import { appLines, printResponse } from './printing.ts';
import { expiryIn, noMemo, takeTag } from './request-memo.ts';
import type { ServerTransactions } from './server-transactions.ts';
import type { ServerTransaction } from './transaction/server-transaction.ts';

const unknownTransaction = 'Response not sent due to unknown transaction';

/** One answer of an app to an INVITE, on its way to the wire. */
interface InviteAnswer {
  readonly app: AppLink;
  readonly msgId: string;
  readonly transaction: ServerTransaction;
  readonly response: SipResponse;
  readonly lines: string;
}

export class UasAnswers {
  readonly #core: Core;
  readonly #transactions: ServerTransactions;
  readonly #end: (dialog: Dialog) => void;

  constructor(core: Core, transactions: ServerTransactions, end: (dialog: Dialog) => void) {
    this.#core = core;
    this.#transactions = transactions;
    this.#end = end;
  }

  onResponse(app: AppLink, msgId: string, txn: string, message: string): void {
    const parsed = parseMessage(message);
    const transaction = this.#transactions.get(txn);
    if (parsed.kind !== 'response') {
      app.notOk(msgId, 'Unknown server error sending response');
      return;
    }
    if (transaction === undefined || (!transaction.flow.open && transaction.method !== 'INVITE')) {
      if (transaction !== undefined) transaction.dispatch('abandoned');
      app.notOk(msgId, unknownTransaction);
      return;
    }
    if (!transaction.flow.open && !this.#reopen(transaction)) {
      app.notOk(msgId, 'transport for response has been shutdown or closed');
      return;
    }
    if (transaction.method === 'INVITE') this.#answerInvite(app, msgId, transaction, parsed);
    else this.#answerOther(app, msgId, transaction, parsed);
  }

  /** The caller's connection is gone: open one to its address and sent-by port (RFC 3261 18.2.2). */
  #reopen(transaction: ServerTransaction): boolean {
    const { listener, remoteAddress } = transaction.flow;
    const flow = this.#core.transports.flowTo({
      transport: listener.transport,
      address: remoteAddress,
      port: transaction.sentByPort,
    });
    if (flow?.open !== true) return false;
    transaction.flow = flow;
    return true;
  }

  #answerOther(app: AppLink, msgId: string, transaction: ServerTransaction, response: SipResponse): void {
    const { status, reason, headers, body } = response;
    let lines = appLines(headers, body, false);
    if (lines === undefined) {
      app.notOk(msgId, 'missing content-type');
      return;
    }
    takeTag(transaction, response);
    const success = status >= 200 && status < 300;
    const { method, memo = noMemo, flow } = transaction;
    let { dialog } = transaction;
    const refreshes = dialog !== undefined && success;
    if (method === 'SUBSCRIBE' && success) {
      if (!headers.has('contact')) lines = `Contact: ${ownContact(flow)}\r\n${lines}`;
      if (dialog === undefined && memo.target !== '') dialog = this.#dialogFor(transaction, app, true);
      if (dialog !== undefined) this.#core.keepSubscription(dialog, expiryIn(response));
    }
    // a target refresh needs the target of both sides (RFC 3311 5.2)
    if (method === 'UPDATE' && success && !headers.has('contact')) lines = `Contact: ${ownContact(flow)}\r\n${lines}`;
    if (status > 100 && status < 300) lines = transaction.recordRoutes + lines;
    if (success && method === 'REGISTER') this.#core.transports.noteRegistered(flow);
    if (success && memo.binding !== '') this.#core.registrations.remember(memo.binding, flow, expiryIn(response));
    const text = printResponse(status, reason, transaction, lines, body);
    const peer = { protocol: '', address: flow.remoteAddress, port: flow.remotePort };
    const { id } = transaction;
    if (!this.#transactions.finish(transaction, status, text)) {
      app.notOk(msgId, unknownTransaction);
      return;
    }
    app.responseSent(msgId, text, peer, id, method === 'BYE' ? '' : (dialog?.id ?? ''));
    if (dialog === undefined) return;
    if (refreshes) refreshTarget(dialog, memo.target, flow, memo.forSize);
    if (method !== 'UPDATE' || !success) return;
    noteSdp(dialog, response);
    if (dialog.confirmed) this.#core.agreeSession(dialog, headers, 'uas');
  }

  #answerInvite(app: AppLink, msgId: string, transaction: ServerTransaction, response: SipResponse): void {
    const { status, headers, body } = response;
    let lines = appLines(headers, body, false);
    if (lines === undefined) {
      app.notOk(msgId, 'missing content-type');
      return;
    }
    const { flow, memo = noMemo, id } = transaction;
    if (status === 100) {
      const text = transaction.trying();
      const dialogIdOf = transaction.dialog?.id ?? dialogId(transaction.callId, transaction.fromTag);
      if (transaction.answer(status, text)) app.responseSent(msgId, text, peerOf(flow), id, dialogIdOf);
      else app.notOk(msgId, unknownTransaction);
      return;
    }
    takeTag(transaction, response);
    const success = status >= 200 && status < 300;
    const reliable = status < 200 && (headers.get('require') ?? '').toLowerCase().includes('100rel');
    if (reliable && !memo.takesReliable) {
      app.notOk(msgId, 'Remote endpoint does not support 100rel');
      return;
    }
    if (
      status < 300 &&
      transaction.dialog === undefined &&
      this.#dialogFor(transaction, app, status >= 200) === undefined
    ) {
      this.#transactions.answer(transaction, 480, 'Temporarily Unavailable');
      app.notOk(msgId, 'dialog already exists, rejecting this request');
      return;
    }
    if ((reliable || success) && !headers.has('contact')) lines = `Contact: ${ownContact(flow)}\r\n${lines}`;
    if (status < 300) lines = transaction.recordRoutes + lines;
    const answer: InviteAnswer = { app, msgId, transaction, response, lines };
    const turn = {
      send: (rseq: number) => this.#sendToCaller(answer, rseq),
      drop: () => app.notOk(msgId, unknownTransaction),
    };
    const { dialog } = transaction;
    if (reliable && dialog !== undefined) this.#reliableOf(transaction, dialog).provisional(turn, body !== '');
    else if (success && dialog?.reliable !== undefined && transaction.reliable === dialog.reliable)
      dialog.reliable.success(turn);
    else turn.send(0);
  }

  #reliableOf(transaction: ServerTransaction, dialog: Dialog): ReliableProvisionals {
    if (dialog.reliable !== undefined && transaction.reliable === dialog.reliable) return dialog.reliable;
    dialog.reliable?.stop();
    const begun = new ReliableProvisionals(transaction, this.#core.wheel, this.#core.settings.timers, () => {
      // RFC 3262 3: nobody heard what it had to hear
      this.#core.counters.inDialogRefused++;
      this.#transactions.answer(transaction, 504, 'Server Time-out');
      if (!dialog.confirmed) this.#end(dialog);
    });
    dialog.reliable = begun;
    transaction.reliable = begun;
    return begun;
  }

  /** Its turn has come. Returns the text; '' when nobody takes it any more. */
  #sendToCaller({ app, msgId, transaction, response, lines }: InviteAnswer, rseq: number): string {
    const { status, reason, body } = response;
    const { dialog, flow, id, memo = noMemo } = transaction;
    const numbered = rseq === 0 ? lines : `RSeq: ${rseq}\r\n${lines}`;
    const text = printResponse(status, reason, transaction, numbered, body);
    if (!this.#transactions.finish(transaction, status, text)) {
      app.notOk(msgId, unknownTransaction);
      return '';
    }
    app.responseSent(msgId, text, peerOf(flow), id, dialog?.id ?? dialogId(transaction.callId, transaction.fromTag));
    if (dialog === undefined) return text;
    if (status < 300 && (rseq > 0 || status >= 200)) {
      if (dialog.confirmed) refreshTarget(dialog, memo.target, flow, memo.forSize);
      noteSdp(dialog, response);
    }
    if (status >= 300 && !dialog.confirmed) this.#end(dialog);
    if (status >= 200 && status < 300) this.#answered2xx(dialog, transaction, response, text);
    return text;
  }

  /** The dialog is up: repeat the 2xx until its ACK, and end the dialog when none comes (RFC 3261 13.3.1.4). */
  #answered2xx(dialog: Dialog, transaction: ServerTransaction, response: SipResponse, text: string): void {
    const initial = !dialog.confirmed;
    dialog.confirmed = true;
    dialog.pendingAck?.stop();
    dialog.pendingAck = new PendingAck(
      { seq: transaction.seq, txn: initial ? transaction.id : uuid(), text, flow: transaction.flow },
      this.#core.wheel,
      this.#core.settings.timers,
      () => this.#core.endDialog(dialog, 'ACK timeout'),
    );
    this.#core.agreeSession(dialog, response.headers, 'uas');
  }

  /** Makes the dialog of an answer; undefined when another one has its id. */
  #dialogFor(transaction: ServerTransaction, app: AppLink, confirmed: boolean): Dialog | undefined {
    const { memo = noMemo, flow, to, method } = transaction;
    const behindNat = memo.routes.length === 0 && memo.target !== '' && !pointsAlong(memo.target, flow);
    const dialog = new Dialog({
      id: dialogId(transaction.callId, transaction.fromTag),
      begunBy: method === 'SUBSCRIBE' ? 'SUBSCRIBE' : 'INVITE',
      ours: false,
      callId: transaction.callId,
      owner: transaction.app?.open === true ? transaction.app : app,
      local: to,
      localTag: transaction.toTag,
      remote: transaction.from,
      remoteTag: transaction.fromTag,
      localSeq: transaction.seq,
      remoteSeq: transaction.seq,
      target: memo.target,
      routes: memo.routes,
      flow,
      alongFlow: flow.listener.reliable || memo.target === '' || behindNat,
      behindNat,
    });
    if (!this.#core.dialogs.add(dialog, false)) return undefined;
    if (method === 'SUBSCRIBE') dialog.confirmed = confirmed;
    else dialog.invite = transaction;
    dialog.takesUpdate = memo.takesUpdate;
    transaction.dialog = dialog;
    return dialog;
  }
}

/** Keeps what a refresh of ours would have to offer again, where a session timer is spoken of at all. */
function noteSdp(dialog: Dialog, { headers, body }: SipResponse): void {
  if (body.startsWith('v=0') && headers.has('session-expires')) dialog.localSdp = body;
}
