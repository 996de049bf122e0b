/**
 * A PBX for the demo and the scenario tests: registrar with digest (RFC 3261 10.3, 22), calls to whom it knows, calls from
 * phones after 407, OPTIONS to keep an eye on its contacts. It knows nothing of pushes: that is the point of the edge.
 */
import { Headers } from '../../lib/sip/headers.ts';
import type { SipResponse } from '../../lib/sip/message.ts';
import { parseContacts, readExpires } from '../../lib/sip/contact.ts';
import { parseNameAddr, tagOf } from '../../lib/sip/name-addr.ts';
import { parseUri } from '../../lib/sip/uri.ts';
import { IncomingCall, OutgoingCall } from './calls.ts';
import { authenticatedUser, challenge, type DigestAlgorithm } from './digest.ts';
import { Mailbox } from './mailbox.ts';
import type { Reply, ServerTransaction } from './transactions.ts';
import { type Crossing, newCallId, newTag, UserAgent } from './ua.ts';
import type { Remote } from './wire.ts';

export interface PbxOptions {
  readonly transport: 'udp' | 'tcp' | 'tls';
  /** with TLS: its certificate, and whom it trusts, as PEM */
  readonly secure?: { readonly certificate: string; readonly key: string; readonly ca: string };
  readonly address: string;
  readonly port?: number;
  readonly domain: string;
  /** passwords by user */
  readonly users: Readonly<Record<string, string>>;
  /** MD5 when absent */
  readonly algorithm?: DigestAlgorithm;
  /** false: nobody is asked for a password */
  readonly challenges?: boolean;
  /** longest expiry granted, in seconds; 3600 when absent */
  readonly maxExpires?: number;
  readonly onCrossing?: (crossing: Crossing) => void;
}

export interface PbxBinding {
  readonly contact: string;
  readonly path: readonly string[];
  readonly callId: string;
  /** ms since the epoch */
  readonly expiresAt: number;
}

export interface PlaceOptions {
  readonly from?: string;
  readonly body?: string;
  readonly headers?: Headers;
  /** another contact than the newest of the user */
  readonly binding?: PbxBinding;
}

export class Pbx {
  readonly ua: UserAgent;
  readonly options: PbxOptions;
  readonly #bindings = new Map<string, PbxBinding[]>();
  readonly #nonces = new Set<string>();
  readonly #calls = new Mailbox<IncomingCall>();
  /** answers this REGISTER instead of the registrar; undefined: the registrar does */
  onRegister: (incoming: ServerTransaction) => readonly [status: number, reply?: Reply] | 'silent' | undefined = () =>
    undefined;

  private constructor(ua: UserAgent, options: PbxOptions) {
    this.ua = ua;
    this.options = options;
    ua.take((incoming) => this.#take(incoming));
  }

  static async open(options: PbxOptions): Promise<Pbx> {
    const { transport, address, port, secure, onCrossing } = options;
    const ua = await UserAgent.open({
      transport,
      address,
      ...(port === undefined ? {} : { port }),
      ...(secure === undefined ? {} : { secure }),
      ...(onCrossing === undefined ? {} : { onCrossing }),
    });
    return new Pbx(ua, options);
  }

  /** Contacts of this user that have not ended, the newest last. */
  bindings(user: string): readonly PbxBinding[] {
    return (this.#bindings.get(user) ?? []).filter(({ expiresAt }) => expiresAt > Date.now());
  }

  /** Gives another PBX what this one knows, as one does that comes back with its database. */
  handOver(to: Pbx): void {
    for (const [user, bindings] of this.#bindings) to.#bindings.set(user, bindings);
  }

  /** Calls the newest contact of this user. */
  call(user: string, options: PlaceOptions = {}): OutgoingCall {
    const binding = options.binding ?? this.bindings(user).at(-1);
    if (binding === undefined) throw new Error(`${user} is not registered at the PBX`);
    return this.dial(binding.contact, { ...options, to: `<sip:${user}@${this.options.domain}>`, routes: binding.path });
  }

  /** Calls any URI, over `remote` when it is not the address in it. */
  dial(
    uri: string,
    options: PlaceOptions & {
      readonly to?: string;
      readonly routes?: readonly string[];
      readonly remote?: Remote;
    } = {},
  ): OutgoingCall {
    return new OutgoingCall(this.ua, uri, {
      from: options.from ?? `"Bob" <sip:bob@${this.options.domain}>`,
      to: options.to ?? `<${uri}>`,
      contact: `<${this.ua.uri('bob')}>`,
      ...(options.body === undefined ? {} : { body: options.body }),
      ...(options.headers === undefined ? {} : { headers: options.headers }),
      ...(options.routes === undefined ? {} : { routes: options.routes }),
      ...(options.remote === undefined ? {} : { remote: options.remote }),
    });
  }

  /** Asks a contact whether it is there (OPTIONS), the newest of the user when none is named. */
  async qualify(user: string, contact = this.bindings(user).at(-1)?.contact): Promise<SipResponse> {
    if (contact === undefined) throw new Error(`${user} is not registered at the PBX`);
    const headers = Headers.of([
      ['From', `<sip:qualify@${this.options.domain}>;tag=${newTag()}`],
      ['To', `<${contact}>`],
      ['Call-ID', newCallId()],
      ['CSeq', '1 OPTIONS'],
      ['Contact', `<${this.ua.uri('')}>`],
    ]);
    return this.ua.request('OPTIONS', contact, { headers }).answer();
  }

  /** The next call from a phone, past the 407. */
  nextCall(withinMs = 10_000): Promise<IncomingCall> {
    return this.#calls.next(() => true, withinMs, 'a call at the PBX');
  }

  close(): Promise<void> {
    return this.ua.close();
  }

  #take(incoming: ServerTransaction): boolean {
    const { method, headers } = incoming.request;
    if (method === 'REGISTER') {
      const own = this.onRegister(incoming);
      if (own === undefined) this.#register(incoming);
      else if (own !== 'silent') incoming.respond(...own);
      return true;
    }
    if (method === 'INVITE' && tagOf(headers.get('To') ?? '') === undefined) {
      if (this.#passes(incoming, 407)) {
        incoming.respond(100);
        this.#calls.put(new IncomingCall(this.ua, incoming, `<${this.ua.uri('pbx')}>`));
      }
      return true;
    }
    if (method === 'OPTIONS') {
      incoming.respond(200);
      return true;
    }
    return false;
  }

  /** False: it has been challenged. */
  #passes(incoming: ServerTransaction, status: 401 | 407): boolean {
    if (this.options.challenges === false) return true;
    const { method, headers } = incoming.request;
    const user = authenticatedUser(
      headers.get(status === 401 ? 'Authorization' : 'Proxy-Authorization'),
      method,
      (name) => this.options.users[name],
      (nonce) => this.#nonces.has(nonce),
    );
    if (user !== undefined) return true;
    const nonce = newCallId();
    this.#nonces.add(nonce);
    incoming.respond(status, {
      headers: Headers.of([
        [
          status === 401 ? 'WWW-Authenticate' : 'Proxy-Authenticate',
          challenge(this.options.domain, this.options.algorithm ?? 'MD5', nonce),
        ],
      ]),
    });
    return false;
  }

  #register(incoming: ServerTransaction): void {
    if (!this.#passes(incoming, 401)) return;
    const { headers } = incoming.request;
    const user = parseUri(parseNameAddr(headers.get('To') ?? '')?.uri ?? '')?.user ?? '';
    if (this.options.users[user] === undefined) return void incoming.respond(404);
    const contacts = parseContacts(headers);
    if (contacts === 'malformed') return void incoming.respond(400);
    const asked = readExpires(headers.get('Expires')) ?? 3600;
    if (contacts === '*') this.#bindings.delete(user);
    else {
      for (const { uriText, expires } of contacts) {
        const seconds = Math.min(expires ?? asked, this.options.maxExpires ?? 3600);
        const others = (this.#bindings.get(user) ?? []).filter(
          ({ contact }) => userAndHost(contact) !== userAndHost(uriText),
        );
        const binding = {
          contact: uriText,
          path: headers.list('Path'),
          callId: headers.get('Call-ID') ?? '',
          expiresAt: Date.now() + seconds * 1000,
        };
        this.#bindings.set(user, seconds === 0 ? others : [...others, binding]);
      }
    }
    const listed = this.bindings(user).map(({ contact, expiresAt }) => {
      const left = Math.max(1, Math.round((expiresAt - Date.now()) / 1000));
      return ['Contact', `<${contact}>;expires=${left}`] as const;
    });
    incoming.respond(200, { headers: Headers.of([...listed, ['Date', new Date().toUTCString()]]) });
  }
}

function userAndHost(uri: string): string {
  const parsed = parseUri(uri);
  return parsed === undefined ? uri : `${parsed.user ?? ''}@${parsed.host}:${parsed.port ?? 5060}`;
}
