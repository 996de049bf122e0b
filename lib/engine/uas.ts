/**
 * The side that answers (RFC 3261 8.2, 9.2, 12.1.1, 13.3, 15.1.2; RFC 3262 3): matches requests to transactions and
 * dialogs, gives them to apps, and turns the apps' answers into responses. drachtio-protocol B.1, B.4, B.6.
 */
import { parseMessage, type SipResponse } from '../sip/message.ts';
import type { AppLink } from './control/app-link.ts';
import { type Core, ownContact, peerOf } from './core.ts';
import { contactUri, Dialog, dialogId, pointsAlong } from './dialog/dialog.ts';
import { PendingAck } from './dialog/pending-ack.ts';
import { ReliableProvisional } from './dialog/reliable-provisional.ts';
import { endsSubscription } from './dialog/session-expiry.ts';
import { newTag, uuid } from './ids.ts';
import { appLines, linesOf, printResponse } from './printing.ts';
import type { Read, Request } from './reading.ts';
import { expiryIn, memoOf, noMemo, takeTag, transactionKey } from './request-memo.ts';
import { AnsweredRequests } from './transaction/answered-requests.ts';
import { type ServerHost, ServerTransaction } from './transaction/server-transaction.ts';
import { lengthOf } from './transaction/timer-lengths.ts';
import type { Flow } from './transport/flow.ts';

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
const unknownTransaction = 'Response not sent due to unknown transaction';

export class Uas implements ServerHost {
  readonly #core: Core;
  readonly #byKey = new Map<string, ServerTransaction>();
  readonly #byId = new Map<string, ServerTransaction>();
  readonly #answered: AnsweredRequests;
  /** of all transactions together */
  #octets = 0;
  #draining = false;

  constructor(core: Core) {
    this.#core = core;
    const { timers, limits } = core.settings;
    this.#answered = new AnsweredRequests(core.wheel, lengthOf('timer-j', timers, false), limits.answerBytes);
  }

  get wheel(): Core['wheel'] {
    return this.#core.wheel;
  }

  get timers(): Core['settings']['timers'] {
    return this.#core.settings.timers;
  }

  /** Transactions the engine holds, and answers kept for copies. */
  get sizes(): { readonly open: number; readonly answered: number } {
    return { open: this.#byKey.size, answered: this.#answered.size };
  }

  /** Requests an app may still answer. */
  get waiting(): number {
    return this.#byId.size;
  }

  drain(): void {
    this.#draining = true;
  }

  /** Nobody will answer any more: refuses what waits. */
  giveUp(): void {
    for (const transaction of this.#byId.values()) {
      this.#answer(transaction, 503, 'Service Unavailable');
      if (transaction.dialog?.confirmed === false) this.#end(transaction.dialog);
    }
  }

  /** True while the request waits for its first answer. */
  knows(txn: string): boolean {
    return this.#byId.get(txn)?.parked === true;
  }

  // ---- from the network ----

  onRequest(request: Request): void {
    const key = transactionKey(request, request.method === 'ACK' ? 'INVITE' : request.method);
    const standing = this.#byKey.get(key);
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
    const answered = this.#answered.get(key);
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

  /** An INVITE that was refused lives for half a minute: a flood of them must not take all memory. */
  get #isFull(): boolean {
    const { transactions, transactionBytes } = this.#core.settings.limits;
    return this.#byKey.size >= transactions || this.#octets >= transactionBytes;
  }

  /** Answers what could be read but not be taken; never an ACK (RFC 3261 17.1.1.3 has no answer to it). */
  refuse(read: Read & { readonly is: 'refused' }, flow: Flow): void {
    const { headers, method, status, reason } = read;
    if (method === 'ACK') return;
    const to = headers.get('to');
    let lines = linesOf(headers, 'Via');
    for (const [name, value] of [
      ['From', headers.get('from')],
      ['To', to === undefined ? undefined : /;\s*tag\s*=/i.test(to) ? to : `${to};tag=${newTag()}`],
      ['Call-ID', headers.get('call-id')],
      ['CSeq', headers.get('cseq')],
    ] as const) {
      if (value !== undefined) lines += `${name}: ${value}\r\n`;
    }
    flow.send(`SIP/2.0 ${status} ${reason}\r\n${lines}Content-Length: 0\r\n\r\n`);
  }

  #onNew(request: Request, key: string): void {
    const { method, headers, flow } = request;
    const { routes, settings, counters } = this.#core;
    if (this.#isFull) {
      counters.overload++;
      this.refuse({ is: 'refused', status: 503, reason: 'Service Unavailable', method, headers }, flow);
      return;
    }
    const transaction = this.#begin(request, key);
    if (method === 'INVITE') transaction.flow.send(transaction.trying());
    if (needDialog.has(method) && (method !== 'INVITE' || request.toTag !== '')) {
      this.#answer(transaction, 481, 'Call/Transaction Does Not Exist');
      return;
    }
    if (this.#draining && refusedInDrain.has(method)) {
      counters.overload++;
      this.#answer(transaction, 503, 'Service Unavailable', 'Retry-After: 5\r\n');
      return;
    }
    // srf unescapes method names: `RE%47ISTER` must not become REGISTER there
    const app = method.includes('%') ? undefined : routes.next(method);
    if (app === undefined) {
      // apps there are, but none that reads what it is given
      if (routes.has(method)) {
        counters.overload++;
        this.#answer(transaction, 503, 'Service Unavailable', 'Retry-After: 5\r\n');
      } else if (served.has(method)) this.#answer(transaction, 503, 'Service Unavailable');
      else if (method === 'REFER') this.#answer(transaction, 405, 'Method Not Allowed', allow);
      else this.#answer(transaction, 501, 'Not Implemented');
      return;
    }
    if (this.#byId.size >= settings.limits.parked) {
      counters.overload++;
      this.#answer(transaction, 503, 'Service Unavailable', 'Retry-After: 5\r\n');
      return;
    }
    transaction.app = app;
    transaction.memo = memoOf(request);
    this.#offer(transaction);
    const { listener } = request.flow;
    app.newRequest(request.text, peerOf(request.flow), transaction.id, {
      host: listener.host,
      port: listener.toldPort,
    });
  }

  #onInDialog(request: Request, key: string, dialog: Dialog): void {
    const { method, cseq } = request;
    const transaction = this.#begin(request, key);
    transaction.dialog = dialog;
    if (method === 'INVITE') transaction.flow.send(transaction.trying());
    if (cseq.number < dialog.remoteSeq) {
      this.#answer(transaction, 500, 'Server Internal Error');
      return;
    }
    dialog.remoteSeq = cseq.number;
    if (!dialog.owner.open) {
      // nobody is left to answer: a BYE ends the dialog, anything else waits for that end
      if (method === 'BYE') {
        this.#answer(transaction, 481, 'Call/Transaction Does Not Exist');
        this.#end(dialog);
      } else {
        dialog.open.add(transaction);
        this.#offer(transaction);
      }
      return;
    }
    if (method === 'PRACK' && !this.#acknowledgesProvisional(request, dialog)) {
      this.#answer(transaction, 481, 'Call/Transaction Does Not Exist');
      return;
    }
    // a peer on UDP that took TCP for one large request (RFC 3261 18.1.1) has not moved there
    const forSize =
      request.flow.listener.reliable &&
      !dialog.flow.listener.reliable &&
      dialog.flow.remoteAddress === request.flow.remoteAddress &&
      request.text.length > largeRequest;
    const target =
      method === 'INVITE' || method === 'UPDATE' || method === 'SUBSCRIBE' ? contactUri(request.headers) : undefined;
    if (target !== undefined) {
      dialog.target = target;
      if (!forSize) {
        dialog.behindNat = dialog.routes.length === 0 && !pointsAlong(target, request.flow);
        dialog.alongFlow = request.flow.listener.reliable || dialog.behindNat;
      }
    }
    // a device that moved to another connection or port is answered there from now on
    if (dialog.alongFlow && !forSize) dialog.flow = request.flow;
    transaction.app = dialog.owner;
    transaction.memo = memoOf(request);
    dialog.open.add(transaction);
    this.#offer(transaction);
    dialog.owner.received(request.text, request.text.length, peerOf(request.flow), transaction.id, dialog.id);
    if (method === 'NOTIFY' && dialog.subscription && endsSubscription(request.headers)) this.#end(dialog);
    if (method !== 'BYE') return;
    const { invite } = dialog;
    if (invite?.state === 'proceeding') this.#answer(invite, 487, 'Request Terminated');
    this.#end(dialog);
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
    );
  }

  #onCancel(request: Request, key: string): void {
    const cancel = this.#begin(request, key);
    const invite = this.#byKey.get(transactionKey(request, 'INVITE'));
    if (invite === undefined) {
      this.#answer(cancel, 481, 'Call/Transaction Does Not Exist');
      return;
    }
    // one tag for both answers (RFC 3261 9.2)
    const { to } = invite;
    this.#finish(cancel, 200, printResponse(200, 'OK', { ...partsOf(cancel), to }));
    if (invite.state !== 'proceeding') return;
    const { app, dialog } = invite;
    // before the first 1xx the app knows no dialog
    app?.received(request.text, request.text.length, peerOf(request.flow), invite.id, dialog?.id ?? '');
    this.#answer(invite, 487, 'Request Terminated');
    if (dialog !== undefined && !dialog.confirmed) this.#end(dialog);
  }

  /** True when the PRACK names the 1xx that waits (RFC 3262 3). */
  #acknowledgesProvisional(request: Request, dialog: Dialog): boolean {
    const rack = /^(\d+)[ \t]+(\d+)[ \t]+(\S+)$/.exec(request.headers.get('rack') ?? '');
    if (rack === null) return false;
    return dialog.invite?.reliable?.acknowledge(Number(rack[1]), Number(rack[2])) === true;
  }

  // ---- from the app ----

  onResponse(app: AppLink, msgId: string, txn: string, message: string): void {
    const parsed = parseMessage(message);
    const transaction = this.#byId.get(txn);
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
    let dialog = transaction.dialog;
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
    if (!this.#finish(transaction, status, text)) {
      app.notOk(msgId, unknownTransaction);
      return;
    }
    app.responseSent(msgId, text, peer, id, method === 'BYE' ? '' : (dialog?.id ?? ''));
    if (method === 'UPDATE' && success && dialog?.confirmed === true) this.#core.agreeSession(dialog, headers, 'uac');
  }

  #answerInvite(app: AppLink, msgId: string, transaction: ServerTransaction, response: SipResponse): void {
    const { status, reason, headers, body } = response;
    let lines = appLines(headers, body, false);
    if (lines === undefined) {
      app.notOk(msgId, 'missing content-type');
      return;
    }
    const { flow, memo = noMemo, id } = transaction;
    const dialogIdOf = transaction.dialog?.id ?? dialogId(transaction.callId, transaction.fromTag);
    if (status === 100) {
      const text = transaction.trying();
      if (transaction.answer(status, text)) app.responseSent(msgId, text, peerOf(flow), id, dialogIdOf);
      else app.notOk(msgId, unknownTransaction);
      return;
    }
    takeTag(transaction, response);
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
      this.#answer(transaction, 480, 'Temporarily Unavailable');
      app.notOk(msgId, 'dialog already exists, rejecting this request');
      return;
    }
    const { dialog } = transaction;
    if ((reliable || (status >= 200 && status < 300)) && !headers.has('contact')) {
      lines = `Contact: ${ownContact(flow)}\r\n${lines}`;
    }
    const provisional = reliable ? new ReliableProvisional(transaction, this.wheel, this.timers) : undefined;
    if (provisional !== undefined) lines = `RSeq: ${provisional.rseq}\r\n${lines}`;
    if (status < 300) lines = transaction.recordRoutes + lines;
    const text = printResponse(status, reason, transaction, lines, body);
    if (!this.#finish(transaction, status, text)) {
      app.notOk(msgId, unknownTransaction);
      return;
    }
    app.responseSent(msgId, text, peerOf(flow), id, dialog?.id ?? dialogIdOf);
    if (provisional !== undefined) {
      transaction.reliable?.stop();
      transaction.reliable = provisional;
      provisional.start(text);
    }
    if (status >= 300 && dialog !== undefined && !dialog.confirmed) this.#end(dialog);
    if (status >= 200 && status < 300 && dialog !== undefined) this.#answered2xx(dialog, transaction, response, text);
  }

  /** The dialog is up: repeat the 2xx until its ACK, and end the dialog when none comes (RFC 3261 13.3.1.4). */
  #answered2xx(dialog: Dialog, transaction: ServerTransaction, response: SipResponse, text: string): void {
    const initial = !dialog.confirmed;
    dialog.confirmed = true;
    dialog.invite = undefined;
    dialog.pendingAck?.stop();
    dialog.pendingAck = new PendingAck(
      { seq: transaction.seq, txn: initial ? transaction.id : uuid(), text, flow: transaction.flow },
      this.wheel,
      this.timers,
      () => this.#core.endDialog(dialog, 'ACK timeout'),
    );
    this.#core.agreeSession(dialog, response.headers, 'uac');
  }

  /** Makes the dialog of an answer; undefined when another one has its id. */
  #dialogFor(transaction: ServerTransaction, app: AppLink, confirmed: boolean): Dialog | undefined {
    const { memo = noMemo, flow, to } = transaction;
    const behindNat = memo.routes.length === 0 && memo.target !== '' && !pointsAlong(memo.target, flow);
    const dialog = new Dialog({
      id: dialogId(transaction.callId, transaction.fromTag),
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
    if (transaction.method === 'SUBSCRIBE') dialog.confirmed = confirmed;
    transaction.dialog = dialog;
    dialog.invite = transaction;
    return dialog;
  }

  // ---- ends ----

  /** Ends a dialog; requests of it that nobody will answer any more get 500. */
  #end(dialog: Dialog): void {
    this.#core.dialogs.remove(dialog);
    for (const transaction of dialog.open) {
      if (!dialog.owner.open) this.#answer(transaction, 500, 'Internal Server Error');
    }
    if (!dialog.confirmed) return;
    dialog.open.clear();
  }

  forget(transaction: ServerTransaction): void {
    if (this.#byKey.get(transaction.key) === transaction) this.#byKey.delete(transaction.key);
    this.#octets -= transaction.octets;
    this.#release(transaction);
    this.#core.counters.serverTransactions = this.#byKey.size;
  }

  keepAnswer(transaction: ServerTransaction, answer: string): void {
    this.#answered.set(transaction.key, answer);
  }

  onParkOver(transaction: ServerTransaction): void {
    transaction.dispatch('abandoned');
  }

  onHeldTooLong(transaction: ServerTransaction): void {
    this.#answer(transaction, 480, 'Temporarily Unavailable');
    if (transaction.dialog?.confirmed === false) this.#end(transaction.dialog);
  }

  close(): void {
    for (const transaction of this.#byKey.values()) transaction.stop();
    this.#byKey.clear();
    this.#byId.clear();
  }

  #begin(request: Request, key: string): ServerTransaction {
    const transaction = new ServerTransaction(request, key, this);
    this.#byKey.set(key, transaction);
    this.#octets += transaction.octets;
    this.#core.counters.serverTransactions = this.#byKey.size;
    return transaction;
  }

  /** From here on an app can answer it by its id. */
  #offer(transaction: ServerTransaction): void {
    this.#byId.set(transaction.id, transaction);
    transaction.park(this.#core.settings.parkMs);
  }

  /** An answer of the engine's own. */
  #answer(transaction: ServerTransaction, status: number, reason: string, lines = ''): void {
    this.#finish(transaction, status, printResponse(status, reason, transaction, lines));
  }

  #finish(transaction: ServerTransaction, status: number, text: string): boolean {
    if (!transaction.answer(status, text)) return false;
    if (status >= 200) this.#release(transaction);
    return true;
  }

  #release(transaction: ServerTransaction): void {
    this.#byId.delete(transaction.id);
    transaction.dialog?.open.delete(transaction);
    transaction.reliable?.stop();
    transaction.reliable = undefined;
    transaction.memo =
      transaction.method === 'INVITE' && transaction.state === 'proceeding' ? transaction.memo : undefined;
  }
}

function partsOf(transaction: ServerTransaction): { vias: string; from: string; callId: string; cseq: string } {
  const { vias, from, callId, cseq } = transaction;
  return { vias, from, callId, cseq };
}
