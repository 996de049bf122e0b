/** The requests of the network that the engine holds, and the answers kept for copies of them (RFC 3261 17.2). No decisions. */
import type { Headers } from '../sip/headers.ts';
import type { Core } from './core.ts';
import { newTag } from './ids.ts';
import { linesOf, printResponse } from './printing.ts';
import type { Request } from './reading.ts';
import { AnsweredRequests } from './transaction/answered-requests.ts';
import { type ServerHost, ServerTransaction } from './transaction/server-transaction.ts';
import { lengthOf } from './transaction/timer-lengths.ts';
import type { Flow } from './transport/flow.ts';

/** What could be read of a request that is not taken. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly method: string;
  readonly headers: Headers;
}

export class ServerTransactions implements ServerHost {
  readonly #core: Core;
  readonly #byKey = new Map<string, ServerTransaction>();
  readonly #byId = new Map<string, ServerTransaction>();
  readonly #answered: AnsweredRequests;
  readonly #onHeldTooLong: (transaction: ServerTransaction) => void;
  /** of all transactions together */
  #octets = 0;

  constructor(core: Core, onHeldTooLong: (transaction: ServerTransaction) => void) {
    this.#core = core;
    this.#onHeldTooLong = onHeldTooLong;
    const { timers, limits } = core.settings;
    this.#answered = new AnsweredRequests(core.wheel, lengthOf('timer-j', timers, false), limits.answerBytes);
  }

  get wheel(): Core['wheel'] {
    return this.#core.wheel;
  }

  get timers(): Core['settings']['timers'] {
    return this.#core.settings.timers;
  }

  /** Transactions the engine holds, and answers kept for copies. */
  get sizes(): { readonly open: number; readonly answered: number } {
    return { open: this.#byKey.size, answered: this.#answered.size };
  }

  /** How many wait for an app or are answered by one. */
  get offered(): number {
    return this.#byId.size;
  }

  /** An INVITE that was refused lives for half a minute: a flood of them must not take all memory. */
  get isFull(): boolean {
    const { transactions, transactionBytes } = this.#core.settings.limits;
    return this.#byKey.size >= transactions || this.#octets >= transactionBytes;
  }

  standing(key: string): ServerTransaction | undefined {
    return this.#byKey.get(key);
  }

  keptAnswer(key: string): string | undefined {
    return this.#answered.get(key);
  }

  /** By the id an app knows it by. */
  get(txn: string): ServerTransaction | undefined {
    return this.#byId.get(txn);
  }

  /** Those an app may still answer. */
  all(): Iterable<ServerTransaction> {
    return this.#byId.values();
  }

  begin(request: Request, key: string): ServerTransaction {
    const transaction = new ServerTransaction(request, key, this);
    this.#byKey.set(key, transaction);
    this.#octets += transaction.octets;
    this.#core.counters.serverTransactions = this.#byKey.size;
    return transaction;
  }

  /** From here on an app can answer it by its id. */
  offer(transaction: ServerTransaction): void {
    this.#byId.set(transaction.id, transaction);
    transaction.park(this.#core.settings.parkMs);
  }

  /** An answer of the engine's own. */
  answer(transaction: ServerTransaction, status: number, reason: string, lines = ''): void {
    this.finish(transaction, status, printResponse(status, reason, transaction, lines));
  }

  finish(transaction: ServerTransaction, status: number, text: string): boolean {
    if (!transaction.answer(status, text)) return false;
    if (status >= 200) this.#release(transaction);
    return true;
  }

  /** Answers what could be read but not be taken; never an ACK (RFC 3261 17.1.1.3 has no answer to it). */
  refuse({ headers, method, status, reason }: Refusal, flow: Flow): void {
    if (method === 'ACK') return;
    const to = headers.get('to');
    let lines = linesOf(headers, 'Via');
    for (const [name, value] of [
      ['From', headers.get('from')],
      ['To', to === undefined ? undefined : /;\s*tag\s*=/i.test(to) ? to : `${to};tag=${newTag()}`],
      ['Call-ID', headers.get('call-id')],
      ['CSeq', headers.get('cseq')],
    ] as const) {
      if (value !== undefined) lines += `${name}: ${value}\r\n`;
    }
    flow.send(`SIP/2.0 ${status} ${reason}\r\n${lines}Content-Length: 0\r\n\r\n`);
  }

  forget(transaction: ServerTransaction): void {
    if (this.#byKey.get(transaction.key) === transaction) this.#byKey.delete(transaction.key);
    this.#octets -= transaction.octets;
    this.#release(transaction);
    this.#core.counters.serverTransactions = this.#byKey.size;
  }

  keepAnswer(transaction: ServerTransaction, answer: string): void {
    this.#answered.set(transaction.key, answer);
  }

  onParkOver(transaction: ServerTransaction): void {
    transaction.dispatch('abandoned');
  }

  onHeldTooLong(transaction: ServerTransaction): void {
    this.#onHeldTooLong(transaction);
  }

  close(): void {
    for (const transaction of this.#byKey.values()) transaction.stop();
    this.#byKey.clear();
    this.#byId.clear();
  }

  #release(transaction: ServerTransaction): void {
    this.#byId.delete(transaction.id);
    const { dialog } = transaction;
    dialog?.open.delete(transaction);
    if (dialog?.invite === transaction && transaction.state !== 'proceeding') dialog.invite = undefined;
    transaction.reliable?.stop();
    transaction.reliable = undefined;
    transaction.memo =
      transaction.method === 'INVITE' && transaction.state === 'proceeding' ? transaction.memo : undefined;
  }
}
