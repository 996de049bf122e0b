/** A TLS connection to a push service, straight or through an HTTP proxy (RFC 9110 9.3.6). Tries the addresses that are more likely to work first. */
import { type LookupAddress, lookup as lookupName } from 'node:dns';
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

export interface Proxy {
  /** `http://host:port` or `https://host:port` */
  readonly url: string;
  /** value of Proxy-Authorization; a secret */
  readonly authorization?: string;
  /** hosts reached without it: names, `*.example.com` for every name below one, addresses */
  readonly except: readonly string[];
}

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** PEM text; the public CAs when absent */
  readonly ca: string | undefined;
  /** most wanted first, for ALPN (RFC 7301) */
  readonly protocols: readonly string[];
  readonly proxy: Proxy | undefined;
  /** how names become addresses; of this machine when absent. Not asked for what the proxy looks up. */
  readonly lookup?: LookupFunction | undefined;
}

/** The longest head of an answer we read from a proxy, octets. */
const longestHead = 16_384;

export function isExcepted(host: string, except: readonly string[]): boolean {
  const name = host.toLowerCase();
  return except.some((one) => {
    const rule = one.toLowerCase();
    return rule === '*' || (rule.startsWith('*.') ? name.endsWith(rule.slice(1)) : name === rule);
  });
}

/** Value of Proxy-Authorization (RFC 7617). */
export function basicCredentials(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** `done` is called once, with a socket whose handshake is complete or with the reason why there is none. The returned function gives up. */
export function dial(target: DialTarget, done: (result: TLSSocket | string) => void): () => void {
  const { host, port, ca, protocols, proxy, lookup } = target;
  let settled = false;
  let current: Socket | undefined;
  const settle = (result: TLSSocket | string): void => {
    if (settled) return;
    settled = true;
    if (typeof result === 'string') current?.destroy();
    done(result);
  };
  const failed = (cause: NodeJS.ErrnoException): void => settle(nameOf(cause));
  const secure = (options: ConnectionOptions): void => {
    const socket = connectTls({
      ...options,
      // a name in the certificate; an address has none to announce (RFC 6066 3)
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ALPNProtocols: [...protocols],
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca }),
    });
    current = socket;
    socket.setNoDelay(true);
    socket.once('error', failed).once('close', () => settle('connection closed'));
    socket.once('secureConnect', () => {
      if (settled) return;
      if (socket.alpnProtocol !== protocols[0] && protocols[0] === 'h2') return settle('no HTTP/2');
      socket.off('error', failed);
      // errors belong to the new owner, who may not listen yet
      socket.on('error', () => undefined);
      settle(socket);
    });
  };
  if (proxy === undefined || isExcepted(host, proxy.except)) {
    // both address families are tried (RFC 8305), as node does by itself
    secure({ host, port, ...(lookup === undefined ? {} : { lookup }) });
  } else {
    current = tunnel(proxy, host, port, (result) => {
      if (settled) return;
      if (typeof result === 'string') return settle(result);
      result.off('error', failed);
      // the name is checked against the one behind the proxy
      secure({ socket: result, host });
    });
  }
  return () => {
    settled = true;
    current?.destroy();
  };
}

/** Asks the proxy for a way to `host`. */
export function tunnel(proxy: Proxy, host: string, port: number, done: (result: Socket | string) => void): Socket {
  const url = new URL(proxy.url);
  const at = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || (url.protocol === 'https:' ? 443 : 80)),
  };
  const socket =
    url.protocol === 'https:'
      ? connectTls({ ...at, ...(isIP(at.host) === 0 ? { servername: at.host } : {}) })
      : connectTcp(at);
  const name = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const credentials = proxy.authorization === undefined ? '' : `Proxy-Authorization: ${proxy.authorization}\r\n`;
  let head: Buffer = Buffer.alloc(0);
  const failed = (cause: NodeJS.ErrnoException): void => done(`proxy: ${nameOf(cause)}`);
  const closed = (): void => done('proxy: connection closed');
  const read = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) {
      if (head.length > longestHead) socket.destroy();
      return;
    }
    socket.off('data', read).off('close', closed).off('error', failed);
    socket.pause();
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(head.toString('latin1', 0, end))?.[1];
    if (status === undefined || !status.startsWith('2')) {
      socket.destroy();
      done(`proxy: status ${status ?? 'missing'}`);
      return;
    }
    if (head.length > end + 4) socket.unshift(head.subarray(end + 4));
    done(socket);
  };
  socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () =>
    socket.write(`CONNECT ${name} HTTP/1.1\r\nHost: ${name}\r\n${credentials}\r\n`),
  );
  socket.on('data', read).once('close', closed).once('error', failed);
  return socket;
}

/** The code, or the kind; texts may quote addresses. */
function nameOf(cause: NodeJS.ErrnoException): string {
  // all families were tried (RFC 8305): the first failure says most
  const first = cause instanceof AggregateError ? (cause.errors[0] as NodeJS.ErrnoException | undefined) : undefined;
  return first?.code ?? cause.code ?? cause.name;
}

/** Addresses that failed last come last, those that have a connection already before them. */
export function orderAddresses<A extends { readonly address: string }>(
  addresses: readonly A[],
  used: ReadonlySet<string>,
  failed: ReadonlySet<string>,
): A[] {
  const rank = ({ address }: A): number => (failed.has(address) ? 2 : used.has(address) ? 1 : 0);
  return addresses.toSorted((one, other) => rank(one) - rank(other));
}

/** Looks a name up anew for each connection, and puts the addresses in order. */
export function orderedLookup(
  order: (addresses: readonly LookupAddress[]) => readonly LookupAddress[],
  resolve: (host: string, done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void) => void = (
    host,
    done,
  ) => lookupName(host, { all: true }, done),
): LookupFunction {
  return (host, options, callback) => {
    resolve(host, (error, addresses) => {
      if (error !== null) return callback(error, '', 0);
      const ordered = order(addresses);
      const [first] = ordered;
      if (first === undefined) return callback(Object.assign(new Error('no address'), { code: 'ENOTFOUND' }), '', 0);
      return options.all === true ? callback(null, [...ordered]) : callback(null, first.address, first.family);
    });
  };
}
