/** One side of a call (RFC 3261 12) on the engine's dialog. What comes before somebody listens is kept for him. */
import type { AckContent, Dialog, DialogAnswer, DialogRequest } from '../../ports/dialog.ts';
import type { ServerTransaction } from '../../ports/server-transaction.ts';
import { Headers } from '../../sip/headers.ts';
import { parseMessage, type SipRequest, type SipResponse } from '../../sip/message.ts';
import { parseNameAddr, tagOf } from '../../sip/name-addr.ts';
import { composeRequest, fitsMetaLine } from './compose.ts';
import type { Exchange } from './exchange.ts';
import type { Reply } from './link.ts';
import { localResponse } from './local-response.ts';
import { Pracks } from './pracks.ts';

/** The engine replaces it by the remote target (drachtio-protocol A.2). */
export const placeholder = 'sip:placeholder';

/** Timer F (RFC 3261 17.1.2.2) */
const answeredWithinMs = 32_000;

/** The peer is somewhere else than the engine believes: our requests go there by our own count. */
interface Moved {
  readonly nextHop: string;
  /** another engine than that of the dialog */
  readonly engine: string | undefined;
  parts: DialogParts;
}

/** A request of the dialog that is sent as one outside dialogs. */
interface Outside {
  readonly target: string;
  readonly nextHop: string;
  readonly headers: Headers;
}

export class SrfDialog implements Dialog {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly #id: string;
  readonly #exchange: Exchange;
  readonly #requests = new Listener<ServerTransaction>();
  readonly #acks = new Listener<SipRequest>();
  readonly #ends = new Listener<string>();
  readonly #begun: () => DialogParts;
  /** the newest request of ours inside it, as the engine sent it */
  #lastSent: (() => string) | undefined;
  /** Contact of the peer's newest target refresh (RFC 3261 12.2) */
  #newTarget: string | undefined;
  /** our requests go there by our own count: the engine cannot be told another way for a dialog */
  #moved: Moved | undefined;
  /** the same dialog as another engine has it, since an INVITE of ours went from there (RFC 3261 12.2: only its peer's target is new) */
  #successor: Dialog | undefined;
  #former: readonly Dialog[] = [];
  /** a BYE of ours is out: it may have been lost with the way it went, but the engine has forgotten the dialog */
  #byeSent = false;
  #over = false;

  constructor(
    exchange: Exchange,
    id: string,
    names: { readonly callId: string; readonly localTag: string; readonly remoteTag: string },
    begun: () => DialogParts,
  ) {
    this.#exchange = exchange;
    this.#id = id;
    this.callId = names.callId;
    this.localTag = names.localTag;
    this.remoteTag = names.remoteTag;
    this.#begun = begun;
    exchange.dialogs.set(id, this);
  }

  get remoteTarget(): string | undefined {
    return this.#successor?.remoteTarget ?? this.#newTarget ?? this.#begun().target;
  }

  request(request: DialogRequest): Promise<DialogAnswer> {
    if (this.#over) return Promise.resolve({ response: localResponse(481), local: true });
    if (this.#successor !== undefined) return this.#successor.request(request);
    if (!this.#exchange.alive) return Promise.resolve({ response: localResponse(503), local: true });
    const moved = this.#wayOfItsOwn(request);
    if (moved !== undefined && request.method === 'INVITE') return this.#inviteFrom(request, moved);
    if (moved !== undefined) return new Promise((resolve) => this.#sendOutside(request, moved, resolve));
    return askInDialog(this.#exchange, this.#id, request, (reply) => {
      this.#lastSent = reply.text;
    });
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
    if (this.#successor === undefined) return;
    for (const one of [this.#successor, ...this.#former]) one.close();
    this.#forgetHere();
  }

  requested(transaction: ServerTransaction): void {
    const { method, headers } = transaction.request;
    if (method === 'INVITE' || method === 'UPDATE' || method === 'SUBSCRIBE' || method === 'NOTIFY') {
      const target = targetIn(headers);
      if (target !== '') this.#newTarget = target;
    }
    this.#requests.post(transaction);
  }

  acknowledged(ack: SipRequest): void {
    this.#acks.post(ack);
  }

  /** The engine has ended it, or nobody can reach it any more. */
  ended(why: string): void {
    // what is left of it here has no peer any more
    if (this.#over || this.#successor !== undefined) return;
    this.close();
    this.#ends.post(why);
  }

  #wayOfItsOwn({ method, nextHop, engine }: DialogRequest): Moved | undefined {
    const { movesFlows, engineId } = this.#exchange.surroundings;
    const away = engine === engineId ? undefined : engine;
    // what went by our own count the engine has not counted
    const counts = movesFlows && away === undefined && this.#moved === undefined;
    if (counts && !this.#byeSent) {
      this.#byeSent = method === 'BYE';
      return undefined;
    }
    // a 2xx to one of these belongs to a dialog, which no drachtio-server takes over from another
    if (method === 'SUBSCRIBE' || (method === 'INVITE' && !movesFlows)) return undefined;
    // a BYE that reached nobody has ended the dialog for the engine
    if (counts && method !== 'BYE') return undefined;
    if (nextHop === undefined || !fitsMetaLine(nextHop)) return this.#moved;
    const parts = this.#moved?.parts ?? (this.#lastSent === undefined ? this.#begun() : partsOf(this.#lastSent()));
    this.#moved = { nextHop, engine: away, parts };
    return this.#moved;
  }

  /**
   * A request of this dialog (same Call-ID and tags, next CSeq) sent as one outside dialogs, the only way both engines offer to
   * choose a next hop (drachtio-protocol A.2).
   */
  #sendOutside(request: DialogRequest, moved: Moved, resolve: (answer: DialogAnswer) => void): void {
    const outside = this.#outside(request, moved);
    if (moved.engine === undefined) this.#sendFromHere(request, outside, resolve);
    else this.#sendFromThere(request, outside, moved.engine).then(resolve, () => {});
    if (request.method === 'BYE') this.#forgetHere();
  }

  #outside({ method, headers: given }: DialogRequest, moved: Moved): Outside {
    const { local, remote, cseq } = moved.parts;
    moved.parts = { ...moved.parts, cseq: cseq + 1 };
    const headers = Headers.of([
      ['From', local],
      ['To', remote],
      ['Call-ID', this.callId],
      ['CSeq', `${cseq + 1} ${method}`],
    ]);
    for (const [name, value] of given.entries()) headers.add(name, value);
    return { target: this.#newTarget ?? moved.parts.target, nextHop: moved.nextHop, headers };
  }

  /** Along its own way nobody will ever answer it, but the engine forgets the dialog. */
  #forgetHere(): void {
    this.#exchange.tell(`|${this.#id}`, composeRequest('BYE', placeholder, Headers.empty(), '') ?? '');
  }

  /**
   * A re-INVITE that leaves from the engine its peer is connected to now: the dialog its 2xx makes there is this one from then on, for
   * the peer has learnt that we are there (Contact, RFC 3261 14.1).
   */
  #inviteFrom(request: DialogRequest, moved: Moved): Promise<DialogAnswer> {
    const elsewhere = this.#exchange.surroundings.elsewhere();
    if (elsewhere === undefined) return Promise.resolve({ response: localResponse(503), local: true });
    const { target, nextHop, headers } = this.#outside(request, moved);
    const engine = moved.engine ?? this.#exchange.surroundings.engineId;
    return new Promise((resolve) => {
      const cancel = (): void => leg.cancel(request.cancelHeaders?.().get('Reason'));
      const end = (answer: DialogAnswer): void => {
        request.cancel?.removeEventListener('abort', cancel);
        resolve(answer);
      };
      const leg = elsewhere.legs.start(
        { uri: target, nextHop, engine, headers, body: request.body },
        {
          progress: (response, reliable) => request.progress?.(response, reliable),
          answered: (response, dialog, ack) => {
            this.#succeededBy(dialog);
            end({ response, local: false, ack });
          },
          failed: (response, local) => end({ response, local }),
        },
      );
      if (request.cancel?.aborted === true) cancel();
      else request.cancel?.addEventListener('abort', cancel, { once: true });
    });
  }

  #succeededBy(dialog: Dialog): void {
    // the 2xx to a copy that was taken back too late makes one more, and the peer may speak in either
    this.#former = [...this.#former, ...(this.#successor === undefined ? [] : [this.#successor])];
    this.#successor = dialog;
    dialog.onRequest((transaction) => this.#requests.post(transaction));
    dialog.onAck((ack) => this.#acks.post(ack));
    dialog.onEnd((why) => {
      if (this.#successor !== dialog || this.#over) return;
      this.close();
      this.#ends.post(why);
    });
    if (this.#over) dialog.close();
  }

  #sendFromHere(
    { method, body }: DialogRequest,
    { target, nextHop, headers }: Outside,
    resolve: (answer: DialogAnswer) => void,
  ): void {
    const text = composeRequest(method, target, headers, body);
    if (text === undefined) {
      resolve({ response: localResponse(481), local: true });
      return;
    }
    this.#exchange.request(`||${nextHop}`, text, {
      sent: () => undefined,
      refused: () => resolve({ response: localResponse(this.#exchange.alive ? 500 : 503), local: true }),
      response: (response, fromEngine) => {
        if (response.status >= 200) resolve({ response, local: fromEngine });
      },
    });
  }

  async #sendFromThere(
    { method, body }: DialogRequest,
    { target, nextHop, headers }: Outside,
    engine: string,
  ): Promise<DialogAnswer> {
    const client = this.#exchange.surroundings.elsewhere()?.client;
    if (client === undefined) return { response: localResponse(503), local: true };
    const timeoutMs = answeredWithinMs;
    const { response, local } = await client.send({ method, uri: target, nextHop, engine, headers, body, timeoutMs });
    return { response, local };
  }
}

/** Sends a request inside the dialog the engine knows by this id, confirmed or early. `dialogId` may be followed by `|` and a next hop. */
export function askInDialog(
  exchange: Exchange,
  dialogId: string,
  request: DialogRequest,
  onSent: (reply: Reply) => void = () => {},
): Promise<DialogAnswer> {
  const text = composeRequest(request.method, placeholder, request.headers, request.body);
  if (text === undefined) return Promise.resolve({ response: localResponse(400), local: true });
  if (!exchange.alive) return Promise.resolve({ response: localResponse(503), local: true });
  return new Promise((resolve) => send(exchange, dialogId, request, text, onSent, resolve));
}

function send(
  exchange: Exchange,
  dialogId: string,
  request: DialogRequest,
  text: string,
  onSent: (reply: Reply) => void,
  resolve: (answer: DialogAnswer) => void,
): void {
  const pracks = new Pracks(exchange);
  const [ownId = ''] = dialogId.split('|', 1);
  let txn: string | undefined;
  const cancel = (): void => {
    const message = composeRequest('CANCEL', placeholder, request.cancelHeaders?.() ?? Headers.empty(), '');
    if (txn !== undefined && message !== undefined) exchange.tell(`${txn}|`, message);
  };
  const end = (answer: DialogAnswer): void => {
    request.cancel?.removeEventListener('abort', cancel);
    resolve(answer);
  };
  const { nextHop } = request;
  const directed = exchange.surroundings.movesFlows && nextHop !== undefined && fitsMetaLine(nextHop);
  exchange.request(directed ? `|${dialogId}|${nextHop}` : `|${dialogId}`, text, {
    sent: (id, reply) => {
      txn = id;
      onSent(reply);
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
        const provisional = pracks.take(response, ownId);
        if (response.status > 100 && provisional !== 'repeated')
          request.progress?.(response, provisional === 'reliable');
      } else if (request.method === 'INVITE' && response.status < 300)
        end({ response, local, ack: ackOnce(exchange, ownId, placeholder) });
      else end({ response, local });
    },
  });
}

/** What a request inside a dialog needs to name it (RFC 3261 12.2.1.1). No route set: phones stand next to the edge. */
export interface DialogParts {
  /** request-URI: the peer's Contact */
  readonly target: string;
  /** From and To of our requests, with their tags */
  readonly local: string;
  readonly remote: string;
  /** of our newest request */
  readonly cseq: number;
}

/** The dialog that the 2xx to a request of ours has opened. */
export function dialogOf(exchange: Exchange, dialogId: string, { headers }: SipResponse): SrfDialog {
  const local = headers.get('from') ?? '';
  const remote = headers.get('to') ?? '';
  const names = { callId: headers.get('call-id') ?? '', localTag: tagOf(local) ?? '', remoteTag: tagOf(remote) ?? '' };
  const cseq = Number.parseInt(headers.get('cseq') ?? '1', 10);
  return new SrfDialog(exchange, dialogId, names, () => ({ target: targetIn(headers), local, remote, cseq }));
}

/** URI of the first Contact; '' when there is none. */
export function targetIn(headers: Headers): string {
  return parseNameAddr(headers.list('contact')[0] ?? '')?.uri ?? '';
}

function partsOf(sent: string): DialogParts {
  const message = parseMessage(sent);
  if (message.kind !== 'request') return { target: '', local: '', remote: '', cseq: 1 };
  const { uri, headers } = message;
  return {
    target: uri,
    local: headers.get('from') ?? '',
    remote: headers.get('to') ?? '',
    cseq: Number.parseInt(headers.get('cseq') ?? '1', 10),
  };
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
