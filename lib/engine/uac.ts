/**
 * The side that asks (RFC 3261 8.1, 9.1, 12.1.2, 12.2.1, 13.2): writes the apps' requests with the defaults drachtio-srf
 * relies on, finds the way, and gives the answers back. drachtio-protocol B.5, B.6, C.
 */
import { randomInt } from 'node:crypto';
import { parseMessage, type SipRequest } from '../sip/message.ts';
import { parseUri } from '../sip/uri.ts';
import type { AppLink } from './control/app-link.ts';
import { type Core, ownContact, ownVia, peerOf, sentPeer } from './core.ts';
import { contactUri, Dialog, dialogId } from './dialog/dialog.ts';
import { adoptAnswer, dialogParts, wayOf } from './dialog/requests.ts';
import { endsSubscription } from './dialog/session-expiry.ts';
import { newBranch, newTag, uuid } from './ids.ts';
import { beginsDialog, newRequestParts } from './new-request.ts';
import { appLines, printRequest, printResponse, type RequestParts } from './printing.ts';
import { readTag, type Response } from './reading.ts';
import { hopOf, resolveName } from './resolve.ts';
import { type ClientHost, ClientTransaction, type ClientUser, type Failure } from './transaction/client-transaction.ts';
import type { Flow } from './transport/flow.ts';

/** What is remembered of a request until its answer. */
interface Sent {
  /** who hears the answers; nobody for CANCEL and the engine's own BYE */
  readonly app: AppLink | undefined;
  readonly txn: string;
  /** the id of the dialog it may begin or is in; '' for none */
  dialogId: string;
  /** the dialog it was sent in */
  readonly dialog: Dialog | undefined;
  readonly parts: RequestParts;
  /** an outbound proxy was named: the dialog keeps using it */
  readonly alongFlow: boolean;
  /** the dialog the first answers of an INVITE began */
  begun: Dialog | undefined;
  /** CANCEL that waits or went out */
  cancel: string;
  /** the NOTIFY that ends a subscription */
  readonly last: boolean;
}

type Transaction = ClientTransaction<Sent>;

const noDialog = 'Server error: unable to find dialog for dialog id provided';
const withContact = new Set(['INVITE', 'SUBSCRIBE', 'REFER', 'UPDATE']);

export class Uac implements ClientHost<Sent>, ClientUser<Sent> {
  readonly #core: Core;
  readonly #byBranch = new Map<string, Transaction>();
  /** INVITEs an app may still cancel */
  readonly #invites = new Map<string, Transaction>();
  #seq = randomInt(1, 2 ** 27);

  constructor(core: Core) {
    this.#core = core;
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
    wayOf(dialog, this.#core.transports, (flow) => {
      const parts = this.#inDialog(dialog, request.method, flow ?? dialog.flow, newBranch());
      const contact = withContact.has(request.method)
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
        begun: undefined,
        cancel: '',
        last: endsSubscription(request.headers),
      };
      if (flow === undefined) {
        // the connection the dialog lived on is gone (drachtio-protocol C.4)
        app.requestSent(msgId, text, 0, sentPeer(dialog.flow), sent.txn);
        this.#localAnswer(sent, 410, 'Gone', sentPeer(dialog.flow).protocol);
        if (request.method === 'BYE') this.#core.dialogs.remove(dialog);
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
      begun: undefined,
      cancel: '',
      last: false,
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
    const transaction = this.#start(sent, flow, text);
    if (sent.parts.method === 'INVITE') this.#invites.set(sent.txn, transaction);
  }

  #start(sent: Sent, flow: Flow, text: string): Transaction {
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

  #inDialog(dialog: Dialog, method: string, flow: Flow, branch: string): RequestParts {
    dialog.localSeq++;
    return dialogParts(dialog, method, flow, branch, dialog.localSeq);
  }

  #sendAck(app: AppLink, msgId: string, dialog: Dialog | undefined, request: SipRequest): void {
    if (dialog === undefined || dialog.invited === 0 || dialog.ack?.seq === dialog.invited) {
      app.notOk(msgId, 'Server error: ACK for non-success final response is automatically generated by server');
      return;
    }
    const seq = dialog.invited;
    wayOf(dialog, this.#core.transports, (found) => {
      const flow = found ?? dialog.flow;
      const lines = appLines(request.headers, request.body, true) ?? '';
      const text = printRequest(dialogParts(dialog, 'ACK', flow, newBranch(), seq), lines, request.body);
      flow.send(text);
      dialog.ack = { seq, text };
      app.requestSent(msgId, text, text.length, sentPeer(flow), uuid());
      if (dialog.byeAfterAck) this.#core.endDialog(dialog, 'ACK-BYE due to cancel race condition');
    });
  }

  /** BYE of the engine's own; the app hears of it as `unsolicited`. */
  endDialog(dialog: Dialog, reason: string): void {
    if (dialog.over) return;
    this.#core.dialogs.remove(dialog);
    wayOf(dialog, this.#core.transports, (flow) => {
      const parts = this.#inDialog(dialog, 'BYE', flow ?? dialog.flow, newBranch());
      const text = printRequest(parts, `Reason: SIP;cause=200;text="${reason}"\r\n`);
      if (flow !== undefined) this.#start(this.#own(parts), flow, text);
      dialog.owner.unsolicited(text, sentPeer(flow ?? dialog.flow), dialog.id);
    });
  }

  #own(parts: RequestParts): Sent {
    return {
      app: undefined,
      txn: '',
      dialogId: '',
      dialog: undefined,
      parts,
      alongFlow: true,
      begun: undefined,
      cancel: '',
      last: false,
    };
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
    const { sent } = transaction;
    const { status } = response;
    if (sent.app === undefined || status === 100) return;
    if (beginsDialog.has(transaction.method) && !this.#followDialog(transaction, response)) return;
    if (status >= 200) {
      this.#invites.delete(sent.txn);
      const challenged = status === 401 || status === 407;
      if (transaction.method === 'BYE' && !challenged && sent.dialog !== undefined)
        this.#core.dialogs.remove(sent.dialog);
    }
    if (transaction.method === 'NOTIFY' && status >= 200 && sent.dialog?.subscription === true && sent.last)
      this.#core.dialogs.remove(sent.dialog);
    if (transaction.method === 'UPDATE' && status < 300 && sent.dialog !== undefined) {
      sent.dialog.target = contactUri(response.headers) ?? sent.dialog.target;
      if (status >= 200) this.#core.agreeSession(sent.dialog, response.headers, 'uas');
    }
    sent.app.received(response.text, response.text.length, peerOf(response.flow), sent.txn, sent.dialogId);
  }

  /** Keeps the dialog of an INVITE or SUBSCRIBE up to date; false when the app must not hear of this answer. */
  #followDialog(transaction: Transaction, response: Response): boolean {
    const { sent } = transaction;
    const { status } = response;
    const dialog = sent.dialog ?? sent.begun;
    if (status >= 300) {
      if (sent.begun !== undefined && !sent.begun.confirmed) this.#core.dialogs.remove(sent.begun);
      return true;
    }
    if (response.toTag === '') return true;
    if (transaction.method === 'SUBSCRIBE' && status >= 200 && dialog !== undefined)
      this.#core.keepSubscription(dialog, expiresIn(response));
    if (dialog === undefined) {
      sent.begun = this.#beginDialog(transaction, response);
      if (transaction.method === 'SUBSCRIBE') this.#core.keepSubscription(sent.begun, expiresIn(response));
      this.#noteRace(sent);
      return true;
    }
    if (status >= 200 && dialog.confirmed && dialog.ack?.seq === sent.parts.seq) {
      if (response.toTag === dialog.remoteTag) {
        // the peer has not seen our ACK
        dialog.flow.send(dialog.ack.text);
        return false;
      }
    }
    if (status >= 200 && sent.dialog === undefined && dialog.confirmed) {
      if (response.toTag !== dialog.remoteTag) this.#dropFork(transaction, response);
      return false;
    }
    if (sent.dialog === undefined) adoptAnswer(dialog, response, sent.parts, sent.alongFlow);
    else {
      dialog.target = contactUri(response.headers) ?? dialog.target;
      // a 2xx that is not yet acknowledged is told once; its copies wait for the app's ACK
      if (status >= 200 && transaction.method === 'INVITE') {
        if (sent.begun === dialog) return false;
        sent.begun = dialog;
        dialog.invited = sent.parts.seq;
        this.#core.agreeSession(dialog, response.headers, 'uas');
      }
      return true;
    }
    this.#noteRace(sent);
    return true;
  }

  /** The peer answered before our CANCEL reached it: the dialog ends right after the app's ACK. */
  #noteRace(sent: Sent): void {
    if (sent.begun?.confirmed === true && sent.parts.method === 'INVITE') sent.begun.byeAfterAck = sent.cancel !== '';
  }

  #beginDialog(transaction: Transaction, response: Response): Dialog {
    const { sent } = transaction;
    const { parts } = sent;
    const dialog = new Dialog({
      id: sent.dialogId,
      callId: parts.callId,
      owner: sent.app as AppLink,
      local: parts.from,
      localTag: readTag(parts.from) ?? '',
      remote: response.to,
      remoteTag: response.toTag,
      localSeq: parts.seq,
      remoteSeq: 0,
      target: contactUri(response.headers) ?? parts.uri,
      routes: [],
      flow: response.flow,
      alongFlow: true,
    });
    adoptAnswer(dialog, response, sent.parts, sent.alongFlow);
    this.#core.dialogs.add(dialog, true);
    sent.dialogId = dialog.id;
    return dialog;
  }

  /** A second phone answered the same INVITE: thank it and hang up; the app has its call already. */
  #dropFork(transaction: Transaction, response: Response): void {
    const { parts } = transaction.sent;
    const { flow, headers } = response;
    const shared = {
      ...parts,
      uri: contactUri(headers) ?? parts.uri,
      to: response.to,
      contact: '',
      maxForwards: '70',
      routes: headers
        .list('record-route')
        .toReversed()
        .map((route) => `Route: ${route}\r\n`)
        .join(''),
    };
    flow.send(printRequest({ ...shared, method: 'ACK', via: ownVia(flow.listener, newBranch()) }));
    const bye = { ...shared, method: 'BYE', seq: parts.seq + 1, via: ownVia(flow.listener, newBranch()) };
    this.#start(this.#own(bye), flow, printRequest(bye));
  }

  onFailed(transaction: Transaction, failure: Failure): void {
    const { sent, flow } = transaction;
    this.#invites.delete(sent.txn);
    if (sent.begun !== undefined && !sent.begun.confirmed) this.#core.dialogs.remove(sent.begun);
    if (transaction.method === 'BYE' && sent.dialog !== undefined) this.#core.dialogs.remove(sent.dialog);
    if (failure === 'timed-out') this.#localAnswer(sent, 408, 'Request Timeout', sentPeer(flow).protocol);
    else this.#localAnswer(sent, 503, 'Service Unavailable', sentPeer(flow).protocol);
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
    this.#start(this.#own({ ...sent.parts, method: 'CANCEL' }), flow, sent.cancel);
  }

  forget(transaction: Transaction): void {
    this.#byBranch.delete(`${transaction.branch} ${transaction.method}`);
    this.#invites.delete(transaction.sent.txn);
    if (transaction.sent.dialog === undefined) this.#core.dialogs.release(transaction.sent.dialogId);
    this.#core.counters.clientTransactions = this.#byBranch.size;
  }

  close(): void {
    for (const transaction of this.#byBranch.values()) transaction.stop();
    this.#byBranch.clear();
    this.#invites.clear();
  }
}

function expiresIn(response: Response): number {
  const seconds = Number(response.headers.get('expires') ?? '3600');
  return Number.isFinite(seconds) ? seconds : 3600;
}
