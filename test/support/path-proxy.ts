/**
 * A proxy between phones and edge (RFC 3261 16, RFC 3327 5.1): says on Path of each REGISTER that it wants to be on the way back, and on
 * Record-Route of everything that begins a dialog. Stateless, and remembers what the edge has sent it.
 */
import { openWire, type Remote, type Wire } from '../../apps/demo/wire.ts';
import { hostOf } from '../../lib/sip/flow.ts';
import { parseMessage, printMessage, type SipRequest, type SipResponse } from '../../lib/sip/message.ts';
import { parseNameAddr } from '../../lib/sip/name-addr.ts';
import { parseUri } from '../../lib/sip/uri.ts';
import { Mailbox } from '../../apps/demo/mailbox.ts';

export interface PathProxyOptions {
  readonly transport: 'udp' | 'tcp';
  readonly address: string;
  readonly edge: Remote;
  /** how it reads Route (RFC 3261 16.12, RFC 2543) */
  readonly routes: 'loosely' | 'strictly';
  /** names of itself on Path, topmost first; one when absent */
  readonly names?: readonly string[];
}

export class PathProxy {
  /** requests of the edge, as they came */
  readonly fromEdge: SipRequest[] = [];
  readonly #options: PathProxyOptions;
  readonly #wire: Wire;
  readonly #arrived = new Mailbox<SipRequest>();
  /** where the answer to a request goes, by our branch */
  readonly #senders = new Map<string, Remote>();

  private constructor(wire: Wire, options: PathProxyOptions) {
    this.#wire = wire;
    this.#options = options;
  }

  static async open(options: PathProxyOptions): Promise<PathProxy> {
    // oxlint-disable-next-line prefer-const -- read by the wire before it is there
    let proxy: PathProxy | undefined;
    const { transport, address } = options;
    const wire = await openWire({ transport, address, onText: (text, from) => proxy?.take(text, from) });
    proxy = new PathProxy(wire, options);
    return proxy;
  }

  /** Where phones send to. */
  get local(): Remote {
    return this.#wire.local;
  }

  /** The Path values of a REGISTER that went through. */
  get path(): readonly string[] {
    return (this.#options.names ?? ['in']).map((name) => `<${this.#uri(name)}>`);
  }

  /** The next request of the edge of this method. */
  next(method: string, withinMs = 10_000): Promise<SipRequest> {
    return this.#arrived.next((request) => request.method === method, withinMs, `${method} at the proxy`);
  }

  close(): Promise<void> {
    return this.#wire.close();
  }

  #uri(name: string): string {
    const { address, port, transport } = this.local;
    const lr = this.#options.routes === 'loosely' ? ';lr' : '';
    return `sip:${name}@${hostOf(address)}:${port};transport=${transport}${lr}`;
  }

  /** Octets of the wire. */
  take(text: string, from: Remote): void {
    const message = parseMessage(text);
    if (message.kind === 'response') this.#answer(message);
    else if (message.kind === 'request') this.#pass(message, from);
  }

  #pass(request: SipRequest, from: Remote): void {
    const { edge } = this.#options;
    const isEdge = from.address === edge.address;
    if (isEdge) {
      this.fromEdge.push(request);
      this.#arrived.put(request);
    }
    const headers = request.headers.copy();
    const routes = headers.list('Route');
    headers.delete('Route');
    let { uri } = request;
    // a strict router before us has put the target last (RFC 3261 16.4); one that is strict itself expects nothing else
    if (this.#isOurs(uri) && routes.length > 0) uri = parseNameAddr(routes.pop() as string)?.uri ?? uri;
    while (routes[0] !== undefined && this.#isOurs(parseNameAddr(routes[0])?.uri ?? '')) routes.shift();
    for (const route of routes) headers.add('Route', route);
    if (!isEdge && request.method === 'REGISTER')
      for (const name of this.path.toReversed()) headers.prepend('Path', name);
    if (request.method === 'INVITE' || request.method === 'SUBSCRIBE')
      headers.prepend('Record-Route', `<${this.#uri('rr')}>`);
    const branch = `${/;branch=([^;,\s]+)/.exec(headers.get('Via') ?? '')?.[1] ?? ''}p`;
    this.#senders.set(branch, from);
    const { address, port, transport } = this.local;
    headers.prepend('Via', `SIP/2.0/${transport.toUpperCase()} ${hostOf(address)}:${port};branch=${branch}`);
    const to = isEdge ? this.#at(routes[0] === undefined ? uri : (parseNameAddr(routes[0])?.uri ?? uri)) : edge;
    if (to !== undefined) this.#wire.send(printMessage({ ...request, uri, headers }), to);
  }

  #answer(response: SipResponse): void {
    const headers = response.headers.copy();
    const [own = '', ...others] = headers.list('Via');
    const to = this.#senders.get(/;branch=([^;,\s]+)/.exec(own)?.[1] ?? '');
    headers.delete('Via');
    for (const via of others.toReversed()) headers.prepend('Via', via);
    if (to !== undefined) this.#wire.send(printMessage({ ...response, headers }), to);
  }

  #isOurs(uri: string): boolean {
    const { address, port } = this.local;
    const parsed = parseUri(uri);
    return parsed?.host === hostOf(address) && parsed.port === port;
  }

  #at(uri: string): Remote | undefined {
    const parsed = parseUri(uri);
    return parsed && { transport: this.local.transport, address: parsed.host, port: parsed.port ?? 5060 };
  }
}
