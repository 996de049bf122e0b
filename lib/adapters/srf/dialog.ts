/** One side of a call (RFC 3261 12) on the engine's dialog. What comes before somebody listens is kept for him. */
import type { AckContent, Dialog, DialogAnswer, DialogRequest } from '../../ports/dialog.ts';
import type { ServerTransaction } from '../../ports/server-transaction.ts';
import { Headers } from '../../sip/headers.ts';
import type { SipRequest } from '../../sip/message.ts';
import { composeRequest } from './compose.ts';
import type { Exchange } from './exchange.ts';
import { localResponse } from './local-response.ts';
import { Pracks } from './pracks.ts';

/** The engine replaces it by the remote target (drachtio-protocol A.2). */
export const placeholder = 'sip:placeholder';

export class SrfDialog implements Dialog {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly #id: string;
  readonly #exchange: Exchange;
  readonly #requests = new Listener<ServerTransaction>();
  readonly #acks = new Listener<SipRequest>();
  readonly #ends = new Listener<string>();
  #over = false;

  constructor(
    exchange: Exchange,
    id: string,
    names: { readonly callId: string; readonly localTag: string; readonly remoteTag: string },
  ) {
    this.#exchange = exchange;
    this.#id = id;
    this.callId = names.callId;
    this.localTag = names.localTag;
    this.remoteTag = names.remoteTag;
    exchange.dialogs.set(id, this);
  }

  request(request: DialogRequest): Promise<DialogAnswer> {
    return this.#over
      ? Promise.resolve({ response: localResponse(481), local: true })
      : askInDialog(this.#exchange, this.#id, request);
  }

  onRequest(listener: (transaction: ServerTransaction) => void): void {
    this.#requests.set(listener);
  }

  onAck(listener: (ack: SipRequest) => void): void {
    this.#acks.set(listener);
  }

  onEnd(listener: (why: string) => void): void {
    this.#ends.set(listener);
  }

  close(): void {
    this.#over = true;
    if (this.#exchange.dialogs.get(this.#id) === this) this.#exchange.dialogs.delete(this.#id);
  }

  requested(transaction: ServerTransaction): void {
    this.#requests.post(transaction);
  }

  acknowledged(ack: SipRequest): void {
    this.#acks.post(ack);
  }

  /** The engine has ended it, or nobody can reach it any more. */
  ended(why: string): void {
    if (this.#over) return;
    this.close();
    this.#ends.post(why);
  }
}

/** Sends a request inside the dialog the engine knows by this id, confirmed or early. */
export function askInDialog(exchange: Exchange, dialogId: string, request: DialogRequest): Promise<DialogAnswer> {
  const text = composeRequest(request.method, placeholder, request.headers, request.body);
  if (text === undefined) return Promise.resolve({ response: localResponse(400), local: true });
  if (!exchange.alive) return Promise.resolve({ response: localResponse(503), local: true });
  return new Promise((resolve) => send(exchange, dialogId, request, text, resolve));
}

function send(
  exchange: Exchange,
  dialogId: string,
  request: DialogRequest,
  text: string,
  resolve: (answer: DialogAnswer) => void,
): void {
  const pracks = new Pracks(exchange);
  let txn: string | undefined;
  const cancel = (): void => {
    const message = composeRequest('CANCEL', placeholder, request.cancelHeaders?.() ?? Headers.empty(), '');
    if (txn !== undefined && message !== undefined) exchange.tell(`${txn}|`, message);
  };
  const end = (answer: DialogAnswer): void => {
    request.cancel?.removeEventListener('abort', cancel);
    resolve(answer);
  };
  exchange.request(`|${dialogId}`, text, {
    sent: (id) => {
      txn = id;
      if (request.method !== 'INVITE' || request.cancel === undefined) return;
      if (request.cancel.aborted) cancel();
      else request.cancel.addEventListener('abort', cancel, { once: true });
    },
    refused: (why) => {
      const status = !exchange.alive ? 503 : /unable to find dialog/i.test(why) ? 481 : 500;
      end({ response: localResponse(status), local: true });
    },
    response: (response, local) => {
      if (response.status < 200) {
        const provisional = pracks.take(response, dialogId);
        if (response.status > 100 && provisional !== 'repeated')
          request.progress?.(response, provisional === 'reliable');
      } else if (request.method === 'INVITE' && response.status < 300)
        end({ response, local, ack: ackOnce(exchange, dialogId, placeholder) });
      else end({ response, local });
    },
  });
}

/** The ACK to one 2xx: the first call sends it, any other does nothing (the engine repeats it by itself). */
export function ackOnce(exchange: Exchange, dialogId: string, uri: string): (content?: AckContent) => void {
  let sent = false;
  return (content) => {
    if (sent) return;
    sent = true;
    const text = composeRequest('ACK', uri, content?.headers ?? Headers.empty(), content?.body ?? '');
    if (text !== undefined) exchange.tell(`|${dialogId}`, text);
  };
}

/** One listener; what comes before it is kept. */
class Listener<T> {
  #listener: ((value: T) => void) | undefined;
  #kept: T[] = [];

  set(listener: (value: T) => void): void {
    this.#listener = listener;
    const kept = this.#kept;
    this.#kept = [];
    for (const value of kept) listener(value);
  }

  post(value: T): void {
    if (this.#listener === undefined) this.#kept.push(value);
    else this.#listener(value);
  }
}
