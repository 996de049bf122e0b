/** An app on the control port without drachtio-srf: sees every frame, sends any. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { frame, FrameReader, textOf } from '../../lib/engine/control/frames.ts';

export class RawApp {
  readonly #socket: Socket;
  readonly frames: string[] = [];
  closed = false;
  #wake: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    const reader = new FrameReader(1_048_576);
    socket.on('error', () => {});
    socket.on('data', (octets) => {
      reader.push(octets);
      for (let payload = reader.next(); payload !== undefined; payload = reader.next())
        this.frames.push(textOf(payload));
      this.#woken();
    });
    socket.on('close', () => {
      this.closed = true;
      this.#woken();
    });
  }

  static async connect(port: number): Promise<RawApp> {
    const socket = connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    return new RawApp(socket);
  }

  /** Connected, authenticated, and with these methods routed. */
  static async ready(port: number, secret: string, ...methods: string[]): Promise<RawApp> {
    const app = await RawApp.connect(port);
    await app.ask(`authenticate|${secret}|`);
    for (const method of methods) await app.ask(`route|${method}`);
    return app;
  }

  send(payload: string): string {
    const id = randomUUID();
    this.write(frame(`${id}|${payload}`));
    return id;
  }

  write(octets: string): void {
    this.#socket.write(octets, 'latin1');
  }

  /** Sends a frame and waits for its answer. */
  async ask(payload: string): Promise<string> {
    const id = this.send(payload);
    return this.next((each) => each.split('|')[2] === id);
  }

  /** Takes the first frame that fits, waiting for it; rejects when the connection closes first. */
  async next(fits: (payload: string) => boolean): Promise<string> {
    for (;;) {
      const at = this.frames.findIndex(fits);
      if (at >= 0) return this.frames.splice(at, 1)[0] as string;
      if (this.closed) throw new Error('the control connection was closed');
      await this.#change();
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await this.#change();
  }

  /** Answers every request it is given with 200, for as long as it is connected. */
  async answerAll(): Promise<void> {
    try {
      for (;;) {
        const payload = await this.next(
          (each) => each.split('|', 3)[1] === 'sip' && !each.includes('\r\nACK ') && !each.includes('\r\nSIP/2.0'),
        );
        const txn = payload.split('|')[8] as string;
        this.send(`sip|${txn}|\r\nSIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n`);
      }
    } catch {
      // closed
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake.push(resolve);
    });
  }

  #woken(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
