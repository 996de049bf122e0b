/** Phones that hold a connection each: every one registers once over its own, and keeps it. */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import WebSocket from 'ws';
import { benchDomain, contactLine, identityLines, phoneIdentity } from './phone-identity.ts';
import { statusOf } from './sip-text.ts';
import { readMessages, type HostPort } from './wire.ts';

export interface FlowPlan {
  readonly over: 'tcp' | 'tls' | 'wss';
  readonly server: HostPort;
  readonly localHost: string;
  readonly flows: number;
  /** being opened at a time */
  readonly atOnce: number;
}

interface Held {
  readonly open: () => boolean;
  readonly close: () => void;
}

interface Handlers {
  readonly onOpen: (send: (text: string) => void) => void;
  readonly onText: (text: string) => void;
  readonly onEnd: (why: Error) => void;
}

export class FlowLoad {
  readonly #flows: Held[] = [];
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
    return this.#flows.filter(({ open }) => open()).length;
  }

  close(): void {
    for (const flow of this.#flows) flow.close();
  }

  #openOne(plan: FlowPlan, index: number): Promise<void> {
    return new Promise((done, fail) => {
      const phone = phoneIdentity(index);
      const local = `flow${index}.invalid`;
      const transport = plan.over.toUpperCase();
      const register = `REGISTER sip:${benchDomain} SIP/2.0\r\nVia: SIP/2.0/${transport} ${local};rport;branch=z9hG4bKflow${index}\r\nMax-Forwards: 70\r\n${identityLines(phone)}${contactLine(phone, local, 'tcp', 'LABTEAM001')}Expires: 3600\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n`;
      const handlers: Handlers = {
        onOpen: (send) => send(register),
        onText: (text) => {
          if (statusOf(text) === 200) this.accepted += 1;
          done();
        },
        onEnd: (why) => fail(new Error(`flow ${index}: ${why.message}`)),
      };
      this.#flows.push(plan.over === 'wss' ? overWebSocket(plan, handlers) : overStream(plan, handlers));
    });
  }
}

function overStream({ over, server, localHost }: FlowPlan, { onOpen, onText, onEnd }: Handlers): Held {
  const to = { host: server.host, port: server.port, localAddress: localHost };
  const socket: Socket = over === 'tls' ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to);
  socket.setNoDelay(true);
  socket.on('error', onEnd);
  socket.once('close', () => onEnd(new Error('closed')));
  socket.once(over === 'tls' ? 'secureConnect' : 'connect', () => onOpen((text) => void socket.write(text, 'latin1')));
  readMessages(socket, onText);
  return { open: () => !socket.destroyed && !socket.readableEnded, close: () => void socket.destroy() };
}

function overWebSocket({ server, localHost }: FlowPlan, { onOpen, onText, onEnd }: Handlers): Held {
  const socket = new WebSocket(`wss://${server.host}:${server.port}/`, ['sip'], {
    rejectUnauthorized: false,
    localAddress: localHost,
    perMessageDeflate: false,
  });
  socket.on('error', onEnd);
  socket.once('close', () => onEnd(new Error('closed')));
  socket.once('open', () => onOpen((text) => socket.send(text)));
  socket.on('message', (data: Buffer) => onText(data.toString('latin1')));
  return { open: () => socket.readyState === WebSocket.OPEN, close: () => socket.terminate() };
}
