/**
 * The side that asks (RFC 3261 8.1, 9.1, 12.2.1): writes the apps' requests with the defaults drachtio-srf relies on, finds the
 * way, and gives the answers back. What answers make of dialogs is in uac-answers.ts. drachtio-protocol B.5, B.6, C.
 */
import { randomInt } from 'node:crypto';
import { parseMessage, type SipRequest } from '../sip/message.ts';
import { parseUri } from '../sip/uri.ts';
import type { AppLink } from './control/app-link.ts';
import { type Core, ownContact, peerOf, sentPeer } from './core.ts';
import { contactUri, type Dialog, dialogId } from './dialog/dialog.ts';
import { wayOf } from './dialog/requests.ts';
import { endsSubscription } from './dialog/subscription.ts';
import { newTag, uuid } from './ids.ts';
import { beginsDialog, newRequestParts } from './new-request.ts';
import { appLines, printRequest, printResponse } from './printing.ts';
import { readTag, type Response } from './reading.ts';
import { hopOf, resolveName } from './resolve.ts';
import { type ClientHost, ClientTransaction, type ClientUser, type Failure } from './transaction/client-transaction.ts';
import type { Flow } from './transport/flow.ts';
import { UacAnswers } from './uac-answers.ts';
import { nextParts, OwnRequests } from './uac-own.ts';
import { ownRequest, type Sender, type Sent, type Transaction } from './uac-sent.ts';

/** More INVITEs of one dialog than this do not wait for one another. */
const mostWaiting = 8;
const noDialog = 'Server error: unable to find dialog for dialog id provided';
const withContact = new Set(['INVITE', 'SUBSCRIBE', 'REFER', 'UPDATE']);

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

  get timers(): Core['settings']['timers'] {
    return this.#core.settings.timers;
  }

  get user(): ClientUser<Sent> {
    return this;
  }

  // ---- from the app ----

  onRequest(app: AppLink, msgId: string, nextHop: string, message: string): void {
    const request = parseMessage(message);
    const uri = request.kind === 'request' ? parseUri(request.uri) : undefined;
    if (request.kind !== 'request' || request.method === 'ACK' || request.method === 'CANCEL') {
      app.notOk(msgId, 'invalid request-uri: ');
      return;
    }
    const next = nextHop === '' ? uri : parseUri(nextHop);
    if (next === undefined) {
      app.notOk(msgId, nextHop === '' ? 'invalid request-uri: ' : 'Error creating sip transaction for uac request');
      return;
    }
    const { transports, registrations } = this.#core;
    const cached = registrations.find(request.uri);
    if (cached !== undefined) {
      this.#send(app, msgId, request, cached, true, true);
      return;
    }
    const hop = hopOf(next, transports);
    switch (hop.is) {
      case 'no-transport':
        app.notOk(msgId, 'requested protocol/transport not available');
        return;
      case 'address':
        if (transports.isOwn(hop.target.address, hop.target.port)) app.notOk(msgId, 'can not send request to myself');
        else this.#send(app, msgId, request, transports.flowTo(hop.target), nextHop !== '');
        return;
      case 'name':
        void resolveName(hop, transports).then(
          (target) => {
            if (target !== undefined && transports.isOwn(target.address, target.port))
              app.notOk(msgId, 'can not send request to myself');
            else
              this.#send(
                app,
                msgId,
                request,
                target === undefined ? undefined : transports.flowTo(target),
                nextHop !== '',
              );
          },
          () => this.#send(app, msgId, request, undefined, false),
        );
        return;
      default:
        hop satisfies never;
    }
  }

  onInDialog(app: AppLink, msgId: string, id: string, message: string): void {
    const request = parseMessage(message);
    const dialog = this.#core.dialogs.get(id);
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
        dialog.waiting.push(() => this.onInDialog(app, msgId, id, message));
        return;
      }
      dialog.asking++;
    }
    if (method === 'BYE' && dialog.confirmed) this.#core.endInvite(dialog);
    wayOf(dialog, this.#core.transports, (flow) => {
      const parts = nextParts(dialog, method, flow ?? dialog.flow);
      const contact = withContact.has(method)
        ? (request.headers.get('contact') ?? ownContact((flow ?? dialog.flow).listener))
        : '';
      const all = { ...parts, contact, maxForwards: request.headers.get('max-forwards') ?? '70' };
      const text = printRequest(all, lines, request.body);
      const sent: Sent = {
        app,
        txn: uuid(),
        dialogId: dialog.id,
        dialog,
        parts: all,
        alongFlow: true,
        begun: [],
        answered: undefined,
        cancel: '',
        last: endsSubscription(request.headers),
        sdp: sdpOf(request),
      };
      if (flow === undefined) {
        if (method === 'INVITE') dialog.asking--;
        // the connection the dialog lived on is gone (drachtio-protocol C.4)
        app.requestSent(msgId, text, 0, sentPeer(dialog.flow), sent.txn);
        this.#localAnswer(sent, 410, 'Gone', sentPeer(dialog.flow).protocol);
        if (method === 'BYE') this.#core.dialogs.remove(dialog);
        return;
      }
      this.#launch(app, msgId, sent, flow, text);
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

  /** `cached`: the flow was found through the registration cache, and is 410 when it is gone (drachtio-protocol C.4). */
  #send(
    app: AppLink,
    msgId: string,
    request: SipRequest,
    flow: Flow | undefined,
    alongFlow: boolean,
    cached = false,
  ): void {
    const { headers, method, body } = request;
    const { transports } = this.#core;
    const lines = appLines(headers, body, true);
    if (lines === undefined) {
      app.notOk(msgId, 'missing content-type');
      return;
    }
    const listener = flow?.listener ?? transports.listeners[0];
    if (listener === undefined) {
      app.notOk(msgId, 'requested protocol/transport not available');
      return;
    }
    const parts = newRequestParts(request, listener, () => this.#nextSeq());
    if (parts === undefined) {
      app.notOk(msgId, 'Error creating sip transaction for uac request');
      return;
    }
    const text = printRequest(parts, lines, body);
    const sent: Sent = {
      app,
      txn: uuid(),
      dialogId: beginsDialog.has(method) ? dialogId(parts.callId, readTag(parts.from) ?? '') : '',
      dialog: undefined,
      parts,
      alongFlow,
      begun: [],
      answered: undefined,
      cancel: '',
      last: false,
      sdp: sdpOf(request),
    };
    if (flow === undefined) {
      app.requestSent(msgId, text, 0, { protocol: 'unknown', address: '', port: 0 }, sent.txn);
      this.#localAnswer(sent, 503, 'DNS Error', 'unknown');
    } else if (cached && !flow.open) {
      app.requestSent(msgId, text, 0, sentPeer(flow), sent.txn);
      this.#localAnswer(sent, 410, 'Gone', sentPeer(flow).protocol);
    } else this.#launch(app, msgId, sent, flow, text);
  }

  /** Tells the app what goes out, then sends it: the echo must be there before the first answer. */
  #launch(app: AppLink, msgId: string, sent: Sent, flow: Flow, text: string): void {
    app.requestSent(msgId, text, text.length, sentPeer(flow), sent.txn);
    const transaction = this.start(sent, flow, text);
    if (sent.parts.method === 'INVITE') this.#invites.set(sent.txn, transaction);
  }

  start(sent: Sent, flow: Flow, text: string): Transaction {
    const { method, via } = sent.parts;
    const branch = via.slice(via.indexOf('branch=') + 7);
    const transaction = new ClientTransaction<Sent>({ branch, method, text, flow, sent }, this);
    this.#byBranch.set(`${branch} ${method}`, transaction);
    if (sent.dialog === undefined) this.#core.dialogs.claim(sent.dialogId);
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
    transaction.onResponse(response);
  }

  onResponse(transaction: Transaction, response: Response): void {
    const { sent, method } = transaction;
    const { status, headers } = response;
    const { dialog } = sent;
    if (status === 100 || (sent.app === undefined && sent.onRefreshed === undefined)) return;
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
    sent.app?.received(response.text, response.text.length, peerOf(response.flow), sent.txn, id);
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
    const status = failure === 'timed-out' ? 408 : 503;
    this.#answers.forgetEarly(sent);
    this.#ended(transaction, status);
    sent.onRefreshed?.(status, undefined);
    this.#localAnswer(
      sent,
      status,
      failure === 'timed-out' ? 'Request Timeout' : 'Service Unavailable',
      sentPeer(flow).protocol,
    );
  }

  /** An answer nobody sent: recognisable by 0 bytes, no address and port 0. */
  #localAnswer(sent: Sent, status: number, reason: string, protocol: string): void {
    const { parts } = sent;
    const to = readTag(parts.to) === '' ? `${parts.to};tag=${newTag()}` : parts.to;
    const text = printResponse(status, reason, {
      vias: `Via: ${parts.via}\r\n`,
      from: parts.from,
      to,
      callId: parts.callId,
      cseq: `${parts.seq} ${parts.method}`,
    });
    sent.app?.received(text, 0, { protocol, address: '', port: 0 }, sent.txn, sent.dialogId);
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
    this.#invites.delete(transaction.sent.txn);
    this.#answers.forgetEarly(transaction.sent);
    if (transaction.sent.dialog === undefined) this.#core.dialogs.release(transaction.sent.dialogId);
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
