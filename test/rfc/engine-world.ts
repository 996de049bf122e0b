/** An embedded engine in this process, an app on its control port, and servers that listen on UDP and TCP at one address. */
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import type { EngineOptions, ListenAt } from '../../lib/engine/options.ts';
import { afterEach } from 'vitest';
import { RawApp } from '../support/raw-app.ts';
import { SipPeer } from '../support/sip-peer.ts';
import { TcpPeer, UdpPeer } from '../support/text-peer.ts';

const ends: (() => unknown)[] = [];

/** Closes everything of a test, the newest first. */
export function cleanUp(): void {
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });
}

export function atEnd(end: () => unknown): void {
  ends.push(end);
}

export const udp = (address = '127.0.0.1'): ListenAt => ({ transport: 'udp', address, port: 0 });
export const tcp = (address = '127.0.0.1'): ListenAt => ({ transport: 'tcp', address, port: 0 });

export async function anEngine(listen: readonly ListenAt[], options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await startEngine({ listen, control: { port: 0, secret: 'secret' }, ...options });
  atEnd(() => engine.close());
  return engine;
}

export async function anApp(engine: Engine, ...methods: string[]): Promise<RawApp> {
  const app = await RawApp.ready(engine.controlPort, 'secret', ...methods);
  atEnd(() => app.close());
  return app;
}

export async function aUdpPeer(address = '127.0.0.1'): Promise<UdpPeer> {
  const peer = await UdpPeer.open(address);
  atEnd(() => peer.stop());
  return peer;
}

export async function aTcpPeer(to: { readonly address: string; readonly port: number }): Promise<TcpPeer> {
  const peer = await TcpPeer.open(to);
  atEnd(() => peer.stop());
  return peer;
}

export async function aSipPeer(transport: 'udp' | 'tcp', address = '127.0.0.1', port = 0): Promise<SipPeer> {
  const peer = await SipPeer.open(transport, address, port);
  atEnd(() => peer.close());
  return peer;
}

export interface Server {
  readonly udp: SipPeer;
  readonly tcp: SipPeer;
  readonly port: number;
}

/** UDP and TCP on the same port, as a PBX has them. */
export async function aServer(address = '127.0.0.1'): Promise<Server> {
  for (let tries = 0; ; tries++) {
    const datagrams = await SipPeer.open('udp', address);
    try {
      const streams = await aSipPeer('tcp', address, datagrams.port);
      atEnd(() => datagrams.close());
      return { udp: datagrams, tcp: streams, port: datagrams.port };
    } catch (error) {
      await datagrams.close();
      if (tries === 5) throw error;
    }
  }
}

/** Sends a request as drachtio-srf does and gives the id its answers carry. */
export async function send(app: RawApp, nextHop: string, request: string): Promise<{ txn: string; echo: string }> {
  const echo = await app.ask(`sip||${nextHop === '' ? '' : `|${nextHop}`}\r\n${request}`);
  const fields = echo.split('|');
  return { txn: fields[10] ?? '', echo };
}

/** The answer with this status to a request of ours. */
export function answerTo(app: RawApp, txn: string, status: number): Promise<string> {
  return app.next((payload) => payload.includes(`|${txn}|`) && payload.includes(`\r\nSIP/2.0 ${status} `));
}

export function text(method: string, uri: string, octets = 0, extra = ''): string {
  const type = octets === 0 ? '' : 'Content-Type: text/plain\r\n';
  return `${method} ${uri} SIP/2.0\r\nFrom: <sip:alice@edge.test>\r\n${type}${extra}\r\n${'x'.repeat(octets)}`;
}
