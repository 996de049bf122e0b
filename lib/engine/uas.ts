/**
 * The side that answers (RFC 3261 8.2, 9.2, 12.2.2, 14.2, 15.1.2; RFC 3262 3): matches requests to transactions and dialogs and
 * gives them to apps. What the apps answer is in uas-answers.ts. drachtio-protocol B.1, B.6.
 */
import { randomInt } from 'node:crypto';
import type { AppLink } from './control/app-link.ts';
import { type Core, peerOf } from './core.ts';
import type { Dialog } from './dialog/dialog.ts';
import { readSessionExpires } from './dialog/session-clock.ts';
import { shortestSession } from './dialog/session-timer.ts';
import { endsSubscription } from './dialog/subscription.ts';
import { refusalOf } from './dialog/turns.ts';
import { printResponse } from './printing.ts';
import type { Read, Request } from './reading.ts';
import { memoOf, namesUpdate, transactionKey } from './request-memo.ts';
import { ServerTransactions } from './server-transactions.ts';
import type { ServerTransaction } from './transaction/server-transaction.ts';
import type { Flow } from './transport/flow.ts';
import { UasAnswers } from './uas-answers.ts';

/** Methods that get 503 while no app wants them; anything else is 405 or 501. */
const served = new Set(['INVITE', 'REGISTER', 'OPTIONS', 'MESSAGE', 'SUBSCRIBE', 'NOTIFY', 'PUBLISH', 'INFO']);
/** What is refused while the engine drains: new calls and subscriptions, and the question whether we take any. */
const refusedInDrain = new Set(['INVITE', 'SUBSCRIBE', 'OPTIONS']);
/** Methods that mean nothing outside a dialog. */
const needDialog = new Set(['INVITE', 'BYE', 'UPDATE', 'PRACK']);
const allow =
  'Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, INFO, UPDATE, PRACK\r\n';
/** Octets above which RFC 3261 18.1.1 has a sender prefer TCP. */
const largeRequest = 1300;

export class Uas {
  readonly #core: Core;
  readonly #transactions: ServerTransactions;
  readonly #answers: UasAnswers;
  #draining = false;

  constructor(core: Core) {
    this.#core = core;
    this.#transactions = new ServerTransactions(core, (transaction) => {
      this.#transactions.answer(transaction, 480, 'Temporarily Unavailable');
      if (transaction.dialog?.confirmed === false) this.end(transaction.dialog);
    });
    this.#answers = new UasAnswers(core, this.#transactions, (dialog) => this.end(dialog));
  }

  /** Transactions the engine holds, and answers kept for copies. */
  get sizes(): { readonly open: number; readonly answered: number } {
    return this.#transactions.sizes;
  }

  /** Requests an app may still answer. */
  get waiting(): number {
    return this.#transactions.offered;
  }

  drain(): void {
    this.#draining = true;
  }

  /** Nobody will answer any more: refuses what waits. */
  giveUp(): void {
    for (const transaction of this.#transactions.all()) {
      this.#transactions.answer(transaction, 503, 'Service Unavailable');
      if (transaction.dialog?.confirmed === false) this.end(transaction.dialog);
    }
  }

  /** True while the request waits for its first answer. */
  knows(txn: string): boolean {
    return this.#transactions.get(txn)?.parked === true;
  }

  onResponse(app: AppLink, msgId: string, txn: string, message: string): void {
    this.#answers.onResponse(app, msgId, txn, message);
  }

  refuse(read: Read & { readonly is: 'refused' }, flow: Flow): void {
    this.#transactions.refuse(read, flow);
  }

  onRequest(request: Request): void {
    const key = transactionKey(request, request.method === 'ACK' ? 'INVITE' : request.method);
    const standing = this.#transactions.standing(key);
    if (request.method === 'ACK') {
      if (standing !== undefined && (standing.state === 'completed' || standing.state === 'confirmed'))
        standing.dispatch('ack');
      else this.#onAck(request);
      return;
    }
    if (standing !== undefined) {
      this.#core.counters.retransmissions++;
      // the peer came back over another connection
      if (!standing.flow.open) standing.flow = request.flow;
      standing.dispatch('request-again');
      return;
    }
    const answered = this.#transactions.keptAnswer(key);
    if (answered !== undefined) {
      this.#core.counters.retransmissions++;
      request.flow.send(answered);
      return;
    }
    if (request.method === 'CANCEL') this.#onCancel(request, key);
    else if (request.toTag === '') this.#onNew(request, key);
    else {
      const dialog = this.#core.dialogs.findFor(request.callId, request.fromTag, request.toTag);
      if (dialog === undefined) this.#onNew(request, key);
      else this.#onInDialog(request, key, dialog);
    }
  }

  /** The peer's INVITE of a dialog that ends: it gets its answer before (RFC 3261 15.1.2). */
  endInvite(dialog: Dialog): void {
    const { invite } = dialog;
    if (invite?.state === 'proceeding') this.#transactions.answer(invite, 487, 'Request Terminated');
  }

  /** Ends a dialog; requests of it that nobody will answer any more get 500. */
  end(dialog: Dialog): void {
    this.#core.dialogs.remove(dialog);
    for (const transaction of dialog.open) {
      if (!dialog.owner.open) this.#transactions.answer(transaction, 500, 'Internal Server Error');
    }
    if (!dialog.confirmed) return;
    dialog.open.clear();
  }

  close(): void {
    this.#transactions.close();
  }

  #onNew(request: Request, key: string): void {
    const { method, headers, flow } = request;
    const { routes, settings, counters } = this.#core;
    if (this.#transactions.isFull) {
      counters.overload++;
      this.#transactions.refuse({ status: 503, reason: 'Service Unavailable', method, headers }, flow);
      return;
    }
    const transaction = this.#transactions.begin(request, key);
    if (method === 'INVITE') transaction.flow.send(transaction.trying());
    if (needDialog.has(method) && (method !== 'INVITE' || request.toTag !== '')) {
      this.#refuseInDialog(transaction, 481);
      return;
    }
    if (this.#draining && refusedInDrain.has(method)) {
      counters.overload++;
      this.#transactions.answer(transaction, 503, 'Service Unavailable', 'Retry-After: 5\r\n');
      return;
    }
    // srf unescapes method names: `RE%47ISTER` must not become REGISTER there
    // an app that asked for `*` gets what nobody asked for by name; the original drops that
    const wanted = routes.has(method) || served.has(method) ? method : '*';
    const app = method.includes('%') ? undefined : routes.next(wanted);
    if (app === undefined) {
      // apps there are, but none that reads what it is given
      if (routes.has(wanted) && !method.includes('%')) {
        counters.overload++;
        this.#transactions.answer(transaction, 503, 'Service Unavailable');
      } else if (served.has(method)) this.#transactions.answer(transaction, 503, 'Service Unavailable');
      else if (method === 'REFER') this.#transactions.answer(transaction, 405, 'Method Not Allowed', allow);
      else this.#transactions.answer(transaction, 501, 'Not Implemented');
      return;
    }
    // without Retry-After: a peer that takes it for the whole of us would stay away (RFC 7339 5.10.2)
    if (this.#transactions.offered >= settings.limits.parked) {
      counters.overload++;
      this.#transactions.answer(transaction, 503, 'Service Unavailable');
      return;
    }
    transaction.app = app;
    // a SUBSCRIBE inside a dialog of its two ends (that of a REFER, RFC 3515 2.4.4) refreshes; it begins none here
    if (method !== 'SUBSCRIBE' || request.toTag === '') transaction.memo = memoOf(request);
    this.#transactions.offer(transaction);
    const { listener } = request.flow;
    const on = { host: listener.host, port: listener.toldPort };
    app.newRequest(request.text, peerOf(request.flow), transaction.id, on, request.parsed);
  }

  #onInDialog(request: Request, key: string, dialog: Dialog): void {
    const { method, cseq, headers } = request;
    const transaction = this.#transactions.begin(request, key);
    transaction.dialog = dialog;
    if (method === 'INVITE') transaction.flow.send(transaction.trying());
    if (cseq.number < dialog.remoteSeq) {
      this.#refuseInDialog(transaction, 500);
      return;
    }
    dialog.remoteSeq = cseq.number;
    if (method.includes('%')) {
      this.#transactions.answer(transaction, 501, 'Not Implemented');
      return;
    }
    if (!dialog.owner.open) {
      // nobody is left to answer: a BYE ends the dialog, anything else waits for that end
      if (method === 'BYE') {
        this.#refuseInDialog(transaction, 481);
        this.end(dialog);
      } else {
        dialog.open.add(transaction);
        this.#transactions.offer(transaction);
      }
      return;
    }
    const afterPrack = method === 'PRACK' ? dialog.reliable?.onPrack(headers.get('rack') ?? '') : undefined;
    if (method === 'PRACK' && afterPrack === undefined) {
      this.#refuseInDialog(transaction, 481);
      return;
    }
    if (!this.#isItsTurn(transaction, dialog)) return;
    if (
      (method === 'INVITE' || method === 'UPDATE') &&
      (readSessionExpires(headers)?.seconds ?? Infinity) < shortestSession
    ) {
      this.#core.counters.inDialogRefused++;
      this.#transactions.answer(transaction, 422, 'Session Interval Too Small', `Min-SE: ${shortestSession}\r\n`);
      return;
    }
    // a peer on UDP that took TCP for one large request (RFC 3261 18.1.1) has not moved there
    const forSize =
      request.flow.listener.reliable &&
      !dialog.flow.listener.reliable &&
      dialog.flow.remoteAddress === request.flow.remoteAddress &&
      request.text.length > largeRequest;
    // a device that moved to another connection or port is answered there from now on
    if (dialog.alongFlow && !forSize) dialog.flow = request.flow;
    if (headers.has('allow')) dialog.takesUpdate = namesUpdate(headers);
    transaction.app = dialog.owner;
    transaction.memo = memoOf(request, forSize);
    if (method === 'INVITE') dialog.invite = transaction;
    dialog.open.add(transaction);
    this.#transactions.offer(transaction);
    dialog.owner.received(
      request.text,
      request.text.length,
      peerOf(request.flow),
      transaction.id,
      dialog.id,
      request.parsed,
    );
    afterPrack?.();
    if (method === 'NOTIFY' && dialog.begunBy === 'SUBSCRIBE' && endsSubscription(headers)) this.end(dialog);
    if (method !== 'BYE') return;
    this.endInvite(dialog);
    this.end(dialog);
  }

  /** Refuses an INVITE or UPDATE that comes between; false when it did. */
  #isItsTurn(transaction: ServerTransaction, dialog: Dialog): boolean {
    const { method } = transaction;
    let theirUpdate = false;
    if (method === 'UPDATE') for (const open of dialog.open) theirUpdate ||= open.method === 'UPDATE';
    const refusal = refusalOf(method, { theirInvite: dialog.theyInvite, ourInvite: dialog.weInvite, theirUpdate });
    if (refusal === undefined) return true;
    this.#refuseInDialog(transaction, refusal, refusal === 500 ? `Retry-After: ${randomInt(0, 11)}\r\n` : '');
    return false;
  }

  #refuseInDialog(transaction: ServerTransaction, status: 481 | 491 | 500, lines = ''): void {
    this.#core.counters.inDialogRefused++;
    this.#transactions.answer(transaction, status, refusals[status], lines);
  }

  #onAck(request: Request): void {
    const dialog = this.#core.dialogs.findFor(request.callId, request.fromTag, request.toTag);
    const pending = dialog?.pendingAck;
    if (dialog === undefined || pending === undefined || pending.seq !== request.cseq.number) {
      this.#core.counters.dropped++;
      return;
    }
    if (!pending.onAck()) return;
    const { flow } = request;
    dialog.owner.received(
      request.text,
      request.text.length,
      { protocol: '', address: flow.remoteAddress, port: flow.remotePort },
      pending.txn,
      dialog.id,
      request.parsed,
    );
  }

  #onCancel(request: Request, key: string): void {
    const cancel = this.#transactions.begin(request, key);
    const invite = this.#transactions.standing(transactionKey(request, 'INVITE'));
    if (invite === undefined) {
      this.#refuseInDialog(cancel, 481);
      return;
    }
    // one tag for both answers (RFC 3261 9.2)
    const { vias, from, callId, cseq } = cancel;
    this.#transactions.finish(cancel, 200, printResponse(200, 'OK', { vias, from, callId, cseq, to: invite.to }));
    if (invite.state !== 'proceeding') return;
    const { app, dialog } = invite;
    // before the first 1xx the app knows no dialog
    app?.received(request.text, request.text.length, peerOf(request.flow), invite.id, dialog?.id ?? '');
    this.#transactions.answer(invite, 487, 'Request Terminated');
    if (dialog !== undefined && !dialog.confirmed) this.end(dialog);
  }
}

const refusals = {
  481: 'Call/Transaction Does Not Exist',
  491: 'Request Pending',
  500: 'Server Internal Error',
} as const;
