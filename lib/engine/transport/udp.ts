/** One UDP listener: datagrams in, datagrams out (RFC 3261 18.1, 18.2; answers STUN Binding for RFC 5626 5.4). */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Counters } from '../counters.ts';
import type { ListenAt } from '../options.ts';
import { type Flow, type Listener, plainAddress, type Receiver } from './flow.ts';
import { stunAnswer } from './stun.ts';
import type { Told } from './told.ts';

/** What an IPv4 or IPv6 packet leaves for the datagram (RFC 768, RFC 8200 without jumbograms). */
const largestDatagram = { 4: 65_507, 6: 65_527 } as const;
const socketBufferBytes = 8 * 1_048_576;

export class UdpListener implements Listener {
  readonly transport = 'udp' as const;
  readonly reliable = false;
  readonly address: string;
  readonly #told: Told;
  readonly #socket: Socket;
  readonly #receiver: Receiver;
  readonly #counters: Counters;
  readonly #family: 4 | 6;
  #port = 0;
  #closed = false;

  private constructor(at: ListenAt, told: Told, receiver: Receiver, counters: Counters) {
    this.address = at.address;
    this.#told = told;
    this.#receiver = receiver;
    this.#counters = counters;
    const family = at.address.includes(':') ? 6 : 4;
    this.#family = family;
    this.#socket = createSocket({
      type: family === 6 ? 'udp6' : 'udp4',
      // every target is an address already; the default look-up would cost a tick and reorder what is sent
      lookup: (address, _options, found) => found(null, address, family),
    });
    this.#socket.on('message', (datagram, from) => this.#onDatagram(datagram, from));
  }

  static open(at: ListenAt, told: Told, receiver: Receiver, counters: Counters): Promise<UdpListener> {
    const listener = new UdpListener(at, told, receiver, counters);
    const socket = listener.#socket;
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address: at.address, port: at.port, exclusive: true }, () => {
        socket.off('error', reject);
        // a failed send is reported to its callback; nothing else here needs more than to be survived
        socket.on('error', () => {});
        try {
          socket.setRecvBufferSize(socketBufferBytes);
          socket.setSendBufferSize(socketBufferBytes);
        } catch {
          // the system allows less: it keeps its own size
        }
        listener.#port = socket.address().port;
        resolve(listener);
      });
    });
  }

  get port(): number {
    return this.#port;
  }

  get host(): string {
    return this.#told.host;
  }

  hostTowards(remoteAddress: string): string {
    return this.#told.towards(remoteAddress);
  }

  get toldPort(): number {
    return this.#told.port ?? this.#port;
  }

  flowTo(address: string, port: number): Flow {
    return new UdpFlow(this, address, port);
  }

  sendTo(text: string, address: string, port: number): boolean {
    if (this.#closed || port === 0 || text.length > largestDatagram[this.#family]) return false;
    this.#counters.sent++;
    // a dual-stack socket knows IPv4 peers by their mapped address only
    const to = this.#family === 6 && !address.includes(':') ? `::ffff:${address}` : address;
    // without a callback: it would cost a turn of the queue for each datagram, and nobody could do anything
    this.#socket.send(Buffer.from(text, 'latin1'), port, to);
    return true;
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  #onDatagram(datagram: Buffer, from: RemoteInfo): void {
    try {
      const first = datagram[0];
      if (first === undefined) return;
      if (first < 2) {
        const answer = stunAnswer(datagram, plainAddress(from.address), from.port);
        if (answer !== undefined) this.#socket.send(answer, from.port, from.address, ignore);
        else this.#counters.dropped++;
        return;
      }
      // CRLF keep-alives hold a NAT open by coming in; only streams answer them (RFC 5626 3.5.1)
      if ((first === 13 || first === 10) && datagram.length <= 4) return;
      this.#receiver.onMessage(datagram.toString('latin1'), new UdpFlow(this, plainAddress(from.address), from.port));
    } catch {
      this.#counters.faults++;
    }
  }
}

function ignore(): void {}

class UdpFlow implements Flow {
  readonly listener: UdpListener;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly open = true;

  constructor(listener: UdpListener, remoteAddress: string, remotePort: number) {
    this.listener = listener;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  send(text: string): boolean {
    return this.listener.sendTo(text, this.remoteAddress, this.remotePort);
  }

  end(): void {}
  watch(): void {}
  unwatch(): void {}
}
