/** The engine's side of the control protocol on a real TCP port, played by hand: for what a real engine does seldom or never. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { FrameReader, frame } from '../../lib/adapters/srf/frames.ts';

export interface AppFrame {
  readonly id: string;
  /** fields after the id: `sip`, txn, dialog id, next hop */
  readonly fields: readonly string[];
  /** the SIP message, one character per octet */
  readonly text: string;
}

export class FakeControl {
  readonly port: number;
  readonly routes: string[] = [];
  connections = 0;
  readonly #server: Server;
  #socket: Socket | undefined;
  readonly #frames: AppFrame[] = [];
  #wake: (() => void)[] = [];

  private constructor(server: Server, secret: string, hostports: string) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => {
      this.connections++;
      this.#socket = socket;
      const reader = new FrameReader(1_000_000);
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        reader.read(chunk, (payload) => {
          const end = payload.indexOf('\r\n');
          const [id = '', ...fields] = (end < 0 ? payload : payload.slice(0, end)).split('|');
          switch (fields[0]) {
            case 'authenticate':
              if (fields[1] === secret) this.reply(id, `OK|${hostports}|v0.9.5-rc3|${hostports}`);
              else this.reply(id, 'NO|incorrect secret');
              return;
            case 'route':
              this.routes.push(fields[1] ?? '');
              this.reply(id, 'OK');
              return;
            case 'ping':
              this.reply(id, 'OK|pong');
              return;
            default:
              this.#frames.push({ id, fields, text: end < 0 ? '' : payload.slice(end + 2) });
              for (const wake of this.#wake.splice(0)) wake();
          }
        });
      });
    });
  }

  static async open(
    options: { readonly secret?: string; readonly hostports?: string; readonly port?: number } = {},
  ): Promise<FakeControl> {
    const server = createServer({ noDelay: true });
    server.listen(options.port ?? 0, '127.0.20.1');
    await once(server, 'listening');
    return new FakeControl(
      server,
      options.secret ?? 'x',
      options.hostports ?? 'tcp/127.0.20.1:5060,udp/127.0.20.1:5060',
    );
  }

  /** The next `sip` frame of the app. */
  async next(): Promise<AppFrame> {
    while (this.#frames.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
      });
    }
    return this.#frames.shift() as AppFrame;
  }

  /** Frames not taken yet. */
  get waiting(): readonly AppFrame[] {
    return this.#frames;
  }

  send(payload: string): void {
    this.#socket?.write(frame(`${randomUUID()}|${payload}`), 'latin1');
  }

  /** What is sent meanwhile arrives in one piece. */
  together(task: () => void): void {
    this.#socket?.cork();
    task();
    this.#socket?.uncork();
  }

  raw(octets: string): void {
    this.#socket?.write(octets, 'latin1');
  }

  reply(id: string, fields: string, text = ''): void {
    this.send(`response|${id}|${fields}${text === '' ? '' : `\r\n${text}`}`);
  }

  /** A request of ours is on its way. */
  sentRequest(of: AppFrame, txn: string, text = of.text): void {
    this.reply(of.id, `OK|application|1|udp|127.0.20.9|5060|00:00:00.000000|${txn}|Msg sent:|`, text);
  }

  sentResponse(of: AppFrame, dialogId = '', text = of.text): void {
    this.reply(
      of.id,
      `OK|application|1|udp|127.0.20.9|5060|00:00:00.000000|${of.fields[1]}|${dialogId}||Msg sent:|`,
      text,
    );
  }

  /** A request outside dialogs. */
  request(
    txn: string,
    text: string,
    options: { readonly proto?: string; readonly on?: string; readonly from?: string } = {},
  ): void {
    this.send(
      `sip|network|1|${options.proto ?? 'udp'}|${options.from ?? '127.0.20.9|5070'}|00:00:00.000000|${txn}||${options.on ?? '127.0.20.1|5060'}|\r\n${text}`,
    );
  }

  inDialog(txn: string, dialogId: string, text: string): void {
    this.send(`sip|network|1|udp|127.0.20.9|5070|00:00:00.000000|${txn}|${dialogId}|\r\n${text}`);
  }

  response(txn: string, text: string, options: { readonly dialogId?: string; readonly local?: boolean } = {}): void {
    const source = options.local === true ? '|0' : '127.0.20.9|5060';
    this.send(
      `sip|network|${options.local === true ? 0 : 1}|udp|${source}|00:00:00.000000|${txn}|${options.dialogId ?? ''}|\r\n${text}`,
    );
  }

  unsolicited(dialogId: string, text: string): void {
    this.send(`sip|application|1|udp|127.0.20.9|5060|00:00:00.000000|unsolicited|${dialogId}|\r\n${text}`);
  }

  /** Cuts the connection of the app. */
  async cut(): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined) return;
    socket.destroy();
    if (!socket.closed) await once(socket, 'close');
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
