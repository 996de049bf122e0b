/** A TCP door in front of the lab whose connections can go silent, as a dead path does: open, but nothing is read any more. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { hearOut } from '../../lib/delivery/http2/hear-out.ts';

export class Relay {
  readonly #server: Server;
  readonly #pairs = new Map<Socket, Socket>();
  readonly #silent = new Set<Socket>();

  constructor(target: { readonly host: string; readonly port: number }) {
    this.#server = createServer({ noDelay: true }, (outer) => {
      const inner = connect({ ...target, noDelay: true });
      this.#pairs.set(outer, inner);
      // what one side has said reaches the other, also when it can be told nothing any more
      hearOut(inner);
      hearOut(outer);
      const end = (): void => {
        this.#pairs.delete(outer);
        if (!this.#silent.has(outer)) outer.destroySoon();
        inner.destroySoon();
      };
      outer.on('error', end).on('close', () => {
        this.#silent.delete(outer);
        end();
      });
      inner.on('error', end).on('close', end);
      outer.pipe(inner);
      inner.pipe(outer);
    });
  }

  listen(host: string, port: number): Promise<number> {
    return new Promise((done, fail) => {
      this.#server.once('error', fail).listen(port, host, () => {
        this.#server.off('error', fail);
        done((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Silences the connections that are open now, or the one whose inner end has this port. Later ones are well. */
  stall(innerPort?: number): number {
    let count = 0;
    for (const [outer, inner] of this.#pairs) {
      if (this.#silent.has(outer) || (innerPort !== undefined && inner.localPort !== innerPort)) continue;
      this.#silent.add(outer);
      outer.unpipe(inner);
      outer.pause();
      inner.unpipe(outer);
      inner.resume();
      count += 1;
    }
    return count;
  }

  close(): Promise<void> {
    this.#silent.clear();
    for (const outer of this.#pairs.keys()) outer.destroy();
    return new Promise((done) => this.#server.close(() => done()));
  }
}
