/**
 * An INVITE from the network (RFC 3261 17.2.1), outside or inside a dialog. The engine has sent the 100 already; a held one
 * is lifted over the engine's time limit by the exchange's sweep. A caller that insists on reliable provisionals (Require:
 * 100rel), or is to have one, gets them one after the other, and a 2xx only after its PRACK (RFC 3262 3).
 */
import type { Dialog } from '../../ports/dialog.ts';
import type { Answer, InviteTransaction, ServerTransaction } from '../../ports/server-transaction.ts';
import type { Flow } from '../../sip/flow.ts';
import { Headers } from '../../sip/headers.ts';
import type { SipRequest } from '../../sip/message.ts';
import { parseMessage } from '../../sip/message.ts';
import { tagOf } from '../../sip/name-addr.ts';
import { SrfDialog, targetIn } from './dialog.ts';
import { SrfEarlyDialog } from './early-dialog.ts';
import type { EarlyParty, Exchange } from './exchange.ts';
import type { Reply } from './link.ts';
import { answerText } from './server-transaction.ts';

/** How long a reliable provisional may stay without PRACK before the INVITE is refused (64 T1, RFC 3262 3). */
const prackWithin = 32_000;

export class SrfInviteTransaction implements InviteTransaction, EarlyParty {
  readonly txn: string;
  readonly request: SipRequest;
  readonly flow: Flow;
  readonly receivedOn: string | undefined;
  readonly early: SrfEarlyDialog;
  /** when it came, by our clock */
  readonly since: number;
  readonly #exchange: Exchange;
  /** the dialog of a re-INVITE */
  readonly #dialog: SrfDialog | undefined;
  #at: 'open' | 'final' | 'cancelled' = 'open';
  #parked: boolean;
  /** a provisional above 100 was sent */
  #rang = false;
  #onCancel: ((cancel: SipRequest) => void) | undefined;
  #cancel: SipRequest | undefined;
  #earlyId: string | undefined;
  /** what waits for the PRACK of the reliable provisional that is out */
  #unacknowledged: { readonly next: (() => void)[]; readonly stopTimer: () => void } | undefined;

  constructor(
    exchange: Exchange,
    txn: string,
    request: SipRequest,
    flow: Flow,
    receivedOn: string | undefined,
    dialog: SrfDialog | undefined,
  ) {
    this.#exchange = exchange;
    this.early = new SrfEarlyDialog(exchange);
    this.txn = txn;
    this.request = request;
    this.flow = flow;
    this.receivedOn = receivedOn;
    this.#dialog = dialog;
    this.#parked = dialog === undefined;
    this.since = exchange.surroundings.clock.now();
    exchange.enterInvite(this);
  }

  respond(answer: Answer): Promise<'sent' | 'gone'> {
    if (answer.status >= 300) return this.#refuse(answer);
    if (answer.status >= 200) return this.accept(answer).then((dialog) => (dialog === undefined ? 'gone' : 'sent'));
    const reliable =
      answer.status > 100 && (this.#names('require') || (answer.reliable === true && this.#names('supported')));
    return new Promise((resolve) => {
      this.#inTurn(() => {
        if (this.#at !== 'open' || !this.#exchange.alive) resolve('gone');
        else this.#provisional(answer, reliable, resolve);
      });
    });
  }

  accept(answer: Answer): Promise<Dialog | undefined> {
    return new Promise((resolve) => {
      this.#inTurn(() => {
        const text = answerText(answer);
        if (this.#at !== 'open' || !this.#exchange.alive) resolve(undefined);
        else if (!this.#exchange.fits(this.#meta, text))
          void this.#refuse({ status: 513 }).then(() => resolve(undefined));
        else {
          this.#close('final');
          this.#exchange.line.send(this.#meta, text, (reply) => resolve(reply.ok ? this.#opened(reply) : undefined));
        }
      });
    });
  }

  onCancel(listener: (cancel: SipRequest) => void): void {
    this.#onCancel = listener;
    if (this.#cancel !== undefined) this.#tellCancel(this.#cancel);
  }

  /** A CANCEL came; the engine has answered it and the INVITE. */
  cancelled(cancel: SipRequest): void {
    if (this.#at !== 'open') return;
    this.#close('cancelled');
    this.#tellCancel(cancel);
  }

  /** The caller gave up with a BYE in the early dialog (RFC 3261 15): to the use-case the same as a CANCEL. */
  hungUp(bye: SipRequest): void {
    this.#giveUp(487, bye);
  }

  requested(_dialogId: string, transaction: ServerTransaction): boolean {
    return this.early.requested(transaction);
  }

  acknowledged(): void {
    const waiting = this.#unacknowledged;
    if (waiting === undefined) return;
    this.#unacknowledged = undefined;
    waiting.stopTimer();
    for (const task of waiting.next) this.#inTurn(task);
  }

  /** Answers 100 once, which makes the engine keep the INVITE for as long as we do. */
  unpark(): void {
    if (!this.#parked || this.#at !== 'open') return;
    this.#parked = false;
    this.#exchange.line.send(this.#meta, answerText({ status: 100 }), (reply) => {
      if (!reply.ok) this.#gone();
    });
  }

  /** Resolves when the engine has said whether the caller still waits; if not, it is the end here as after a CANCEL. */
  confirm(): Promise<void> {
    // a 100 after a 180 nobody expects, and who rings already hears of the end at the next word to the caller
    if (this.#at !== 'open' || this.#dialog !== undefined || this.#rang) return Promise.resolve();
    this.#parked = false;
    return new Promise((resolve) => {
      this.#exchange.line.send(this.#meta, answerText({ status: 100 }), (reply) => {
        if (!reply.ok) this.#gone();
        resolve();
      });
    });
  }

  /** Another app has answered or is about to: the engine takes the first answer. */
  giveUp(): void {
    this.#giveUp(480);
  }

  /** first line of the frames that answer */
  get #meta(): string {
    return `sip|${this.txn}|`;
  }

  #names(header: 'require' | 'supported'): boolean {
    return this.request.headers.list(header).some((tag) => tag.toLowerCase() === '100rel');
  }

  /** The line ended, so the engine gives the caller no answer of ours any more. */
  lost(): void {
    this.#gone();
  }

  /** To the use-case the same as a CANCEL: there is nobody left to ring for. */
  #gone(): void {
    if (this.#at !== 'open') return;
    this.#close('cancelled');
    this.#tellCancel(nobody(this.request.uri));
  }

  /** Answers by itself and tells the use-case that it is over. */
  #giveUp(status: number, because?: SipRequest): void {
    if (this.#at !== 'open') return;
    void this.#refuse({ status });
    this.#tellCancel(because ?? nobody(this.request.uri));
  }

  #tellCancel(cancel: SipRequest): void {
    if (this.#onCancel === undefined) {
      this.#cancel = cancel;
      return;
    }
    const tell = this.#onCancel;
    this.#cancel = undefined;
    this.#onCancel = undefined;
    tell(cancel);
  }

  #refuse(answer: Answer): Promise<'sent' | 'gone'> {
    if (this.#at !== 'open' || !this.#exchange.alive) return Promise.resolve('gone');
    this.#close('final');
    const text = answerText(answer);
    const sent = this.#exchange.fits(this.#meta, text) ? text : answerText({ status: 513 });
    return new Promise((resolve) => {
      this.#exchange.line.send(this.#meta, sent, (reply) => resolve(reply.ok ? 'sent' : 'gone'));
    });
  }

  #provisional(answer: Answer, reliable: boolean, resolve: (outcome: 'sent' | 'gone') => void): void {
    this.#parked = false;
    this.#rang ||= answer.status > 100;
    const headers = answer.headers?.copy() ?? Headers.empty();
    const require = headers.list('require').filter((tag) => tag.toLowerCase() !== '100rel');
    if (reliable) require.push('100rel');
    if (require.length > 0) headers.set('Require', require.join(', '));
    else headers.delete('Require');
    const text = answerText({ ...answer, headers });
    if (!this.#exchange.fits(this.#meta, text)) {
      resolve('gone');
      return;
    }
    if (reliable) {
      const stopTimer = this.#exchange.surroundings.clock.after(prackWithin, () => this.#giveUp(504));
      this.#unacknowledged = { next: [], stopTimer };
    }
    this.#exchange.line.send(this.#meta, text, (reply) => {
      if (reply.ok) this.#becameEarly(reply.fields[8] ?? '');
      // the engine has answered by itself: a second INVITE with the Call-ID and tag of another (a PBX that forks), say
      else this.#gone();
      resolve(reply.ok ? 'sent' : 'gone');
    });
  }

  #becameEarly(dialogId: string): void {
    if (dialogId === '' || this.#earlyId !== undefined || this.#at !== 'open') return;
    this.#earlyId = dialogId;
    this.early.begin(dialogId);
    this.#exchange.enterEarly(dialogId, this);
  }

  /** Does it now, or once the reliable provisional before it has been acknowledged. */
  #inTurn(task: () => void): void {
    if (this.#unacknowledged === undefined || this.#at !== 'open') task();
    else this.#unacknowledged.next.push(task);
  }

  #close(at: 'final' | 'cancelled'): void {
    this.#at = at;
    this.early.end();
    this.#exchange.leaveInvite(this);
    if (this.#earlyId !== undefined) this.#exchange.leaveEarly(this.#earlyId, this);
    const waiting = this.#unacknowledged;
    this.#unacknowledged = undefined;
    waiting?.stopTimer();
    for (const task of waiting?.next ?? []) task();
  }

  #opened(reply: Reply): SrfDialog | undefined {
    if (this.#dialog !== undefined) return this.#dialog;
    const sent = parseMessage(reply.text());
    const dialogId = reply.fields[8] ?? '';
    if (sent.kind !== 'response' || dialogId === '') return undefined;
    const local = sent.headers.get('to') ?? '';
    const remote = this.request.headers.get('from') ?? '';
    return new SrfDialog(
      this.#exchange,
      dialogId,
      {
        callId: this.request.headers.get('call-id') ?? '',
        localTag: tagOf(local) ?? '',
        remoteTag: tagOf(remote) ?? '',
      },
      () => ({ target: targetIn(this.request.headers), local, remote, cseq: 1 }),
    );
  }
}

/** The CANCEL nobody sent: of a caller who is out of reach. */
function nobody(uri: string): SipRequest {
  return { kind: 'request', method: 'CANCEL', uri, headers: Headers.empty(), body: '' };
}
