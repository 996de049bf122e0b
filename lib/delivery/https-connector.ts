/** How an HTTP/1.1 client gets its TLS connections: as ours of HTTP/2 do, straight or through the proxy. */
import { connect, type LookupFunction, type Socket } from 'node:net';
import { dial, type Proxy, isExcepted, tunnel } from './dial.ts';

export interface ConnectorOptions {
  /** PEM text; the public CAs when absent */
  readonly ca?: string | undefined;
  readonly proxy?: Proxy | undefined;
  readonly lookup?: LookupFunction;
  /** ms for TCP and TLS together; 3000 when absent */
  readonly timeoutMs?: number;
}

interface Wanted {
  readonly hostname: string;
  readonly protocol: string;
  readonly port: string;
}

/** For `connect` of an undici Agent. Plain `http:` goes through the proxy by CONNECT as well. */
export function httpsConnector({ ca, proxy, lookup, timeoutMs = 3000 }: ConnectorOptions) {
  return (
    { hostname, protocol, port }: Wanted,
    callback: (...result: [Error, null] | [null, Socket]) => void,
  ): void => {
    const host = hostname.replace(/^\[|\]$/g, '');
    const failed = (code: string): void => callback(Object.assign(new Error('not connected'), { code }), null);
    const end = (result: Socket | string): void => {
      clearTimeout(timer);
      if (typeof result === 'string') failed(result);
      else callback(null, result);
    };
    let giveUp = (): void => undefined;
    const timer = setTimeout(() => {
      giveUp();
      failed('connect timeout');
    }, timeoutMs);
    if (protocol === 'https:') {
      const at = { host, port: Number(port || 443), ca, protocols: ['http/1.1'], proxy, lookup };
      giveUp = dial(at, end);
      return;
    }
    const socket = dialPlain(host, Number(port || 80), proxy, lookup, end);
    giveUp = () => socket.destroy();
  };
}

function dialPlain(
  host: string,
  port: number,
  proxy: Proxy | undefined,
  lookup: LookupFunction | undefined,
  done: (result: Socket | string) => void,
): Socket {
  if (proxy !== undefined && !isExcepted(host, proxy.except)) return tunnel(proxy, host, port, done);
  const socket = connect({ host, port, ...(lookup === undefined ? {} : { lookup }) });
  const failed = (cause: NodeJS.ErrnoException): void => done(cause.code ?? 'connection failed');
  socket.once('error', failed);
  socket.once('connect', () => {
    socket.off('error', failed);
    done(socket);
  });
  return socket;
}
