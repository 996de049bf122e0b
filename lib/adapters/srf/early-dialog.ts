/** A dialog before its INVITE is answered (RFC 3261 12.1), ours or the peer's. */
import type { DialogAnswer, DialogRequest, EarlyDialog } from '../../ports/dialog.ts';
import type { ServerTransaction } from '../../ports/server-transaction.ts';
import { askInDialog } from './dialog.ts';
import type { Exchange } from './exchange.ts';
import { localResponse } from './local-response.ts';

export class SrfEarlyDialog implements EarlyDialog {
  readonly #exchange: Exchange;
  #id: string | undefined;
  #listener: ((transaction: ServerTransaction) => void) | undefined;

  constructor(exchange: Exchange, id?: string) {
    this.#exchange = exchange;
    this.#id = id;
  }

  /** What the engine calls it; it exists from then on. */
  begin(id: string): void {
    this.#id = id;
  }

  /** Its INVITE has its final answer. */
  end(): void {
    this.#id = undefined;
    this.#listener = undefined;
  }

  request(request: DialogRequest): Promise<DialogAnswer> {
    return this.#id === undefined
      ? Promise.resolve({ response: localResponse(481), local: true })
      : askInDialog(this.#exchange, this.#id, request);
  }

  onRequest(listener: (transaction: ServerTransaction) => void): void {
    this.#listener = listener;
  }

  /** False when nobody listens. */
  requested(transaction: ServerTransaction): boolean {
    this.#listener?.(transaction);
    return this.#listener !== undefined;
  }
}
