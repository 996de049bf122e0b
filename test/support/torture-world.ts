/**
 * The built edge between a PBX that knows nobody (404 to calls, 200 to everything else) and a sender of raw octets, for the
 * messages of RFC 4475 and RFC 5118. Every user those messages come from is registered from the sender's address, so that
 * nothing is refused for a reason that has nothing to do with its form.
 */
import { readFileSync } from 'node:fs';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import { places, startEdge, type StartedEdge } from './edge.ts';
import { SipPeer } from './sip-peer.ts';
import { WsPeer } from './stream-peers.ts';
import { TcpPeer, UdpPeer } from './text-peer.ts';

export type TortureTransport = 'udp' | 'tcp' | 'ws';

type Sender = UdpPeer | TcpPeer | WsPeer;

export interface Seen {
  /** status of each answer the sender got, 100 left out; 'closed' when its connection was closed afterwards */
  readonly answers: readonly (number | 'closed')[];
  /** the answers as text */
  readonly texts: readonly string[];
  /** what reached the PBX, as text */
  readonly forwarded: readonly string[];
}

/** for what is expected; nothing waits so long when all is well */
const patienceMs = 4000;

/** Everybody a message of the suites is From. */
const senders = [
  'caller@example.net',
  'caller@example.org',
  'caller@example.com',
  'other@example.net',
  'jdrosen@example.com',
  'I%20have%20spaces@example.net',
  `${'amazinglylongcallername'.repeat(5)}@example.net`,
  'fluffy@example.com',
  'a.g.bell@example.com',
  'mundane@example.com',
  'user@example.com',
  'user@east.example.com',
  '+13035551111@ift.client.example.net',
  'resource@example.com',
  'local-resource@example.com',
];

export function messageOf(suite: string, name: string): Buffer {
  return readFileSync(new URL(`../fixtures/${suite}/${name}.sip`, import.meta.url));
}

export class TortureWorld {
  readonly #edge: StartedEdge;
  readonly #engine: Engine | undefined;
  readonly #pbx: SipPeer;
  /** asks whether everything still works */
  readonly #prober: UdpPeer;
  readonly #newSender: () => Promise<Sender>;
  #sender: Sender;
  readonly #known = new Set<string>();
  #serial = 0;

  private constructor(
    edge: StartedEdge,
    engine: Engine | undefined,
    pbx: SipPeer,
    prober: UdpPeer,
    newSender: () => Promise<Sender>,
    sender: Sender,
  ) {
    this.#edge = edge;
    this.#engine = engine;
    this.#pbx = pbx;
    this.#prober = prober;
    this.#newSender = newSender;
    this.#sender = sender;
  }

  static async open(transport: TortureTransport): Promise<TortureWorld> {
    const pbx = await SipPeer.open('udp', places.pbx);
    for (const method of ['REGISTER', 'OPTIONS', 'MESSAGE', 'INVITE'])
      pbx.on(method, (request, from) => {
        const contacts = request.headers.lines('contact').map((value) => ['Contact', `${value};expires=600`] as const);
        void pbx.send(
          method === 'INVITE'
            ? pbx.answer(request, 404)
            : pbx.answer(request, 200, { contact: null, headers: method === 'REGISTER' ? contacts : [] }),
          from,
        );
      });
    // an edge opens no WebSocket port by itself: there its engine runs here, as `npm run engine` would
    const engine = transport === 'ws' ? await webSocketEngine() : undefined;
    const edge = await startEdge({
      config: {
        ...(engine === undefined
          ? {}
          : { engine: { kind: 'drachtio', drachtio: { host: '127.0.0.1', port: engine.controlPort, secret } } }),
        domains: [{ name: '*', registration: 'mid-registrar', upstream: pbx.nextHop }],
        log: { level: 'debug' },
      },
    });
    const prober = await UdpPeer.open(places.phones);
    const newSender = (): Promise<Sender> => {
      if (transport === 'udp') return UdpPeer.open(places.phones);
      if (transport === 'tcp') return TcpPeer.open(edge.at('tcp'), places.phones);
      const at = engine?.listeners.find((one) => one.transport === 'ws');
      if (at === undefined) throw new Error('no WebSocket listener');
      return WsPeer.open(at, { localAddress: places.phones });
    };
    const world = new TortureWorld(edge, engine, pbx, prober, newSender, await newSender());
    for (const aor of senders) await world.#register(aor);
    return world;
  }

  /** Sends the octets, over a connection of their own where there are any, and tells what came of them, once a request sent after them has been answered. */
  async send(message: Buffer, expected: { readonly answers: number; readonly closes: boolean }): Promise<Seen> {
    this.#sender.stop();
    this.#sender = await this.#newSender();
    const before = this.#pbx.received.length;
    const sender = this.#sender;
    if (sender instanceof UdpPeer) await sender.send(message, this.#edge.at('udp'));
    else if (sender instanceof TcpPeer) sender.send(message);
    // not all of it is UTF-8 (RFC 7118 4.2)
    else sender.send(message.toString('latin1'), { binary: true });
    const texts: string[] = [];
    await atMost(patienceMs, async () => {
      while (texts.length < expected.answers) texts.push(...this.#news(await sender.next(() => true)));
      if (expected.closes) await sender.untilClosed();
    });
    await this.#register('prober@probe.example');
    texts.push(...sender.messages.splice(0).flatMap((octets) => this.#news(octets)));
    const forwarded = this.#pbx.received
      .slice(before)
      .map(({ text }) => text)
      .filter((text) => !text.includes('probe.example') && !text.startsWith('ACK'));
    const answers = texts.map((text) => Number(text.slice(8, 11)));
    return { answers: sender.closed ? [...answers, 'closed'] : answers, texts, forwarded };
  }

  /** Closes it; the exit code of the edge, and whatever it printed that looks like a fault. */
  async close(): Promise<{ readonly code: number; readonly crashes: readonly string[] }> {
    const { process } = this.#edge;
    const metrics = await process.metrics();
    const faults =
      this.#engine?.counters().faults.toString() ??
      /^reveille_engine_events_total\{[^}]*"faults"\} (\d+)/m.exec(metrics)?.[1];
    this.#sender.stop();
    this.#prober.stop();
    const code = await this.#edge.close();
    await this.#pbx.close();
    await this.#engine?.close();
    const crashes = process.noise.filter((line) => /error|exception/i.test(line));
    return { code, crashes: faults === '0' ? crashes : [...crashes, `${faults} faults`] };
  }

  /** The answers in these octets, without 100 and without copies of what was there before. */
  #news(received: string): string[] {
    return received.split(/(?=^SIP\/2\.0 \d{3} )/m).filter((text) => {
      if (this.#known.has(text) || text.startsWith('SIP/2.0 100')) return false;
      this.#known.add(text);
      return true;
    });
  }

  async #register(aor: string): Promise<void> {
    const serial = ++this.#serial;
    const callId = `works-${serial}`;
    await this.#prober.send(
      `REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP ${places.phones}:${this.#prober.port};branch=z9hG4bK-works-${serial}\r\n` +
        `Max-Forwards: 70\r\nFrom: <sip:${aor}>;tag=p${serial}\r\nTo: <sip:${aor}>\r\nCall-ID: ${callId}\r\nCSeq: ${serial} REGISTER\r\n` +
        `Contact: <sip:p@${places.phones}:${this.#prober.port}>\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n`,
      this.#edge.at('udp'),
    );
    const answer = await this.#prober.next((text) => text.includes(callId));
    if (!answer.startsWith('SIP/2.0 200')) throw new Error(`a REGISTER got ${answer.slice(8, 40)}`);
  }
}

const secret = 'torture';

function webSocketEngine(): Promise<Engine> {
  const at = { address: places.edge, port: 0 };
  return startEngine({
    listen: [
      { transport: 'udp', ...at },
      { transport: 'ws', ...at },
    ],
    control: { port: 0, secret },
    registrationCache: false,
  });
}

/** Gives up silently: what did not come shows in what did. */
async function atMost(ms: number, work: () => Promise<void>): Promise<void> {
  let late: NodeJS.Timeout | undefined;
  await Promise.race([
    work().catch(() => {}),
    new Promise<void>((resolve) => {
      late = setTimeout(resolve, ms);
    }),
  ]);
  clearTimeout(late);
}
