/** Phones that hold a connection each: every one registers once over its own, and keeps it. */
import { readMessages, type HostPort } from './wire.ts';
import { connect, type Socket } from 'node:net';
import { benchDomain, contactLine, identityLines, phoneIdentity } from './phone-identity.ts';
import { statusOf } from './sip-text.ts';

export interface FlowPlan {
  readonly server: HostPort;
  readonly localHost: string;
  readonly flows: number;
  /** being opened at a time */
  readonly atOnce: number;
}

export class FlowLoad {
  readonly #sockets: Socket[] = [];
  /** registered with 200 */
  accepted = 0;

  /** Resolves when every flow has its answer; rejects when one is refused or closed. */
  async open(plan: FlowPlan): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < plan.flows) await this.#openOne(plan, next++);
    };
    await Promise.all(Array.from({ length: plan.atOnce }, worker));
  }

  /** Connections still open. */
  get held(): number {
    return this.#sockets.filter(({ destroyed, readableEnded }) => !destroyed && !readableEnded).length;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #openOne({ server, localHost }: FlowPlan, index: number): Promise<void> {
    return new Promise((done, fail) => {
      const socket = connect({ host: server.host, port: server.port, localAddress: localHost, noDelay: true });
      this.#sockets.push(socket);
      socket.on('error', fail);
      socket.once('close', () => fail(new Error(`flow ${index} was closed`)));
      socket.once('connect', () => {
        const phone = phoneIdentity(index);
        const local = `${localHost}:${socket.localPort}`;
        socket.write(
          `REGISTER sip:${benchDomain} SIP/2.0\r\nVia: SIP/2.0/TCP ${local};rport;branch=z9hG4bKflow${index}\r\nMax-Forwards: 70\r\n${identityLines(phone)}${contactLine(phone, local, 'tcp', 'LABTEAM001')}Expires: 3600\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n`,
        );
      });
      readMessages(socket, (text) => {
        if (statusOf(text) === 200) this.accepted += 1;
        done();
      });
    });
  }
}
