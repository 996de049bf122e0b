/** Acknowledges the reliable provisionals of one INVITE of ours (RFC 3262 4): each once, in order, per early dialog. */
import { Headers } from '../../sip/headers.ts';
import type { SipResponse } from '../../sip/message.ts';
import { tagOf } from '../../sip/name-addr.ts';
import { composeRequest } from './compose.ts';
import type { Exchange } from './exchange.ts';

export type Provisional = 'plain' | 'reliable' | 'repeated';

export class Pracks {
  readonly #exchange: Exchange;
  /** last RSeq by To tag */
  #last: Map<string, number> | undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /** Sends the PRACK where one is due; 'repeated' is to be ignored: a copy, or one out of order that will come again. */
  take(response: SipResponse, dialogId: string): Provisional {
    const rseq = response.headers.get('rseq');
    if (rseq === undefined || response.status <= 100) return 'plain';
    const number = Number(rseq);
    const cseq = response.headers.get('cseq');
    if (!Number.isInteger(number) || cseq === undefined || dialogId === '') return 'plain';
    const tag = tagOf(response.headers.get('to') ?? '') ?? '';
    const last = this.#last?.get(tag);
    if (last !== undefined && number !== last + 1) return 'repeated';
    this.#last ??= new Map();
    this.#last.set(tag, number);
    const text = composeRequest('PRACK', 'sip:placeholder', Headers.of([['RAck', `${number} ${cseq}`]]), '');
    if (text !== undefined) {
      this.#exchange.request(`|${dialogId}`, text, {
        sent: () => {},
        refused: () => {},
        response: () => {},
      });
    }
    return 'reliable';
  }
}
