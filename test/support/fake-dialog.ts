/** Dialogs and transactions as values: they remember what they were told, and answer when the test says so. */
import type { AckContent, Dialog, DialogAnswer, DialogRequest, EarlyDialog } from '../../lib/ports/dialog.ts';
import type { Answer, InviteTransaction, ServerTransaction } from '../../lib/ports/server-transaction.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { request, response, type SipRequest } from '../../lib/sip/message.ts';

type Fields = readonly (readonly [string, string])[];

/** One request of the use-case inside a dialog. */
export interface Asked {
  readonly request: DialogRequest;
  /** Answers it. A 2xx to an INVITE gets an ACK function. */
  answer(
    status: number,
    options?: { readonly local?: boolean; readonly headers?: Fields; readonly body?: string; readonly reason?: string },
  ): Promise<void>;
  /** ACKs sent for it */
  readonly acks: (AckContent | undefined)[];
}

export class FakeDialog implements Dialog {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  /** what was asked and not answered yet */
  readonly asked: Asked[] = [];
  /** methods of everything asked, in order */
  readonly methods: string[] = [];
  closed = 0;
  /** of the peer's last request */
  #cseq = 1;
  #onRequest: ((transaction: ServerTransaction) => void) | undefined;
  #onAck: ((ack: SipRequest) => void) | undefined;
  #onEnd: ((why: string) => void) | undefined;

  constructor(name: string) {
    this.callId = `${name}-call`;
    this.localTag = `${name}-ours`;
    this.remoteTag = `${name}-theirs`;
  }

  request(asked: DialogRequest): Promise<DialogAnswer> {
    this.methods.push(asked.method);
    return new Promise((resolve) => {
      const acks: (AckContent | undefined)[] = [];
      this.asked.push({
        request: asked,
        acks,
        answer: async (status, { local = false, headers = [], body = '', reason = 'Fake' } = {}) => {
          this.asked.splice(
            this.asked.findIndex((one) => one.acks === acks),
            1,
          );
          const message = response(status, reason, Headers.of(headers), body);
          const acknowledged = asked.method === 'INVITE' && status >= 200 && status < 300;
          resolve(
            acknowledged
              ? { response: message, local, ack: (content) => acks.push(content) }
              : { response: message, local },
          );
          await settled();
        },
      });
    });
  }

  /** The request asked last with this method. */
  last(method: string): Asked {
    const found = this.asked.findLast((one) => one.request.method === method);
    if (found === undefined) throw new Error(`no ${method} waits; ${this.methods.join(', ')} were asked`);
    return found;
  }

  onRequest(listener: (transaction: ServerTransaction) => void): void {
    this.#onRequest = listener;
  }

  onAck(listener: (ack: SipRequest) => void): void {
    this.#onAck = listener;
  }

  onEnd(listener: (why: string) => void): void {
    this.#onEnd = listener;
  }

  close(): void {
    this.closed++;
  }

  // ---- what the peer does ----

  async sends(
    method: string,
    options: { readonly headers?: Fields; readonly body?: string } = {},
  ): Promise<RecordedTransaction> {
    const transaction = new RecordedTransaction(
      request(
        method,
        'sip:edge',
        Headers.of([['CSeq', `${++this.#cseq} ${method}`], ...(options.headers ?? [])]),
        options.body ?? '',
      ),
      this,
    );
    this.#onRequest?.(transaction);
    await settled();
    return transaction;
  }

  async acknowledges(body = '', headers: Fields = []): Promise<void> {
    this.#onAck?.(request('ACK', 'sip:edge', Headers.of([...headers, ['CSeq', `${this.#cseq} ACK`]]), body));
    await settled();
  }

  async ends(why: string): Promise<void> {
    this.#onEnd?.(why);
    await settled();
  }
}

export class RecordedTransaction implements InviteTransaction {
  readonly early: EarlyDialog = {
    request: () => Promise.reject(new Error('nobody speaks in this early dialog')),
    onRequest: () => {},
  };
  readonly request: SipRequest;
  readonly flow = { transport: 'udp', address: '192.0.2.9', port: 5060, engine: 'e' } as const;
  readonly receivedOn = '192.0.2.1:5060';
  readonly answers: Answer[] = [];
  readonly #dialog: Dialog | undefined;
  #onCancel: ((cancel: SipRequest) => void) | undefined;
  #gone = false;

  constructor(asked: SipRequest, dialog?: Dialog) {
    this.request = asked;
    this.#dialog = dialog;
  }

  /** The final answer; throws when there are several, undefined while there is none. */
  get final(): Answer | undefined {
    const finals = this.answers.filter(({ status }) => status >= 200);
    if (finals.length > 1) throw new Error(`answered ${finals.map(({ status }) => status).join(' and ')}`);
    return finals[0];
  }

  respond(answer: Answer): Promise<'sent' | 'gone'> {
    if (this.#gone) return Promise.resolve('gone');
    this.answers.push(answer);
    if (answer.status >= 200) this.#gone = true;
    return Promise.resolve('sent');
  }

  accept(answer: Answer): Promise<Dialog | undefined> {
    return this.respond(answer).then((outcome) => (outcome === 'sent' ? this.#dialog : undefined));
  }

  onCancel(listener: (cancel: SipRequest) => void): void {
    this.#onCancel = listener;
  }

  async cancels(headers: Fields = []): Promise<void> {
    this.#gone = true;
    this.#onCancel?.(request('CANCEL', 'sip:edge', Headers.of(headers)));
    await settled();
  }
}

/** Everything that was resolved has run. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}
