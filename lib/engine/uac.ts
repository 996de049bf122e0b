/**
 * The side that asks (RFC 3261 8.1, 9.1, 12.2.1): writes the apps' requests with the defaults drachtio-srf relies on, finds the
 * way, and gives the answers back. What answers make of dialogs is in uac-answers.ts. drachtio-protocol B.5, B.6, C.
 */
import { randomInt } from 'node:crypto';
import { parseMessage, type SipRequest } from '../sip/message.ts';
import { parseUri } from '../sip/uri.ts';
import type { AppLink } from './control/app-link.ts';
import { type Core, ownContact, ownVia, peerOf, sentPeer } from './core.ts';
import { contactUri, type Dialog, dialogId } from './dialog/dialog.ts';
import { wayOf } from './dialog/requests.ts';
import { endsSubscription } from './dialog/subscription.ts';
import { newBranch, uuid } from './ids.ts';
import { beginsDialog, beginsOne, newRequestParts } from './new-request.ts';
import { appLines, printRequest } from './printing.ts';
import { readTag, type Response } from './reading.ts';
import { hopOf } from './resolve.ts';
import { localAnswer, ownRequest, type Sender, type Sent, type Transaction } from './sent.ts';
import { type ClientHost, ClientTransaction, type ClientUser, type Failure } from './transaction/client-transaction.ts';
import type { Flow } from './transport/flow.ts';
import type { Target } from './transport/transports.ts';
import { UacAnswers } from './uac-answers.ts';
import { nextParts, OwnRequests } from './uac-own.ts';
import { Way } from './way.ts';

/** More INVITEs of one dialog than this do not wait for one another. */
const mostWaiting = 8;
const noDialog = 'Server error: unable to find dialog for dialog id provided';
const withContact = new Set(['INVITE', 'SUBSCRIBE', 'REFER', 'UPDATE']);

/**
 * What decided the way of a new request: the registration cache (such a flow is 410 when it is gone, drachtio-protocol C.4), the next
 * hop the app named, its route set, or the request-URI.
 */
type How = 'cached' | 'along its flow' | 'routed' | 'by itself';

export class Uac implements ClientHost<Sent>, ClientUser<Sent>, Sender {
  readonly #core: Core;
  /** requests of the engine's own */
  readonly own: OwnRequests;
  readonly #answers: UacAnswers;
  readonly #byBranch = new Map<string, Transaction>();
  /** INVITEs an app may still cancel */
  readonly #invites = new Map<string, Transaction>();
  #seq = randomInt(1, 2 ** 27);

  constructor(core: Core) {
    this.#core = core;
    this.own = new OwnRequests(core, this);
    this.#answers = new UacAnswers(core, this.own);
  }

  get wheel(): Core['wheel'] {
    return this.#core.wheel;
  }

  /** INVITEs of apps of other nodes that have no final answer. */
  get ringingForGuests(): number {
    let count = 0;
    for (const { sent } of this.#invites.values())
      if (sent.dialog === undefined && sent.app?.isGuest === true && sent.app.open) count++;
    return count;
  }

  get timers(): Core['settings']['timers'] {
    return this.#core.settings.timers;
  }

  get user(): ClientUser<Sent> {
    return this;
  }

  // ---- from the app ----

  onRequest(app: AppLink, msgId: string, nextHop: string, message: string, routed = false): void {
    const request = parseMessage(message);
    const uri = request.kind === 'request' ? parseUri(request.uri) : undefined;
    if (request.kind !== 'request' || request.method === 'ACK' || request.method === 'CANCEL') {
      app.notOk(msgId, 'invalid request-uri: ');
      return;
    }
    if (this.#byBranch.size >= this.#core.settings.limits.transactions) {
      this.#core.counters.overload++;
      app.notOk(msgId, 'too many requests without an answer');
      return;
    }
    const next = nextHop === '' ? uri : parseUri(nextHop);
    if (next === undefined) {
      app.notOk(msgId, nextHop === '' ? 'invalid request-uri: ' : 'Error creating sip transaction for uac request');
      return;
    }
    const { transports, registrations, locator, counters } = this.#core;
    const cached = routed ? undefined : registrations.find(request.uri);
    if (cached !== undefined) {
      this.#send(app, msgId, request, Way.along(cached, this.#core, true), 'cached');
      return;
    }
    const how = routed ? 'routed' : nextHop === '' ? 'by itself' : 'along its flow';
    const hop = hopOf(next, transports);
    switch (hop.is) {
      case 'no-transport':
        app.notOk(msgId, 'requested protocol/transport not available');
        return;
      case 'address':
        this.#sendTo(app, msgId, request, [hop.target], how);
        return;
      case 'name':
        void locator
          .locate(hop)
          .then((found) => this.#sendTo(app, msgId, request, found as readonly Target[], how))
          .catch(() => counters.faults++);
        return;
      default:
        hop satisfies never;
    }
  }

  #sendTo(app: AppLink, msgId: string, request: SipRequest, targets: readonly Target[], how: How): void {
    const { transports } = this.#core;
    const others = targets.filter(({ address, port }) => !transports.isOwn(address, port));
    if (targets.length > 0 && others.length === 0) app.notOk(msgId, 'can not send request to myself');
    else this.#send(app, msgId, request, Way.to(others, this.#core), how);
  }

  onInDialog(app: AppLink, msgId: string, id: string, message: string, nextHop = ''): void {
    const request = parseMessage(message);
    const dialog = this.#core.dialogs.get(id);
    const moved = nextHop === '' ? undefined : this.#flowAt(nextHop);
    if (moved !== undefined) dialog?.moveTo(moved);
    if (request.kind !== 'request') {
      app.notOk(msgId, 'invalid request-uri: ');
      return;
    }
    if (request.method === 'ACK') {
      this.#sendAck(app, msgId, dialog, request);
      return;
    }
    if (dialog === undefined) {
      app.notOk(msgId, noDialog);
      return;
    }
    const lines = appLines(request.headers, request.body, true);
    if (lines === undefined) {
      app.notOk(msgId, 'missing content-type');
      return;
    }
    const { method } = request;
    if (method === 'INVITE') {
      // while a refresh of the engine's own is on its way (RFC 3261 14.1: one at a time)
      if (dialog.refreshing && dialog.waiting.length < mostWaiting) {
        dialog.waiting.push(() => this.onInDialog(app, msgId, id, message, nextHop));
        return;
      }
      dialog.asking++;
    }
    if (method === 'BYE' && dialog.confirmed) this.#core.endInvite(dialog);
    wayOf(dialog, this.#core, (way) => {
      const flow = way?.first;
      const parts = nextParts(dialog, method, flow ?? dialog.flow);
      const contact = withContact.has(method)
        ? (request.headers.get('contact') ?? ownContact(flow ?? dialog.flow))
        : '';
      const all = { ...parts, contact, maxForwards: request.headers.get('max-forwards') ?? '70' };
      const sent: Sent = {
        ...ownRequest(all),
        app,
        txn: uuid(),
        dialogId: dialog.id,
        dialog,
        last: endsSubscription(request.headers),
        sdp: sdpOf(request),
        again: way === undefined ? undefined : { way, lines, body: request.body },
      };
      if (flow === undefined) {
        if (method === 'INVITE') dialog.asking--;
        // the connection the dialog lived on is gone (drachtio-protocol C.4)
        app.requestSent(msgId, printRequest(all, lines, request.body), 0, sentPeer(dialog.flow), sent.txn);
        localAnswer(sent, 410, 'Gone', sentPeer(dialog.flow).protocol);
        if (method === 'BYE') this.#core.dialogs.remove(dialog);
        return;
      }
      this.#launch(app, msgId, sent);
    });
  }

  onCancel(app: AppLink, msgId: string, txn: string, message: string): void {
    const transaction = this.#invites.get(txn);
    const request = parseMessage(message);
    if (transaction === undefined || request.kind !== 'request' || request.method !== 'CANCEL') {
      app.notOk(msgId, `unable to cancel unknown transaction id: ${txn}`);
      return;
    }
    const { sent, flow } = transaction;
    if (sent.cancel !== '' || (transaction.state !== 'calling' && transaction.state !== 'proceeding')) {
      app.notOk(msgId, `unable to cancel unknown transaction id: ${txn}`);
      return;
    }
    const lines = appLines(request.headers, '', true) ?? '';
    sent.cancel = printRequest({ ...sent.parts, method: 'CANCEL', contact: '', maxForwards: '70' }, lines);
    app.requestSent(msgId, sent.cancel, sent.cancel.length, sentPeer(flow), uuid());
    transaction.cancel();
  }

  onMove(app: AppLink, msgId: string, txn: string, nextHop: string): void {
    const transaction = this.#invites.get(txn);
    const flow = this.#flowAt(nextHop);
    if (transaction === undefined || flow === undefined || !transaction.moveTo(flow)) {
      app.notOk(msgId, `unable to move unknown transaction id: ${txn}`);
      return;
    }
    // to the old place it may have gone in vain
    if (transaction.sent.cancel !== '' && transaction.state === 'proceeding') this.onCancelDue(transaction);
    app.ok(msgId);
  }

  #flowAt(nextHop: string): Flow | undefined {
    const uri = parseUri(nextHop);
    const { transports } = this.#core;
    const hop = uri === undefined ? undefined : hopOf(uri, transports);
    if (hop?.is !== 'address' || transports.isOwn(hop.target.address, hop.target.port)) return undefined;
    return transports.flowTo(hop.target);
  }

  #send(app: AppLink, msgId: string, request: SipRequest, way: Way, how: How): void {
    const { headers, body } = request;
    const { transports } = this.#core;
    const lines = appLines(headers, body, true);
    if (lines === undefined) {
      app.notOk(msgId, 'missing content-type');
      return;
    }
    const flow = way.first;
    const [listener] = transports.listeners;
    if (listener === undefined) {
      app.notOk(msgId, 'requested protocol/transport not available');
      return;
    }
    const routed = how === 'routed';
    const routes = routed ? headers.list('route') : [];
    const parts = newRequestParts(request, flow ?? { listener, remoteAddress: '' }, () => this.#nextSeq(), routes);
    if (parts === undefined) {
      app.notOk(msgId, 'Error creating sip transaction for uac request');
      return;
    }
    const sent: Sent = {
      ...ownRequest(parts),
      app,
      txn: uuid(),
      dialogId: beginsOne(parts) ? dialogId(parts.callId, readTag(parts.from) ?? '') : '',
      alongFlow: how === 'cached' || how === 'along its flow',
      routed,
      sdp: sdpOf(request),
      again: { way, lines, body },
    };
    if (flow === undefined) {
      const text = printRequest(parts, lines, body);
      app.requestSent(msgId, text, 0, { protocol: 'unknown', address: '', port: 0 }, sent.txn);
      localAnswer(sent, 503, 'DNS Error', 'unknown');
    } else if (how === 'cached' && !flow.open) {
      app.requestSent(msgId, printRequest(parts, lines, body), 0, sentPeer(flow), sent.txn);
      localAnswer(sent, 410, 'Gone', sentPeer(flow).protocol);
    } else this.#launch(app, msgId, sent);
  }

  /** Tells the app what goes out, then sends it: the echo must be there before the first answer. */
  #launch(app: AppLink, msgId: string, sent: Sent): void {
    const tried = this.#nextTry(sent);
    if (tried === undefined) return;
    const { flow, text } = tried;
    app.requestSent(msgId, text, text.length, sentPeer(flow), sent.txn);
    this.start(sent, flow, text);
  }

  /** Writes the request for the next way it can take: the same one with a new Via (RFC 3263 4.3); undefined when none is left. */
  #nextTry(sent: Sent): { readonly flow: Flow; readonly text: string } | undefined {
    if (sent.again === undefined) return undefined;
    const { way, lines, body } = sent.again;
    const written = sent.tried ? undefined : way.first;
    const text = printRequest(sent.parts, lines, body);
    const step = way.next(text.length);
    if (step === undefined) return undefined;
    const { flow, insteadOf } = step;
    sent.insteadOf = insteadOf;
    sent.tried = true;
    sent.heard = false;
    if (flow === written) return { flow, text };
    sent.parts = { ...sent.parts, via: ownVia(flow, newBranch()) };
    return { flow, text: printRequest(sent.parts, lines, body) };
  }

  /** True when the request is on its way once more. Whoever has been heard, or cancelled, is not left for another. */
  #tryElsewhere(sent: Sent, failure: Failure | 'unavailable'): boolean {
    const { again, app } = sent;
    if (again === undefined || app?.open !== true || sent.cancel !== '') return false;
    if (failure === 'unavailable' ? sent.begun.length > 0 : sent.heard) return false;
    again.way.failed(failure);
    const tried = this.#nextTry(sent);
    if (tried === undefined) return false;
    this.start(sent, tried.flow, tried.text);
    return true;
  }

  start(sent: Sent, flow: Flow, text: string): Transaction {
    const { method, via } = sent.parts;
    const branch = via.slice(via.indexOf('branch=') + 7);
    const transaction = new ClientTransaction<Sent>({ branch, method, text, flow, sent }, this);
    this.#byBranch.set(`${branch} ${method}`, transaction);
    if (sent.dialog === undefined) this.#core.dialogs.claim(sent.dialogId);
    if (method === 'INVITE' && sent.app !== undefined) this.#invites.set(sent.txn, transaction);
    this.#core.counters.clientTransactions = this.#byBranch.size;
    transaction.start();
    return transaction;
  }

  #nextSeq(): number {
    this.#seq = this.#seq >= 2 ** 31 - 2 ? 1 : this.#seq + 1;
    return this.#seq;
  }

  // ---- in a dialog ----

  #sendAck(app: AppLink, msgId: string, dialog: Dialog | undefined, request: SipRequest): void {
    if (dialog === undefined || dialog.invited === 0 || dialog.ack?.seq === dialog.invited) {
      app.notOk(msgId, 'Server error: ACK for non-success final response is automatically generated by server');
      return;
    }
    this.own.ack(dialog, appLines(request.headers, request.body, true) ?? '', request.body, (text, flow) => {
      app.requestSent(msgId, text, text.length, sentPeer(flow), uuid());
      if (dialog.byeAfterAck) this.#core.endDialog(dialog, 'ACK-BYE due to cancel race condition');
    });
  }

  // ---- from the network ----

  onResponseRead(response: Response): void {
    const transaction = this.#byBranch.get(`${response.branch} ${response.cseq.method}`);
    if (transaction === undefined || transaction.sent.parts.callId !== response.callId) {
      this.#core.counters.dropped++;
      return;
    }
    transaction.sent.heard = true;
    transaction.onResponse(response);
  }

  onResponse(transaction: Transaction, response: Response): void {
    const { sent, method } = transaction;
    const { status, headers } = response;
    const { dialog } = sent;
    if (status === 100 || (sent.app === undefined && sent.onRefreshed === undefined)) return;
    if (status === 503 && this.#tryElsewhere(sent, 'unavailable')) return;
    if (status !== 503) sent.again?.way.worked();
    if (status >= 200) sent.again = undefined;
    const id = beginsDialog.has(method) ? this.#answers.follow(transaction, response) : sent.dialogId;
    if (status >= 200 && (id !== undefined || status >= 300)) this.#ended(transaction, status);
    if (id === undefined) return;
    if (method === 'UPDATE' && status >= 200 && status < 300 && dialog !== undefined) {
      // a 2xx to UPDATE refreshes the target like one to INVITE (RFC 3261 12.2.1.2, erratum 3173)
      dialog.target = contactUri(headers) ?? dialog.target;
      if (sent.sdp !== '') dialog.localSdp = sent.sdp;
      if (sent.onRefreshed === undefined && dialog.confirmed) this.#core.agreeSession(dialog, headers, 'uac');
    }
    if (sent.onRefreshed !== undefined) {
      if (status >= 200) sent.onRefreshed(status, response);
      return;
    }
    sent.app?.received(response.text, response.text.length, peerOf(response.flow), sent.txn, id, response.parsed);
  }

  /** The final answer, told once. */
  #ended(transaction: Transaction, status: number): void {
    const { sent, method } = transaction;
    const { dialog } = sent;
    this.#invites.delete(sent.txn);
    if (dialog === undefined) return;
    if (method === 'INVITE' && sent.app !== undefined) dialog.asking--;
    const challenged = status === 401 || status === 407;
    if (method === 'BYE' && !challenged) this.#core.dialogs.remove(dialog);
    if (method === 'NOTIFY' && dialog.begunBy === 'SUBSCRIBE' && sent.last) this.#core.dialogs.remove(dialog);
  }

  onFailed(transaction: Transaction, failure: Failure): void {
    const { sent, flow } = transaction;
    if (this.#tryElsewhere(sent, failure)) return;
    const status = failure === 'timed-out' ? 408 : 503;
    this.#answers.forgetEarly(sent);
    this.#ended(transaction, status);
    sent.onRefreshed?.(status, undefined);
    localAnswer(
      sent,
      status,
      failure === 'timed-out' ? 'Request Timeout' : 'Service Unavailable',
      sentPeer(flow).protocol,
    );
  }

  ackFor(transaction: Transaction, response: Response): string {
    const { parts } = transaction.sent;
    return printRequest({ ...parts, method: 'ACK', to: response.to, contact: '', maxForwards: '70' });
  }

  onCancelDue(transaction: Transaction): void {
    const { sent, flow } = transaction;
    this.start(ownRequest({ ...sent.parts, method: 'CANCEL' }), flow, sent.cancel);
  }

  forget(transaction: Transaction): void {
    this.#byBranch.delete(`${transaction.branch} ${transaction.method}`);
    // after another try began it is that one's entry
    const { sent } = transaction;
    if (this.#invites.get(sent.txn) === transaction) this.#invites.delete(sent.txn);
    if (sent.parts.via.endsWith(transaction.branch)) this.#answers.forgetEarly(sent);
    if (sent.dialog === undefined) this.#core.dialogs.release(sent.dialogId);
    this.#core.counters.clientTransactions = this.#byBranch.size;
  }

  close(): void {
    for (const transaction of this.#byBranch.values()) transaction.stop();
    this.#byBranch.clear();
    this.#invites.clear();
  }
}

/** Our session description, kept for a refresh where a session timer is spoken of. */
function sdpOf({ headers, body }: SipRequest): string {
  return body.startsWith('v=0') && headers.has('session-expires') ? body : '';
}
