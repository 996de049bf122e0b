/** TCP listener and connections (RFC 3261 18.1, 18.2.2). A connection is a flow. */
import { Socket } from 'node:net';
import type { ListenAt } from '../options.ts';
import type { Admission } from './admission.ts';
import type { Surroundings } from './connection.ts';
import { ConnectionListener } from './connection-listener.ts';
import { type Flow, plainAddress } from './flow.ts';
import { StreamConnection } from './stream-connection.ts';
import type { Told } from './told.ts';

export class TcpListener extends ConnectionListener {
  static async open(at: ListenAt, told: Told, around: Surroundings, admission: Admission): Promise<TcpListener> {
    const listener = new TcpListener(at, told, around, admission);
    await listener.listen(at);
    return listener;
  }

  /** Connects; the flow takes messages at once and reports a refused or late connection as lost. */
  connect(address: string, port: number, name = address, withinMs = this.around.limits.connectMs): Flow {
    const socket = new Socket();
    socket.setNoDelay(true);
    this.admission.note(socket);
    // named, because it was made by us: when it is gone it can be made again
    const connection = new StreamConnection(this, socket, { address, port, name }, this.around);
    this.keep(connection, socket);
    const late = setTimeout(() => connection.destroy(), withinMs);
    socket.once('connect', () => {
      clearTimeout(late);
      socket.setKeepAlive(true, 60_000);
    });
    socket.once('close', () => clearTimeout(late));
    const { localAddress } = this;
    try {
      socket.connect({ host: address, port, ...(localAddress === undefined ? {} : { localAddress }) });
    } catch {
      setImmediate(() => connection.destroy());
    }
    return connection;
  }

  protected override accept(socket: Socket): void {
    const { remoteAddress = '', remotePort: port = 0 } = socket;
    const connection = new StreamConnection(this, socket, { address: plainAddress(remoteAddress), port }, this.around);
    this.keep(connection, socket);
  }
}
