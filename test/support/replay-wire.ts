/** The connections of a replay, from the address and port the recording names. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import WebSocket from 'ws';
import { StreamFraming } from '../../lib/engine/transport/stream-framing.ts';

export interface Wire {
  write(octets: Buffer): void;
  destroy(): void;
}

export interface Ears {
  /** a message, or CRLF for the answer to a keep-alive */
  onText(text: string): void;
  onClosed(): void;
}

export type StreamProtocol = 'tcp' | 'tls' | 'ws' | 'wss';

/** Ports of the recorded server. */
export const recordedPorts: Readonly<Record<StreamProtocol, number>> = { tcp: 5060, tls: 5061, ws: 5080, wss: 5443 };

export async function openWire(
  protocol: StreamProtocol,
  host: string,
  local: { readonly address: string; readonly port: number },
  ears: Ears,
): Promise<Wire> {
  const at = { host, port: recordedPorts[protocol], localAddress: local.address, localPort: local.port };
  if (protocol === 'tcp') {
    const socket = connect(at);
    listenTo(socket, ears);
    await once(socket, 'connect');
    return socket;
  }
  if (protocol === 'tls') {
    const socket = connectTls({ ...at, rejectUnauthorized: false });
    listenTo(socket, ears);
    await once(socket, 'secureConnect');
    return socket;
  }
  const socket = new WebSocket(`${protocol}://${host}:${at.port}/`, ['sip'], {
    rejectUnauthorized: false,
    localAddress: local.address,
    // of net.connect, which the types of ws do not list
    ...{ localPort: local.port },
  });
  socket.on('error', () => {});
  socket.on('close', () => ears.onClosed());
  socket.on('message', (octets: Buffer) => ears.onText(octets.toString()));
  await once(socket, 'open');
  return { write: (octets) => socket.send(octets, { binary: false }), destroy: () => socket.terminate() };
}

function listenTo(socket: Socket, ears: Ears): void {
  const framing = new StreamFraming(1_000_000);
  socket.on('error', () => {});
  socket.on('close', () => ears.onClosed());
  socket.on('data', (octets: Buffer) => {
    if (octets.toString() === '\r\n') ears.onText('\r\n');
    else
      for (const event of framing.push(octets.toString('latin1')))
        if (event.is === 'message') ears.onText(Buffer.from(event.text, 'latin1').toString());
  });
}
