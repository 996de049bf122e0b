/**
 * A small, correct SIP user agent on one real socket (RFC 3261 8, 12, 17): requests out, requests in, calls.
 * It remembers every message that crossed the wire with the time. What a phone or a PBX does with it is in phone.ts and pbx.ts.
 */
import { randomBytes } from 'node:crypto';
import { Headers } from '../../lib/sip/headers.ts';
import {
  parseMessage,
  printMessage,
  request as aRequest,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from '../../lib/sip/message.ts';
import { tagOf } from '../../lib/sip/name-addr.ts';
import { findParam, parseUri } from '../../lib/sip/uri.ts';
import { answerChallenge, type Credentials } from './digest.ts';
import { Mailbox } from './mailbox.ts';
import { branchOf, ClientTransaction, cseqOf, ServerTransaction } from './transactions.ts';
import { openWire, type Remote, type Wire, type WireTransport } from './wire.ts';

/** One message that crossed the wire of this agent. */
export interface Crossing {
  /** see monotonicMs */
  readonly atMs: number;
  readonly direction: 'in' | 'out';
  readonly message: SipMessage;
  readonly remote: Remote;
  /** a retransmission of what crossed before */
  readonly copy: boolean;
}

export interface UaOptions {
  readonly transport: WireTransport;
  readonly address: string;
  /** any free port when absent */
  readonly port?: number;
  /** where every request goes, as a phone sends all to its edge; over TCP the connection is opened at once and there is no listener */
  readonly outbound?: Remote;
  /** a TLS listener's certificate and trust, as PEM */
  readonly secure?: { readonly certificate: string; readonly key: string; readonly ca: string };
  readonly onCrossing?: (crossing: Crossing) => void;
}

export interface RequestOptions {
  readonly headers?: Headers;
  readonly body?: string;
  /** where the octets go; `outbound` or the address in the URI when absent */
  readonly to?: Remote;
  readonly branch?: string;
}

/** Milliseconds of a clock that never jumps and that all processes of one machine share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export class UserAgent {
  readonly crossings: Crossing[] = [];
  #wire: Wire;
  readonly #options: UaOptions;
  readonly #nobody = `${randomBytes(6).toString('hex')}.invalid`;
  #outbound: Remote | undefined;
  readonly #onCrossing: (crossing: Crossing) => void;
  readonly #clients = new Map<string, ClientTransaction>();
  readonly #servers = new Map<string, ServerTransaction>();
  readonly #requests = new Mailbox<ServerTransaction>();
  readonly #takers = new Set<(incoming: ServerTransaction) => boolean>();
  #closed = false;

  private constructor(wire: Wire, options: UaOptions) {
    this.#wire = wire;
    this.#options = options;
    this.#outbound = options.outbound;
    this.#onCrossing = options.onCrossing ?? (() => undefined);
  }

  static async open(options: UaOptions): Promise<UserAgent> {
    // oxlint-disable-next-line prefer-const -- read by the wire before it is there
    let agent: UserAgent | undefined;
    const wire = await wireOf(options, (text, from) => agent?.receive(text, from));
    agent = new UserAgent(wire, options);
    return agent;
  }

  /** To another network, and to another edge when one is named: the old socket is gone, and no transaction is forgotten. */
  async move(address: string, outbound = this.#outbound): Promise<void> {
    const old = this.#wire;
    await old.close();
    this.#outbound = outbound;
    const options = { ...this.#options, address, ...(outbound === undefined ? {} : { outbound }) };
    this.#wire = await wireOf(options, (text, from) => this.receive(text, from), false);
  }

  /** Where others reach this agent. */
  get local(): Remote {
    return this.#wire.local;
  }

  /** `sip:user@address:port;transport=t`, without a user part when `user` is '' */
  uri(user: string): string {
    const { transport } = this.local;
    return `sip:${user === '' ? '' : `${user}@`}${this.#place};transport=${transport === 'wss' ? 'ws' : transport}`;
  }

  /**
   * Sends a request in a client transaction of its own. Via, Max-Forwards and Content-Length are added, all else is yours.
   */
  request(method: string, uri: string, { headers, body = '', to, branch }: RequestOptions = {}): ClientTransaction {
    const remote = to ?? this.#outbound ?? nextHop(headers, uri);
    const ownBranch = branch ?? newBranch();
    const own = Headers.of([['Via', this.via(ownBranch)]]);
    if (headers?.has('Max-Forwards') !== true) own.add('Max-Forwards', '70');
    for (const [name, value] of headers?.entries() ?? []) own.add(name, value);
    own.set('Content-Length', String(body.length));
    const transaction = new ClientTransaction(
      aRequest(method, uri, own, body),
      ownBranch,
      remote,
      (message, toRemote, copy) => this.#send(message, toRemote, copy),
    );
    this.#clients.set(`${ownBranch}|${method}`, transaction);
    return transaction;
  }

  /** As `request`, and once more with credentials when it is challenged. Gives the last transaction and its answer. */
  async authenticated(
    method: string,
    uri: string,
    options: RequestOptions & { readonly headers: Headers },
    credentials: Credentials | undefined,
  ): Promise<{ readonly transaction: ClientTransaction; readonly answer: SipResponse }> {
    const transaction = this.request(method, uri, options);
    const answer = await transaction.answer();
    if (credentials === undefined || (answer.status !== 401 && answer.status !== 407)) return { transaction, answer };
    const field = answerChallenge(answer, { method, uri }, credentials);
    if (field === undefined) return { transaction, answer };
    const headers = options.headers.copy();
    headers.set('CSeq', `${cseqOf(transaction.request).number + 1} ${method}`).add(...field);
    const second = this.request(method, uri, { ...options, headers });
    return { transaction: second, answer: await second.answer() };
  }

  via(branch: string): string {
    return `SIP/2.0/${this.local.transport.toUpperCase()} ${this.#place};rport;branch=${branch}`;
  }

  /** Host and port it calls itself by; a WebSocket client has none that mean anything (RFC 7118 5.3). */
  get #place(): string {
    const { transport, address, port } = this.local;
    return transport === 'ws' || transport === 'wss' ? this.#nobody : `${hostOf(address)}:${port}`;
  }

  /** Sends an ACK, which has no transaction (RFC 3261 13.2.2.4), and remembers it for repeated answers. */
  ack(transaction: ClientTransaction, uri: string, headers: Headers, body = ''): SipRequest {
    const own = Headers.of([
      ['Via', this.via(newBranch())],
      ['Max-Forwards', '70'],
      ...[...headers.entries()].map(([name, value]) => [name, value] as const),
      ['Content-Length', String(body.length)],
    ]);
    const ack = aRequest('ACK', uri, own, body);
    transaction.ack(ack, this.#outbound ?? nextHop(headers, uri));
    return ack;
  }

  /** Sends the octets of a request once more, as a retransmission does. */
  repeat({ request, remote }: ClientTransaction): void {
    this.#send(request, remote, true);
  }

  /** Any octets at all. */
  sendRaw(text: string, to: Remote): void {
    this.#wire.send(text, to);
  }

  /** The next request that nobody took. */
  next(
    method: string,
    withinMs = 10_000,
    matches: (incoming: ServerTransaction) => boolean = () => true,
  ): Promise<ServerTransaction> {
    return this.#requests.next(
      (incoming) => incoming.request.method === method && matches(incoming),
      withinMs,
      `${method} at ${this.local.address}:${this.local.port}`,
    );
  }

  /** Sees each new request before it is kept for `next`; true takes it. The returned function ends it. */
  take(taker: (incoming: ServerTransaction) => boolean): () => void {
    this.#takers.add(taker);
    return () => this.#takers.delete(taker);
  }

  /** Requests that arrived and were taken by nobody. */
  untaken(): readonly ServerTransaction[] {
    return this.#requests.kept();
  }

  /** What came in or went out, retransmissions left out. */
  seen(direction: 'in' | 'out', start: string): readonly Crossing[] {
    return this.crossings.filter(
      (one) =>
        !one.copy &&
        one.direction === direction &&
        (one.message.kind === 'request' ? one.message.method : String(one.message.status)) === start,
    );
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const one of [...this.#clients.values(), ...this.#servers.values()]) one.stop();
    await this.#wire.close();
  }

  receive(text: string, from: Remote): void {
    if (this.#closed) return;
    const message = parseMessage(text);
    if (message.kind === 'malformed') return;
    if (message.kind === 'response') this.#onResponse(message, from);
    else this.#onRequest(message, from);
  }

  #onResponse(response: SipResponse, from: Remote): void {
    const { method } = cseqOf(response);
    const transaction =
      method === 'CANCEL'
        ? this.#clients.get(`${branchOf(response)}|INVITE`)?.cancelled
        : this.#clients.get(`${branchOf(response)}|${method}`);
    const copy = transaction?.final !== undefined;
    this.#record({ direction: 'in', message: response, remote: from, copy });
    transaction?.receive(response, copy);
  }

  #onRequest(request: SipRequest, from: Remote): void {
    const key = `${branchOf(request)}|${request.method}`;
    const invite = this.#servers.get(`${branchOf(request)}|INVITE`);
    const known = this.#servers.get(key);
    if (request.method === 'ACK') {
      const acked = invite ?? this.#answered(request);
      this.#record({ direction: 'in', message: request, remote: from, copy: acked?.acked ?? false });
      acked?.receiveAck(request);
      return;
    }
    this.#record({ direction: 'in', message: request, remote: from, copy: known !== undefined });
    if (known !== undefined) return known.receiveCopy();
    const incoming = new ServerTransaction(request, from, (message, to, copy) => this.#send(message, to, copy));
    this.#servers.set(key, incoming);
    if (request.method === 'CANCEL') {
      incoming.respond(invite === undefined ? 481 : 200);
      invite?.receiveCancel(request);
      return;
    }
    for (const taker of this.#takers) if (taker(incoming)) return;
    this.#requests.put(incoming);
  }

  /** The INVITE whose 2xx this ACK is for: same dialog, same CSeq number. */
  #answered(ack: SipRequest): ServerTransaction | undefined {
    const callId = ack.headers.get('Call-ID');
    const tag = tagOf(ack.headers.get('To') ?? '');
    for (const one of this.#servers.values()) {
      if (one.request.method !== 'INVITE' || one.request.headers.get('Call-ID') !== callId) continue;
      if (one.localTag === tag && cseqOf(one.request).number === cseqOf(ack).number) return one;
    }
    return undefined;
  }

  #send(message: SipRequest | SipResponse, to: Remote, copy: boolean): void {
    if (this.#closed) return;
    this.#record({ direction: 'out', message, remote: to, copy });
    this.#wire.send(printMessage(message), to);
  }

  #record(crossing: Omit<Crossing, 'atMs'>): void {
    const full = { atMs: monotonicMs(), ...crossing };
    this.crossings.push(full);
    this.#onCrossing(full);
  }
}

function wireOf(options: UaOptions, onText: (text: string, from: Remote) => void, samePort = true): Promise<Wire> {
  const { transport, address, port, outbound, secure } = options;
  return openWire({
    transport,
    address,
    ...(port === undefined || !samePort ? {} : { port }),
    ...(outbound === undefined ? {} : { connectTo: outbound }),
    ...(secure === undefined ? {} : { secure }),
    onText,
  });
}

export function newBranch(): string {
  return `z9hG4bK${randomBytes(8).toString('hex')}`;
}

export function newTag(): string {
  return randomBytes(5).toString('hex');
}

export function newCallId(): string {
  return randomBytes(10).toString('hex');
}

/** Where a request goes: its first Route, else its request-URI (RFC 3261 8.1.2). Names are not resolved. */
export function nextHop(headers: Headers | undefined, uri: string): Remote {
  const route = /<([^>]+)>/.exec(headers?.list('Route')[0] ?? '')?.[1];
  return remoteOf(route ?? uri);
}

/** Address, port and transport of a SIP URI with a numeric host. */
export function remoteOf(uri: string): Remote {
  const parsed = parseUri(uri);
  if (parsed === undefined) throw new Error(`no SIP URI to send to: ${uri}`);
  const named = findParam(parsed.params, 'transport')?.value?.toLowerCase();
  return {
    transport: named === 'tcp' || named === 'tls' ? named : 'udp',
    address: parsed.host.replace(/^\[|\]$/g, ''),
    port: parsed.port ?? 5060,
  };
}

function hostOf(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
