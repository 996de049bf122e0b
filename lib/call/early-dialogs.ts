/** Carries requests between the caller and the phone that rings, before the answer (RFC 3311). Who with whom: core/early-peers. */
import { earlyRequest, type EarlyPeers, nobodyRings, rings, stops } from '../core/early-peers.ts';
import { passAnswer, type PassOptions, passRequest } from '../core/pass-headers.ts';
import type { EarlyDialog } from '../ports/dialog.ts';
import type { InviteTransaction, ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';

export class EarlyDialogs {
  readonly #caller: InviteTransaction;
  /** how header fields pass from the phones to the caller */
  readonly #toCaller: PassOptions;
  readonly #toPhone: PassOptions;
  #peers: EarlyPeers = nobodyRings;
  readonly #phones = new Map<string, EarlyDialog>();

  constructor(caller: InviteTransaction, toCaller: PassOptions) {
    this.#caller = caller;
    this.#toCaller = toCaller;
    const { from = 'upstream', towards = 'upstream' } = toCaller;
    this.#toPhone = { ...toCaller, from: towards, towards: from };
  }

  /** A phone rings in this dialog; `id` tells its dialogs apart. */
  ring(id: string, early: EarlyDialog, description: 'none' | 'unreliable' | 'reliable'): void {
    this.#peers = rings(this.#peers, id, description);
    if (this.#phones.has(id)) return;
    if (this.#phones.size === 0) this.#caller.early.onRequest((transaction) => this.#requested(undefined, transaction));
    this.#phones.set(id, early);
    early.onRequest((transaction) => this.#requested(id, transaction));
  }

  /** Those whose id begins like this ring no more. */
  stop(prefix: string): void {
    for (const id of this.#phones.keys()) {
      if (!id.startsWith(prefix)) continue;
      this.#peers = stops(this.#peers, id);
      this.#phones.delete(id);
    }
  }

  #requested(from: string | undefined, transaction: ServerTransaction): void {
    const { method, body } = transaction.request;
    const verdict = earlyRequest(this.#peers, from, { method, hasBody: body !== '' });
    switch (verdict.do) {
      case 'pass': {
        const phone = this.#phones.get(verdict.phone);
        if (from !== undefined) void pass(transaction, this.#caller.early, this.#toCaller, this.#toPhone);
        else if (phone !== undefined) void pass(transaction, phone, this.#toPhone, this.#toCaller);
        else void transaction.respond(later);
        return;
      }
      case 'pending':
        return void transaction.respond({ status: 491 });
      case 'accept':
        return void transaction.respond({ status: 200 });
      case 'later':
        return void transaction.respond(later);
      default:
        return verdict satisfies never;
    }
  }
}

const later = { status: 500, headers: Headers.of([['Retry-After', '5']]) };

async function pass(asked: ServerTransaction, to: EarlyDialog, there: PassOptions, back: PassOptions): Promise<void> {
  const { method, headers, body } = asked.request;
  const { response, local } = await to.request({ method, headers: passRequest(headers, there), body });
  // whatever is wrong over there, the call of the one who asked is not over before its INVITE is
  if (local || response.status === 408 || response.status === 481) {
    void asked.respond(later);
    return;
  }
  void asked.respond({
    status: response.status,
    reason: response.reason,
    headers: passAnswer(response.headers, response.status, back),
    body: response.body,
  });
}
