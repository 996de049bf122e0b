/** Calls and their dialogs on a UserAgent (RFC 3261 12 to 15): placing one, taking one, talking inside it, ending it. */
import { Headers } from '../../lib/sip/headers.ts';
import type { SipRequest, SipResponse } from '../../lib/sip/message.ts';
import { parseNameAddr, tagOf } from '../../lib/sip/name-addr.ts';
import { answerChallenge, type Credentials } from './digest.ts';
import { Mailbox } from './mailbox.ts';
import { type ClientTransaction, cseqOf, type Reply, type ServerTransaction, withTag } from './transactions.ts';
import { newCallId, newTag, type UserAgent } from './ua.ts';
import type { Remote } from './wire.ts';

interface DialogFacts {
  readonly callId: string;
  /** From and To as we write them, tags included */
  readonly local: string;
  readonly remote: string;
  /** request-URI of what we send */
  readonly target: string;
  /** Route values, the first is the next hop */
  readonly routes: readonly string[];
  readonly cseq: number;
  readonly contact: string;
  /** where octets go, when not by route or target */
  readonly to: Remote | undefined;
}

export class Dialog {
  readonly callId: string;
  readonly localTag: string | undefined;
  readonly remoteTag: string | undefined;
  readonly #ua: UserAgent;
  readonly #facts: DialogFacts;
  readonly #incoming = new Mailbox<ServerTransaction>();
  readonly #ended: (bye: SipRequest | undefined) => void;
  readonly #stopTaking: () => void;
  #target: string;
  #cseq: number;
  /** the BYE of the other side, or undefined when we ended it */
  readonly ended: Promise<SipRequest | undefined>;
  over = false;
  #contact: string;

  constructor(ua: UserAgent, facts: DialogFacts) {
    this.#ua = ua;
    this.#facts = facts;
    this.#contact = facts.contact;
    this.#target = facts.target;
    this.#cseq = facts.cseq;
    this.callId = facts.callId;
    this.localTag = tagOf(facts.local);
    this.remoteTag = tagOf(facts.remote);
    let ended: (bye: SipRequest | undefined) => void = () => undefined;
    this.ended = new Promise((done) => {
      ended = done;
    });
    this.#ended = (bye) => {
      this.over = true;
      ended(bye);
    };
    this.#stopTaking = ua.take((incoming) => this.#take(incoming));
  }

  /** A BYE is answered and ends the dialog; everything else waits for `next`. */
  #take(incoming: ServerTransaction): boolean {
    const { headers, method } = incoming.request;
    if (headers.get('Call-ID') !== this.callId || tagOf(headers.get('To') ?? '') !== this.localTag) return false;
    if (tagOf(headers.get('From') ?? '') !== this.remoteTag) return false;
    if (method === 'BYE') {
      incoming.respond(this.over ? 481 : 200);
      this.#ended(incoming.request);
      return true;
    }
    if (method === 'INVITE' || method === 'UPDATE') this.#target = contactOf(headers) ?? this.#target;
    this.#incoming.put(incoming);
    return true;
  }

  /** Contact of the other side. */
  get target(): string {
    return this.#target;
  }

  /** We are somewhere else now: target refreshes say so. */
  moved(contact: string): void {
    this.#contact = contact;
  }

  /** The next request of this method the other side sends inside the dialog. */
  next(method: string, withinMs = 10_000): Promise<ServerTransaction> {
    return this.#incoming.next((one) => one.request.method === method, withinMs, `${method} inside the dialog`);
  }

  /** 200 with our Contact to a re-INVITE or UPDATE. */
  accept(incoming: ServerTransaction, body: string): SipResponse {
    const headers = Headers.of([['Contact', this.#contact]]);
    if (body !== '') headers.add('Content-Type', 'application/sdp');
    return incoming.respond(200, { headers, body });
  }

  request(method: string, extra: Headers = Headers.empty(), body = ''): ClientTransaction {
    this.#cseq += 1;
    const headers = this.#headers(method, this.#cseq);
    if (['INVITE', 'UPDATE', 'SUBSCRIBE', 'REFER', 'NOTIFY'].includes(method)) headers.add('Contact', this.#contact);
    for (const [name, value] of extra.entries()) headers.add(name, value);
    const to = this.#facts.to;
    return this.#ua.request(method, this.#target, { headers, body, ...(to === undefined ? {} : { to }) });
  }

  /** Acknowledges the 2xx to an INVITE of ours; its Contact is the new target. */
  ack(transaction: ClientTransaction, body = ''): SipRequest {
    this.#target = contactOf(transaction.final?.headers) ?? this.#target;
    const headers = this.#headers('ACK', cseqOf(transaction.request).number);
    if (body !== '') headers.add('Content-Type', 'application/sdp');
    return this.#ua.ack(transaction, this.#target, headers, body);
  }

  async bye(extra?: Headers): Promise<SipResponse> {
    const answer = await this.request('BYE', extra).answer();
    this.#ended(undefined);
    return answer;
  }

  /** Forgets the dialog: what comes for it later is nobody's. */
  drop(): void {
    this.#stopTaking();
  }

  #headers(method: string, cseq: number): Headers {
    return Headers.of([
      ...this.#facts.routes.map((route) => ['Route', route] as const),
      ['From', this.#facts.local],
      ['To', this.#facts.remote],
      ['Call-ID', this.callId],
      ['CSeq', `${cseq} ${method}`],
    ]);
  }
}

/** A call that came in. */
export class IncomingCall {
  readonly transaction: ServerTransaction;
  readonly dialog: Dialog;
  #contact: string;

  constructor(ua: UserAgent, transaction: ServerTransaction, contact: string, to?: Remote) {
    const { headers } = transaction.request;
    this.transaction = transaction;
    this.#contact = contact;
    this.dialog = new Dialog(ua, {
      callId: headers.get('Call-ID') ?? '',
      local: withTag(headers.get('To') ?? '', transaction.localTag),
      remote: headers.get('From') ?? '',
      target: contactOf(headers) ?? '',
      routes: headers.list('Record-Route'),
      cseq: 0,
      contact,
      to,
    });
  }

  /** We are somewhere else now. */
  moved(contact: string): void {
    this.#contact = contact;
    this.dialog.moved(contact);
  }

  get request(): SipRequest {
    return this.transaction.request;
  }

  ring(reply?: Reply): SipResponse {
    return this.#respond(180, reply);
  }

  progress(status: number, reply?: Reply): SipResponse {
    return this.#respond(status, reply);
  }

  /** 200 with our Contact and this session description. */
  answer(body: string, extra?: Headers): SipResponse {
    return this.#respond(200, { body, ...(extra === undefined ? {} : { headers: extra }) });
  }

  reject(status: number, reply?: Reply): SipResponse {
    return this.transaction.respond(status, reply);
  }

  #respond(status: number, reply: Reply = {}): SipResponse {
    const headers = Headers.of([['Contact', this.#contact]]);
    if ((reply.body ?? '') !== '' && reply.headers?.has('Content-Type') !== true)
      headers.add('Content-Type', 'application/sdp');
    for (const [name, value] of reply.headers?.entries() ?? []) headers.set(name, value);
    return this.transaction.respond(status, { ...reply, headers });
  }
}

export interface CallOptions {
  /** name-addr without a tag */
  readonly from: string;
  readonly to: string;
  /** name-addr */
  readonly contact: string;
  readonly body?: string;
  readonly headers?: Headers;
  readonly credentials?: Credentials | undefined;
  readonly routes?: readonly string[];
  readonly remote?: Remote;
  readonly callId?: string;
}

/** A call we place. */
export class OutgoingCall {
  /** of the INVITE that counts: the one with credentials, once there is one */
  transaction: ClientTransaction;
  dialog: Dialog | undefined;
  readonly #ua: UserAgent;
  readonly #uri: string;
  readonly #options: CallOptions;
  readonly #fixed: readonly (readonly [string, string])[];
  readonly #dialogs = new Map<string, Dialog>();

  constructor(ua: UserAgent, uri: string, options: CallOptions) {
    this.#ua = ua;
    this.#uri = uri;
    this.#options = options;
    this.#fixed = [
      ...(options.routes ?? []).map((route) => ['Route', route] as const),
      ['From', withTag(options.from, newTag())],
      ['To', options.to],
      ['Call-ID', options.callId ?? newCallId()],
    ];
    this.transaction = this.#invite(1);
  }

  #invite(cseq: number, field?: readonly [string, string]): ClientTransaction {
    const { contact, body = '', headers, remote } = this.#options;
    const own = Headers.of([...this.#fixed, ['CSeq', `${cseq} INVITE`], ['Contact', contact]]);
    if (field !== undefined) own.add(...field);
    if (body !== '' && headers?.has('Content-Type') !== true) own.add('Content-Type', 'application/sdp');
    for (const [name, value] of headers?.entries() ?? []) own.add(name, value);
    return this.#ua.request('INVITE', this.#uri, {
      headers: own,
      body,
      ...(remote === undefined ? {} : { to: remote }),
    });
  }

  provisional(status: number, withinMs = 10_000): Promise<SipResponse> {
    return this.transaction.provisional(status, withinMs);
  }

  /** The final answer; a challenge is answered once, a 2xx makes the dialog and is acknowledged. */
  async answer(withinMs = 35_000): Promise<SipResponse> {
    let response = await this.transaction.answer(withinMs);
    const { credentials } = this.#options;
    if ((response.status === 401 || response.status === 407) && credentials !== undefined) {
      const field = answerChallenge(response, { method: 'INVITE', uri: this.#uri }, credentials);
      if (field !== undefined) {
        this.transaction = this.#invite(2, field);
        response = await this.transaction.answer(withinMs);
      }
    }
    if (response.status >= 300) return response;
    this.dialog = this.early(response);
    this.dialog.ack(this.transaction);
    return response;
  }

  /** The dialog a tagged response makes (RFC 3261 12.1.2), the same for every response with this tag. */
  early(response: SipResponse): Dialog {
    const tag = tagOf(response.headers.get('To') ?? '') ?? '';
    const dialog = this.#dialogs.get(tag) ?? this.#dialogOf(response);
    this.#dialogs.set(tag, dialog);
    return dialog;
  }

  #dialogOf(response: SipResponse): Dialog {
    const { headers } = this.transaction.request;
    return new Dialog(this.#ua, {
      callId: headers.get('Call-ID') ?? '',
      local: headers.get('From') ?? '',
      remote: response.headers.get('To') ?? '',
      target: contactOf(response.headers) ?? this.#uri,
      routes: response.headers.list('Record-Route').reverse(),
      cseq: cseqOf(this.transaction.request).number,
      contact: this.#options.contact,
      to: this.#options.remote,
    });
  }

  /** Sends CANCEL; give the reason the callee shall see in `extra`. */
  cancel(extra?: Headers): ClientTransaction {
    return this.transaction.cancel(extra);
  }
}

function contactOf(headers: Headers | undefined): string | undefined {
  return parseNameAddr(headers?.list('Contact')[0] ?? '')?.uri;
}
