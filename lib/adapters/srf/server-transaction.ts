/** A request from the network other than INVITE (RFC 3261 17.2.2). One final answer; provisionals other than 100 are not sent (RFC 4320). */
import type { Dialog } from '../../ports/dialog.ts';
import type { Answer, DialogTransaction, ServerTransaction } from '../../ports/server-transaction.ts';
import type { Flow } from '../../sip/flow.ts';
import { parseMessage, type SipRequest } from '../../sip/message.ts';
import { tagOf } from '../../sip/name-addr.ts';
import { composeResponse } from './compose.ts';
import { SrfDialog, targetIn } from './dialog.ts';
import type { Exchange } from './exchange.ts';
import type { Reply } from './link.ts';

export class SrfServerTransaction implements ServerTransaction {
  readonly request: SipRequest;
  readonly flow: Flow;
  readonly receivedOn: string | undefined;
  readonly #exchange: Exchange;
  readonly #txn: string;
  #over = false;

  constructor(exchange: Exchange, txn: string, request: SipRequest, flow: Flow, receivedOn: string | undefined) {
    this.#exchange = exchange;
    this.#txn = txn;
    this.request = request;
    this.flow = flow;
    this.receivedOn = receivedOn;
  }

  respond(answer: Answer): Promise<'sent' | 'gone'> {
    return new Promise((resolve) => this.answer(answer, (reply) => resolve(reply?.ok === true ? 'sent' : 'gone')));
  }

  /**
   * `told` gets what the engine said to the answer, at once and not a microtask later: the next frame may be about what the answer
   * has made. undefined when it was too late for one.
   */
  protected answer(answer: Answer, told: (reply: Reply | undefined) => void): void {
    if (this.#over || !this.#exchange.alive) {
      told(undefined);
      return;
    }
    if (answer.status >= 200) this.#over = true;
    const meta = `sip|${this.#txn}|`;
    const text = answerText(answer, this.#hidesContact(answer), this.#to(answer));
    // 513 is short and true; a frame too long would make drachtio deaf for ever (drachtio-protocol A.1)
    const fits = this.#exchange.fits(meta, text);
    this.#exchange.line.send(meta, fits ? text : answerText({ status: 513 }), told);
  }

  #to({ toTag }: Answer): string | undefined {
    const to = this.request.headers.get('to') ?? '';
    return toTag === undefined || tagOf(to) !== undefined ? undefined : `${to};tag=${toTag}`;
  }

  /**
   * drachtio-server reads the expiry of `Contact` (or of `Expires`) in our 2xx to a REGISTER and from then on prefers that
   * connection for the phone's `user@host` to any next hop we name, inside dialogs too: two phones of one user and one address
   * would get each other's calls (drachtio-protocol C.3). The short name `m` (RFC 3261 7.3.3) says the same to the phone and
   * nothing to the server, which forgets what it may have known.
   */
  #hidesContact({ status }: Answer): boolean {
    if (!this.#exchange.surroundings.remembersConnections || this.flow.transport === 'udp') return false;
    return this.request.method === 'REGISTER' && status >= 200 && status < 300;
  }
}

/** A SUBSCRIBE outside dialogs: its 2xx makes the engine open one. */
export class SrfSubscribeTransaction extends SrfServerTransaction implements DialogTransaction {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange, txn: string, request: SipRequest, flow: Flow, receivedOn: string | undefined) {
    super(exchange, txn, request, flow, receivedOn);
    this.#exchange = exchange;
  }

  accept(answer: Answer): Promise<Dialog | undefined> {
    return new Promise((resolve) => this.answer(answer, (reply) => resolve(this.#opened(reply))));
  }

  #opened(reply: Reply | undefined): SrfDialog | undefined {
    const dialogId = reply?.fields[8] ?? '';
    if (reply?.ok !== true || dialogId === '') return undefined;
    const sent = parseMessage(reply.text());
    const local = sent.kind === 'response' ? (sent.headers.get('to') ?? '') : '';
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

export function answerText(answer: Answer, hidesContact = false, to?: string): string {
  const { status, reason, headers, body = '' } = answer;
  return composeResponse(status, reason, headers, body, { hidesContact, to });
}
