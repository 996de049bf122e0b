/**
 * An INVITE that is sent on to the next target after a 3xx: to whoever serves it a call of its own, to its caller the same one. A
 * refusal is kept back while there is another target; a CANCEL that comes between two targets is told to the next.
 */
import type { Dialog, EarlyDialog } from '../ports/dialog.ts';
import type { Answer, InviteTransaction } from '../ports/server-transaction.ts';
import type { Flow } from '../sip/flow.ts';
import type { SipRequest } from '../sip/message.ts';

export class FollowedInvite implements InviteTransaction {
  readonly flow: Flow;
  readonly receivedOn: string | undefined;
  readonly #asked: InviteTransaction;
  readonly #next: (status: number) => boolean;
  #request: SipRequest;
  #cancel: SipRequest | undefined;
  #onCancel: ((cancel: SipRequest) => void) | undefined;

  /** `next`: nobody is there at the last target; true when another one is tried instead. */
  constructor(asked: InviteTransaction, next: (status: number) => boolean) {
    this.#asked = asked;
    this.#next = next;
    this.#request = asked.request;
    this.flow = asked.flow;
    this.receivedOn = asked.receivedOn;
    asked.onCancel((cancel) => {
      this.#cancel = cancel;
      this.#onCancel?.(cancel);
    });
  }

  get request(): SipRequest {
    return this.#request;
  }

  get cancelled(): boolean {
    return this.#cancel !== undefined;
  }

  get early(): EarlyDialog {
    return this.#asked.early;
  }

  /** From now on it is for this one. */
  aim(uri: string): void {
    this.#request = { ...this.#asked.request, uri };
    this.#onCancel = undefined;
  }

  respond(answer: Answer): Promise<'sent' | 'gone'> {
    // 6xx speaks for the user wherever he is (RFC 3261 16.7 step 5)
    const final = answer.status >= 300 && answer.status < 600;
    return final && this.#next(answer.status) ? Promise.resolve('gone') : this.#asked.respond(answer);
  }

  accept(answer: Answer): Promise<Dialog | undefined> {
    return this.#asked.accept(answer);
  }

  onCancel(listener: (cancel: SipRequest) => void): void {
    this.#onCancel = listener;
    if (this.#cancel !== undefined) listener(this.#cancel);
  }
}
