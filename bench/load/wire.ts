/** A phone's or PBX's network side: text in, text out, over a UDP socket or a TCP connection to one server. */
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';

export type Transport = 'udp' | 'tcp';

export interface Wire {
  readonly transport: Transport;
  /** `address:port` for Via and Contact */
  readonly local: string;
  /** `SIP/2.0/UDP address:port` for Via */
  readonly via: string;
  send(text: string): void;
  close(): void;
  /** told when nobody is at the other side: the connection is gone, or a datagram was refused */
  onBroken?: () => void;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** One whole message, latin1: nothing here needs more. */
export type OnMessage = (text: string, wire: Wire) => void;

export function openWire(
  transport: Transport,
  local: string,
  server: HostPort,
  onMessage: OnMessage,
  localPort = 0,
): Promise<Wire> {
  return transport === 'udp' ? openUdp(local, localPort, server, onMessage) : openTcp(local, server, onMessage);
}

function openUdp(local: string, localPort: number, server: HostPort, onMessage: OnMessage): Promise<Wire> {
  return new Promise((done, fail) => {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 1 << 20 });
    socket.once('error', fail);
    socket.bind({ address: local, port: localPort, exclusive: true }, () => {
      // connected: the kernel looks the route up once, and Node no name
      socket.connect(server.port, server.host, () => {
        socket.off('error', fail);
        // a refused datagram is a lost one
        socket.on('error', () => wire.onBroken?.());
        const address = `${local}:${socket.address().port}`;
        let open = true;
        const wire: Wire = {
          transport: 'udp',
          local: address,
          via: `SIP/2.0/UDP ${address}`,
          send: (text) => {
            if (open) socket.send(Buffer.from(text, 'latin1'));
          },
          close: () => {
            if (open) socket.close();
            open = false;
          },
        };
        socket.on('message', (bytes) => onMessage(bytes.toString('latin1'), wire));
        done(wire);
      });
    });
  });
}

function openTcp(local: string, server: HostPort, onMessage: OnMessage): Promise<Wire> {
  return new Promise((done, fail) => {
    const socket = connect({ host: server.host, port: server.port, localAddress: local, noDelay: true });
    socket.once('error', fail);
    socket.once('connect', () => {
      socket.off('error', fail);
      socket.on('error', () => undefined);
      const wire = wireOf(socket, local);
      socket.on('close', () => wire.onBroken?.());
      readMessages(socket, (text) => onMessage(text, wire));
      done(wire);
    });
  });
}

function wireOf(socket: Socket, local: string): Wire {
  const address = `${local}:${socket.localPort}`;
  return {
    transport: 'tcp',
    local: address,
    via: `SIP/2.0/TCP ${address}`,
    send: (text) => void socket.write(text, 'latin1'),
    close: () => void socket.destroy(),
  };
}

/** Cuts a stream into messages by Content-Length; keep-alive lines between them are dropped. */
export function readMessages(socket: Socket, onText: (text: string) => void): void {
  let rest = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    rest = rest === '' ? chunk : rest + chunk;
    for (;;) {
      while (rest.startsWith('\r\n')) rest = rest.slice(2);
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const at = rest.indexOf('\r\nContent-Length:');
      const total = end + 4 + (at < 0 || at > end ? 0 : Number.parseInt(rest.slice(at + 17, at + 30), 10));
      if (rest.length < total) return;
      onText(rest.slice(0, total));
      rest = rest.slice(total);
    }
  });
}
