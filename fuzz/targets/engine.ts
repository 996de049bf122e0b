/**
 * The whole engine on real sockets: an input is a list of octets for its ports, one after the other. Afterwards it must still
 * answer, nothing may have been caught by its last net, and what it holds must be within its limits.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { frame } from '../../lib/engine/control/frames.ts';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import { messages, recorded, words } from '../seeds.ts';
import { must, type Target } from '../target.ts';

/** Parts the steps of an input; what comes after it says which port: u, t, c (an app) or x (an app without the secret). */
const step = '\n~';
const secret = 'fuzz';
const limits = { transactions: 300, parked: 200, connections: 50, halfMessageMs: 200, appBacklogBytes: 4_194_304 };
const methods = ['register', 'invite', 'options', 'message', 'subscribe', 'notify', 'info', 'publish'];
const probeTries = 20;

export async function engineTarget(root: string): Promise<Target> {
  const engine = await startEngine({
    listen: [
      { transport: 'udp', address: '127.0.0.1', port: 0 },
      { transport: 'tcp', address: '127.0.0.1', port: 0 },
    ],
    control: { port: 0, secret },
    limits,
    timers: { t1Ms: 20, t2Ms: 80, t4Ms: 100 },
    parkMs: 500,
    sessionSecondMs: 10,
  });
  const bench = await Bench.open(engine);
  const whole = [...messages, ...recorded(root).messages.slice(0, 60)];
  return {
    name: 'engine',
    seeds: [
      ...whole.map((text) => `u${text}`),
      ...whole.slice(0, 20).map((text) => `t${text}${step}u${text}`),
      ...messages.map((text) => `cx|sip|||sip:127.0.0.1:9\r\n${text}`),
      `u${messages[2] ?? ''}${step}csip|TXN|\r\nSIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n${step}u${(messages[2] ?? '').replaceAll('INVITE', 'ACK')}${step}u${(messages[2] ?? '').replaceAll('INVITE', 'BYE')}`,
      `u${messages[2] ?? ''}${step}csip|TXN|\r\nSIP/2.0 183 Progress\r\nRequire: 100rel\r\nContact: <sip:a@127.0.0.1>\r\n\r\n${step}u${(messages[2] ?? '').replaceAll('INVITE', 'CANCEL')}`,
      `x1#a${step}x20#a|authenticate|fuzz|${step}croute|invite`,
    ],
    words: [
      ...words,
      step,
      `${step}u`,
      `${step}t`,
      `${step}c`,
      `${step}x`,
      'csip|TXN|\r\n',
      'csip||DIALOG|\r\n',
      'cproxy|',
    ],
    withinMs: 2000,
    run: (input) => bench.run(input),
    close: () => bench.close(),
  };
}

class Bench {
  readonly #engine: Engine;
  readonly #udp: UdpSocket;
  readonly #app: App;
  #tcp: Socket | undefined;
  #heard = '';
  #onHeard: (() => void) | undefined;
  #probes = 0;

  private constructor(engine: Engine, udp: UdpSocket, app: App) {
    this.#engine = engine;
    this.#udp = udp;
    this.#app = app;
    udp.on('message', (octets) => {
      this.#heard = octets.toString('latin1');
      this.#onHeard?.();
    });
  }

  static async open(engine: Engine): Promise<Bench> {
    const udp = createSocket('udp4');
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    return new Bench(engine, udp, await App.open(engine.controlPort));
  }

  async run(input: string): Promise<void> {
    for (const each of input.split(step).slice(0, 12)) await this.#do(each.charAt(0), each.slice(1));
    await this.#stillAnswers();
    const { faults, serverTransactions, connections } = this.#engine.counters();
    must(faults === 0, 'something was caught by the last net');
    must(serverTransactions <= limits.transactions + 10, 'more transactions than allowed');
    must(connections <= limits.connections, 'more connections than allowed');
  }

  async close(): Promise<void> {
    this.#tcp?.destroy();
    this.#app.close();
    this.#udp.close();
    await this.#engine.close();
  }

  async #do(port: string, octets: string): Promise<void> {
    const [udp, tcp] = this.#engine.listeners;
    if (udp === undefined || tcp === undefined) return;
    switch (port) {
      case 'u':
        await this.#datagram(octets.slice(0, 65_507), udp.port);
        return;
      case 't':
        await this.#overTcp(octets, tcp.port);
        return;
      case 'c':
        await this.#app.send(octets);
        return;
      default:
        await hurl(octets, this.#engine.controlPort);
    }
  }

  #datagram(octets: string, port: number): Promise<void> {
    return new Promise((resolve) => {
      this.#udp.send(Buffer.from(octets, 'latin1'), port, '127.0.0.1', () => resolve());
    });
  }

  async #overTcp(octets: string, port: number): Promise<void> {
    if (this.#tcp === undefined || this.#tcp.destroyed || this.#tcp.readableEnded) {
      this.#tcp?.destroy();
      this.#tcp = connect({ host: '127.0.0.1', port, noDelay: true });
      this.#tcp.on('error', () => {});
      this.#tcp.resume();
      await once(this.#tcp, 'connect').catch(() => {});
    }
    this.#tcp.write(octets, 'latin1');
  }

  /** A request no app is asked about, so that it is answered at once; UDP may lose it. */
  async #stillAnswers(): Promise<void> {
    const [udp] = this.#engine.listeners;
    const branch = `z9hG4bKprobe${++this.#probes}`;
    const probe = `PROBE sip:edge.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:${this.#udp.address().port};branch=${branch}\r\nFrom: <sip:p@p>;tag=p\r\nTo: <sip:p@p>\r\nCall-ID: ${branch}\r\nCSeq: 1 PROBE\r\nContent-Length: 0\r\n\r\n`;
    for (let tries = 0; tries < probeTries; tries++) {
      await this.#datagram(probe, udp?.port ?? 0);
      const waitUntil = performance.now() + 500;
      while (performance.now() < waitUntil) {
        if (this.#heard.includes(branch)) return;
        await this.#nextHeard(waitUntil - performance.now());
      }
    }
    must(false, 'a probe was not answered');
  }

  #nextHeard(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      this.#onHeard = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** An app with the secret: takes requests, and sends what the input says about the last of them. */
class App {
  readonly #port: number;
  #socket: Socket | undefined;
  #txn = '';
  #dialog = '';

  private constructor(port: number) {
    this.#port = port;
  }

  static async open(port: number): Promise<App> {
    const app = new App(port);
    await app.#connected();
    return app;
  }

  /** `TXN` and `DIALOG` stand for the last the engine told of. */
  async send(payload: string): Promise<void> {
    const socket = await this.#connected();
    socket.write(frame(`id|${payload.replaceAll('TXN', this.#txn).replaceAll('DIALOG', this.#dialog)}`), 'latin1');
  }

  close(): void {
    this.#socket?.destroy();
  }

  async #connected(): Promise<Socket> {
    if (this.#socket !== undefined && !this.#socket.destroyed && !this.#socket.readableEnded) return this.#socket;
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
    this.#socket = socket;
    socket.on('error', () => {});
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      const told = [...text.matchAll(/\|sip\|network\|\d+\|\w*\|[^|]*\|\d+\|[^|]*\|([^|]*)\|([^|]*)\|/g)].at(-1);
      if (told === undefined) return;
      this.#txn = told[1] ?? '';
      this.#dialog = told[2] || this.#dialog;
    });
    await once(socket, 'connect');
    for (const payload of [`authenticate|${secret}|`, ...methods.map((method) => `route|${method}`)])
      socket.write(frame(`id|${payload}`), 'latin1');
    await once(socket, 'data');
    return socket;
  }
}

/** Octets for the control port from somebody who may know nothing. */
async function hurl(octets: string, port: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => {});
  await once(socket, 'connect').catch(() => {});
  socket.resume();
  socket.end(octets, 'latin1');
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, 50);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
  socket.destroy();
}
