/**
 * What answers to our INVITEs and SUBSCRIBEs make of dialogs (RFC 3261 12.1.2, 13.2.2; RFC 3262 4; RFC 6665 4.1): a dialog for
 * each who answers, one of which the app gets; the others are thanked and hung up.
 */
import type { AppLink } from './control/app-link.ts';
import type { Core } from './core.ts';
import { contactUri, Dialog } from './dialog/dialog.ts';
import { adoptAnswer } from './dialog/requests.ts';
import { namesUpdate } from './request-memo.ts';
import { readTag, type Response } from './reading.ts';
import type { OwnRequests } from './uac-own.ts';
import type { Sent, Transaction } from './sent.ts';

/** More early dialogs than this of one INVITE are not told apart. */
const mostForks = 16;

export class UacAnswers {
  readonly #core: Core;
  readonly #own: OwnRequests;

  constructor(core: Core, own: OwnRequests) {
    this.#core = core;
    this.#own = own;
  }

  /** Keeps the dialogs of an answer up to date. Returns the id of its dialog for the app; undefined: the app must not hear of it. */
  follow(transaction: Transaction, response: Response): string | undefined {
    const { sent } = transaction;
    if (response.status >= 300) {
      this.forgetEarly(sent);
      return sent.dialog?.id ?? sent.dialogId;
    }
    if (transaction.method === 'SUBSCRIBE') return this.#subscribed(sent, response);
    if (sent.dialog !== undefined) return this.#changed(sent, sent.dialog, response);
    return response.status < 200 ? this.#progress(sent, response) : this.#answered(sent, response);
  }

  /** No 2xx will come any more: early dialogs end (RFC 3261 12.3, 13.2.2.4). */
  forgetEarly(sent: Sent): void {
    for (const dialog of sent.begun) if (!dialog.confirmed) this.#core.dialogs.remove(dialog);
  }

  #subscribed(sent: Sent, response: Response): string {
    // one that begins no dialog has no name for it
    if (response.status < 200 || (sent.dialog === undefined && sent.dialogId === '')) return sent.dialogId;
    let dialog = sent.dialog ?? sent.begun[0];
    if (dialog === undefined) dialog = this.#begin(sent, response);
    else dialog.target = contactUri(response.headers) ?? dialog.target;
    this.#core.keepSubscription(dialog, expiresIn(response));
    return dialog.id;
  }

  /** An answer to an INVITE inside a dialog. */
  #changed(sent: Sent, dialog: Dialog, response: Response): string | undefined {
    const { status, headers } = response;
    if (status < 200) {
      const reliable = this.#isReliable(response);
      if (reliable && !isNext(dialog, sent.parts.seq, response)) return undefined;
      if (reliable) dialog.target = contactUri(headers) ?? dialog.target;
      return dialog.id;
    }
    if (this.#isAcknowledged(dialog, sent.parts.seq)) return undefined;
    // a 2xx that is not yet acknowledged is told once; its copies wait for the app's ACK
    if (sent.answered === dialog) return undefined;
    sent.answered = dialog;
    dialog.target = contactUri(headers) ?? dialog.target;
    dialog.invited = sent.parts.seq;
    noteAnswer(dialog, sent, response);
    if (sent.onRefreshed === undefined) this.#core.agreeSession(dialog, headers, 'uac');
    return dialog.id;
  }

  #progress(sent: Sent, response: Response): string | undefined {
    if (response.toTag === '' || response.status === 100) return sent.dialogId;
    let dialog = forkOf(sent, response);
    if (dialog === undefined) {
      if (sent.begun.length >= mostForks) return sent.dialogId;
      dialog = this.#begin(sent, response);
    } else if (!dialog.over) adoptAnswer(dialog, response, sent);
    if (this.#isReliable(response) && !isNext(dialog, sent.parts.seq, response)) return undefined;
    return dialog.id;
  }

  #answered(sent: Sent, response: Response): string | undefined {
    let dialog = forkOf(sent, response);
    if (dialog !== undefined && this.#isAcknowledged(dialog, sent.parts.seq)) return undefined;
    if (dialog !== undefined && dialog === sent.answered) return undefined;
    const isFirst = sent.answered === undefined && dialog?.over !== true;
    if (dialog === undefined) dialog = this.#begin(sent, response);
    else adoptAnswer(dialog, response, sent);
    if (!isFirst) {
      this.#own.hangUpFork(dialog);
      return undefined;
    }
    sent.answered = dialog;
    this.#core.dialogs.giveUsualId(dialog, sent.dialogId, sent.begun);
    // the peer answered before our CANCEL reached it: the dialog ends right after the app's ACK, but not one that stood before
    dialog.byeAfterAck = sent.cancel !== '' && (readTag(sent.parts.to) ?? '') === '';
    noteAnswer(dialog, sent, response);
    this.#core.agreeSession(dialog, response.headers, 'uac');
    return dialog.id;
  }

  /** The peer has not seen our ACK: it goes out again (RFC 3261 13.2.2.4). */
  #isAcknowledged(dialog: Dialog, seq: number): boolean {
    if (dialog.ack?.seq !== seq) return false;
    dialog.ack.flow.send(dialog.ack.text);
    return true;
  }

  #isReliable({ headers }: Response): boolean {
    return headers.has('rseq') && /\b100rel\b/i.test(headers.lines('require').join());
  }

  #begin(sent: Sent, response: Response): Dialog {
    const { parts } = sent;
    const dialog = new Dialog({
      id: sent.dialogId,
      begunBy: parts.method === 'SUBSCRIBE' ? 'SUBSCRIBE' : 'INVITE',
      ours: true,
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
    dialog.takesUpdate = namesUpdate(response.headers);
    this.#core.dialogs.add(dialog, true);
    sent.begun.push(dialog);
    return dialog;
  }
}

function forkOf(sent: Sent, response: Response): Dialog | undefined {
  return sent.begun.find((dialog) => dialog.remoteTag === response.toTag);
}

/** In order, and each once (RFC 3262 4): what was lost in between comes again, and so does what came too early. */
function isNext(dialog: Dialog, seq: number, { headers }: Response): boolean {
  const rseq = Number(headers.get('rseq'));
  if (!Number.isInteger(rseq)) return false;
  if (dialog.taken?.seq === seq && rseq !== dialog.taken.rseq + 1) return false;
  dialog.taken = { seq, rseq };
  return true;
}

function noteAnswer(dialog: Dialog, sent: Sent, { headers }: Response): void {
  if (headers.has('allow')) dialog.takesUpdate = namesUpdate(headers);
  if (sent.sdp !== '') dialog.localSdp = sent.sdp;
}

function expiresIn(response: Response): number {
  const seconds = Number(response.headers.get('expires') ?? '3600');
  return Number.isFinite(seconds) ? seconds : 3600;
}
