/**
 * Octets on UDP and TCP, and for phones on TLS and WebSocket, for the peers of the demo and of the scenario tests (RFC 3261 18).
 * Text is latin1: one character is one octet, so that a body is never changed. Knows nothing of transactions.
 */
import { createSocket } from 'node:dgram';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import WebSocket from 'ws';

export type WireTransport = 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';

export interface Remote {
  readonly transport: WireTransport;
  readonly address: string;
  readonly port: number;
  /** PEM certificates to trust there; over TLS and WSS nobody else is */
  readonly ca?: string;
  /** TLS: somebody else looks at its certificate; `name` is the one asked for (SNI) */
  readonly unchecked?: { readonly name: string | undefined };
}

export interface Wire {
  /** address and port others can send to */
  readonly local: Remote;
  /** One whole message, or any octets at all. Opens a TCP connection when there is none to this peer. */
  send(text: string, to: Remote): void;
  /** Connections are cut, nothing is sent any more. */
  close(): Promise<void>;
}

export interface WireOptions {
  readonly transport: WireTransport;
  readonly address: string;
  /** any free port when absent */
  readonly port?: number;
  /** TLS without `connectTo`: its own certificate, and whom it trusts; all as PEM */
  readonly secure?: { readonly certificate: string; readonly key: string; readonly ca: string };
  /** Not for UDP: no listener, but a connection to this peer, as phones have it. There are no listeners for WebSocket. */
  readonly connectTo?: Remote;
  readonly onText: (text: string, from: Remote) => void;
}

export function openWire(options: WireOptions): Promise<Wire> {
  switch (options.transport) {
    case 'udp':
      return openUdp(options);
    case 'tcp':
    case 'tls':
      return openStream(options);
    case 'ws':
    case 'wss':
      return openWebSocket(options);
    default:
      return options.transport satisfies never;
  }
}

async function openUdp({ address, port, onText }: WireOptions): Promise<Wire> {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
  await new Promise<void>((done, fail) => {
    socket.once('error', fail);
    socket.bind({ address, port: port ?? 0 }, () => {
      socket.off('error', fail);
      done();
    });
  });
  socket.on('error', () => undefined); // ICMP errors: the peer is away, the timers of the transaction will tell
  socket.on('message', (bytes, from) =>
    onText(bytes.toString('latin1'), { transport: 'udp', address: from.address, port: from.port }),
  );
  let open = true;
  return {
    local: { transport: 'udp', address, port: socket.address().port },
    send(text, to) {
      if (open) socket.send(Buffer.from(text, 'latin1'), to.port, to.address, () => undefined);
    },
    close() {
      if (!open) return Promise.resolve();
      open = false;
      return new Promise((done) => socket.close(() => done()));
    },
  };
}

async function openStream({ transport, address, port, connectTo, secure, onText }: WireOptions): Promise<Wire> {
  const connections = new Map<string, Socket>();

  const adopt = (socket: Socket, to: Remote): void => {
    const key = keyOf(to);
    connections.set(key, socket);
    let buffered = '';
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (connections.get(key) === socket) connections.delete(key);
    });
    socket.on('data', (bytes) => {
      buffered += bytes.toString('latin1');
      for (;;) {
        const [message, rest] = takeMessage(buffered);
        buffered = rest;
        if (message === undefined) return;
        onText(message, to);
      }
    });
  };

  const open = (to: Remote, localPort?: number): Socket => {
    const way = {
      host: to.address,
      port: to.port,
      localAddress: address,
      ...(localPort === undefined ? {} : { localPort }),
    };
    // the types of connectTls leave out what it hands to connect
    const socket =
      transport === 'tls' ? connectTls({ ...way, ...trust({ ...secure, ...to }) } as object) : connect(way);
    adopt(socket, to);
    return socket;
  };

  let local: Remote;
  let stop = (): Promise<void> => Promise.resolve();
  if (connectTo !== undefined) {
    const socket = open(connectTo, port);
    await new Promise<void>((done, fail) =>
      socket.once(transport === 'tls' ? 'secureConnect' : 'connect', done).once('error', fail),
    );
    local = { transport, address, port: socket.localPort ?? 0 };
  } else {
    const take = (socket: Socket): void =>
      adopt(socket, { transport, address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 });
    const server =
      secure === undefined
        ? createServer(take)
        : createTlsServer({ cert: secure.certificate, key: secure.key }, take).on('tlsClientError', () => undefined);
    await new Promise<void>((done, fail) => server.once('error', fail).listen(port ?? 0, address, done));
    local = { transport, address, port: (server.address() as AddressInfo).port };
    stop = () => new Promise((done) => server.close(() => done()));
  }

  let closed = false;
  return {
    local,
    send(text, to) {
      if (!closed) (connections.get(keyOf(to)) ?? open(to)).write(text, 'latin1');
    },
    close() {
      closed = true;
      for (const socket of connections.values()) socket.destroy();
      return stop();
    },
  };
}

function trust({ ca, unchecked }: Pick<Remote, 'ca' | 'unchecked'>): object {
  const name = unchecked?.name;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(unchecked === undefined ? {} : { rejectUnauthorized: false }),
    ...(name === undefined ? {} : { servername: name }),
  };
}

/** One connection to `connectTo`, one message a frame (RFC 7118). */
async function openWebSocket({ transport, address, port, connectTo, onText }: WireOptions): Promise<Wire> {
  if (connectTo === undefined) throw new Error('a WebSocket client needs somewhere to connect to');
  const from = { localAddress: address, ...(port === undefined ? {} : { localPort: port }) };
  const host = connectTo.address.includes(':') ? `[${connectTo.address}]` : connectTo.address;
  const socket = new WebSocket(`${transport}://${host}:${connectTo.port}`, 'sip', { ...from, ...trust(connectTo) });
  let localPort = 0;
  socket.once('upgrade', (response) => {
    localPort = response.socket.localPort ?? 0;
  });
  await new Promise<void>((done, fail) => {
    socket.once('open', done).once('error', fail);
  });
  socket.on('error', () => undefined);
  socket.on('message', (octets: Buffer) => onText(octets.toString('latin1'), connectTo));
  return {
    local: { transport, address, port: localPort },
    send(text) {
      if (socket.readyState === WebSocket.OPEN) socket.send(Buffer.from(text, 'latin1'), { binary: false });
    },
    close() {
      if (socket.readyState === WebSocket.CLOSED) return Promise.resolve();
      return new Promise((done) => {
        socket.once('close', () => done());
        socket.terminate();
      });
    },
  };
}

/** The first whole message of a stream (RFC 3261 18.3), keep-alives left out; undefined: more octets are needed. */
function takeMessage(buffered: string): [message: string | undefined, rest: string] {
  const text = buffered.replace(/^(?:\r\n)+/, '');
  const endOfHead = text.indexOf('\r\n\r\n');
  if (endOfHead < 0) return [undefined, text];
  const length = /\r\n(?:content-length|l)\s*:\s*(\d+)/i.exec(text.slice(0, endOfHead + 2));
  const end = endOfHead + 4 + Number(length?.[1] ?? 0);
  return text.length < end ? [undefined, text] : [text.slice(0, end), text.slice(end)];
}

function keyOf(remote: Remote): string {
  return `${remote.address}:${remote.port}`;
}
