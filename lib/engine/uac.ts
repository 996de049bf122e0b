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
import { newBranch, uuid } from './ids.ts';
import { beginsDialog, newRequestParts } from './new-request.ts';
import { appLines, printRequest, type RequestParts } from './printing.ts';
import { readTag, type Response } from './reading.ts';
import { hopOf } from './resolve.ts';
import { localAnswer, ownRequest, type Sent } from './sent.ts';
import { type ClientHost, ClientTransaction, type ClientUser, type Failure } from './transaction/client-transaction.ts';
import type { Flow } from './transport/flow.ts';
import type { Target } from './transport/transports.ts';
import { Way } from './way.ts';

type Transaction = ClientTransaction<Sent>;

const noDialog = 'Server error: unable to find dialog for dialog id provided';
/** About what start line and headers of an ACK take. */
const headOctets = 500;
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
    const cached = registrations.find(request.uri);
    if (cached !== undefined) {
      this.#send(app, msgId, request, Way.along(cached, this.#core, true), true, true);
      return;
    }
    const hop = hopOf(next, transports);
    switch (hop.is) {
      case 'no-transport':
        app.notOk(msgId, 'requested protocol/transport not available');
        return;
      case 'address':
        this.#sendTo(app, msgId, request, [hop.target], nextHop !== '');
        return;
      case 'name':
        void locator
          .locate(hop)
          .then((found) => this.#sendTo(app, msgId, request, found as readonly Target[], nextHop !== ''))
          .catch(() => counters.faults++);
        return;
      default:
        hop satisfies never;
    }
  }

  #sendTo(app: AppLink, msgId: string, request: SipRequest, targets: readonly Target[], alongFlow: boolean): void {
    const { transports } = this.#core;
    const others = targets.filter(({ address, port }) => !transports.isOwn(address, port));
    if (targets.length > 0 && others.length === 0) app.notOk(msgId, 'can not send request to myself');
    else this.#send(app, msgId, request, Way.to(others, this.#core), alongFlow);
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
    wayOf(dialog, this.#core, (way) => {
      const flow = way?.first;
      const parts = this.#inDialog(dialog, request.method, flow ?? dialog.flow, newBranch());
      const contact = withContact.has(request.method)
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
        again: way === undefined ? undefined : { way, lines, body: request.body },
      };
      if (flow === undefined) {
        // the connection the dialog lived on is gone (drachtio-protocol C.4)
        app.requestSent(msgId, printRequest(all, lines, request.body), 0, sentPeer(dialog.flow), sent.txn);
        localAnswer(sent, 410, 'Gone', sentPeer(dialog.flow).protocol);
        if (request.method === 'BYE') this.#core.dialogs.remove(dialog);
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

  /** `cached`: the flow was found through the registration cache, and is 410 when it is gone (drachtio-protocol C.4). */
  #send(app: AppLink, msgId: string, request: SipRequest, way: Way, alongFlow: boolean, cached = false): void {
    const { headers, method, body } = request;
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
    const parts = newRequestParts(request, flow ?? { listener, remoteAddress: '' }, () => this.#nextSeq());
    if (parts === undefined) {
      app.notOk(msgId, 'Error creating sip transaction for uac request');
      return;
    }
    const sent: Sent = {
      ...ownRequest(parts),
      app,
      txn: uuid(),
      dialogId: beginsDialog.has(method) ? dialogId(parts.callId, readTag(parts.from) ?? '') : '',
      alongFlow,
      again: { way, lines, body },
    };
    if (flow === undefined) {
      const text = printRequest(parts, lines, body);
      app.requestSent(msgId, text, 0, { protocol: 'unknown', address: '', port: 0 }, sent.txn);
      localAnswer(sent, 503, 'DNS Error', 'unknown');
    } else if (cached && !flow.open) {
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
    this.#start(sent, flow, text);
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
    if (failure === 'unavailable' ? sent.begun !== undefined : sent.heard) return false;
    again.way.failed(failure);
    const tried = this.#nextTry(sent);
    if (tried === undefined) return false;
    this.#start(sent, tried.flow, tried.text);
    return true;
  }

  #start(sent: Sent, flow: Flow, text: string): Transaction {
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
    wayOf(dialog, this.#core, (way) => {
      const lines = appLines(request.headers, request.body, true) ?? '';
      const flow = way?.direct(request.body.length + lines.length + headOctets) ?? dialog.flow;
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
    wayOf(dialog, this.#core, (way) => {
      const flow = way?.first;
      const parts = this.#inDialog(dialog, 'BYE', flow ?? dialog.flow, newBranch());
      const text = printRequest(parts, `Reason: SIP;cause=200;text="${reason}"\r\n`);
      if (flow !== undefined) this.#start(ownRequest(parts), flow, text);
      dialog.owner.unsolicited(text, sentPeer(flow ?? dialog.flow), dialog.id);
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
    const { sent } = transaction;
    const { status } = response;
    if (sent.app === undefined || status === 100) return;
    if (status === 503 && this.#tryElsewhere(sent, 'unavailable')) return;
    if (status !== 503) sent.again?.way.worked();
    if (status >= 200) sent.again = undefined;
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
    if (sent.dialog === undefined) adoptAnswer(dialog, response, sent);
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
      behindNat: false,
    });
    adoptAnswer(dialog, response, sent);
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
    flow.send(printRequest({ ...shared, method: 'ACK', via: ownVia(flow, newBranch()) }));
    const bye = { ...shared, method: 'BYE', seq: parts.seq + 1, via: ownVia(flow, newBranch()) };
    this.#start(ownRequest(bye), flow, printRequest(bye));
  }

  onFailed(transaction: Transaction, failure: Failure): void {
    const { sent, flow } = transaction;
    if (this.#tryElsewhere(sent, failure)) return;
    this.#invites.delete(sent.txn);
    if (sent.begun !== undefined && !sent.begun.confirmed) this.#core.dialogs.remove(sent.begun);
    if (transaction.method === 'BYE' && sent.dialog !== undefined) this.#core.dialogs.remove(sent.dialog);
    if (failure === 'timed-out') localAnswer(sent, 408, 'Request Timeout', sentPeer(flow).protocol);
    else localAnswer(sent, 503, 'Service Unavailable', sentPeer(flow).protocol);
  }

  ackFor(transaction: Transaction, response: Response): string {
    const { parts } = transaction.sent;
    return printRequest({ ...parts, method: 'ACK', to: response.to, contact: '', maxForwards: '70' });
  }

  onCancelDue(transaction: Transaction): void {
    const { sent, flow } = transaction;
    this.#start(ownRequest({ ...sent.parts, method: 'CANCEL' }), flow, sent.cancel);
  }

  forget(transaction: Transaction): void {
    this.#byBranch.delete(`${transaction.branch} ${transaction.method}`);
    // after another try began it is that one's entry
    if (this.#invites.get(transaction.sent.txn) === transaction) this.#invites.delete(transaction.sent.txn);
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
