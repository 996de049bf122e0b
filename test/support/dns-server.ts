/**
 * A DNS server of a few names on a real UDP socket (RFC 1035, 2782, 3403, 3596): answers what it was told, says NXDOMAIN to the rest,
 * can fall silent or fail, and remembers what it was asked.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';

type Data =
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | {
      readonly type: 'SRV';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly to: string;
    }
  | {
      readonly type: 'NAPTR';
      readonly order: number;
      readonly preference: number;
      readonly flags: string;
      readonly service: string;
      readonly to: string;
    };

const types = { A: 1, AAAA: 28, SRV: 33, NAPTR: 35 } as const;

export class DnsServer {
  readonly #socket: Socket;
  readonly #records = new Map<string, { readonly ttl: number; readonly data: Data }[]>();
  /** `A www.example`, in order, without repeats of one question */
  readonly questions: string[] = [];
  /** answer: as told. silent: nobody is there. fail: SERVFAIL. */
  mode: 'answer' | 'silent' | 'fail' = 'answer';
  #wake: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (question, from) => this.#answer(question, from));
  }

  static async open(address = '127.0.0.1', port = 0): Promise<DnsServer> {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    socket.bind(port, address);
    await once(socket, 'listening');
    return new DnsServer(socket);
  }

  /** As `dns.setServers` takes it. */
  get at(): string {
    const { address, port } = this.#socket.address();
    return `${address}:${port}`;
  }

  address(name: string, address: string, ttl = 60): void {
    this.#add(name, ttl, { type: isIPv6(address) ? 'AAAA' : 'A', address });
  }

  srv(name: string, to: string, port: number, priority = 0, weight = 0): void {
    this.#add(name, 60, { type: 'SRV', priority, weight, port, to });
  }

  naptr(name: string, service: string, to: string, order = 0, preference = 0, flags = 's'): void {
    this.#add(name, 60, { type: 'NAPTR', order, preference, flags, service, to });
  }

  forget(name: string): void {
    this.#records.delete(name.toLowerCase());
  }

  /** Waits until this has been asked. */
  async asked(question: string): Promise<void> {
    while (!this.questions.includes(question)) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  stop(): void {
    this.#socket.close();
  }

  #add(name: string, ttl: number, data: Data): void {
    const key = name.toLowerCase();
    this.#records.set(key, [...(this.#records.get(key) ?? []), { ttl, data }]);
  }

  #answer(question: Buffer, from: RemoteInfo): void {
    const labels: string[] = [];
    let at = 12;
    while (question[at] !== 0) {
      const length = question[at] as number;
      labels.push(question.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const end = at + 5;
    const name = labels.join('.').toLowerCase();
    const code = question.readUInt16BE(at + 1);
    const type = Object.entries(types).find(([, each]) => each === code)?.[0] ?? String(code);
    this.questions.push(`${type} ${name}`);
    for (const wake of this.#wake.splice(0)) wake();
    if (this.mode === 'silent') return;
    const known = this.#records.get(name);
    const answers = (known ?? []).filter(({ data }) => data.type === type).map(({ ttl, data }) => record(ttl, data));
    const head = Buffer.from(question.subarray(0, 12));
    const rcode = this.mode === 'fail' ? 2 : known === undefined ? 3 : 0;
    head.writeUInt16BE(0x8480 | (question.readUInt16BE(2) & 0x0100) | rcode, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(this.mode === 'fail' ? 0 : answers.length, 6);
    head.writeUInt32BE(0, 8);
    const parts = [head, question.subarray(12, end), ...(this.mode === 'fail' ? [] : answers)];
    this.#socket.send(Buffer.concat(parts), from.port, from.address);
  }
}

/** The name is a pointer to the question. */
function record(ttl: number, data: Data): Buffer {
  const body = dataOf(data);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(types[data.type], 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(body.length, 10);
  return Buffer.concat([head, body]);
}

function dataOf(data: Data): Buffer {
  switch (data.type) {
    case 'A':
      return Buffer.from(data.address.split('.').map(Number));
    case 'AAAA':
      return ipv6(data.address);
    case 'SRV':
      return Buffer.concat([numbers(data.priority, data.weight, data.port), nameOf(data.to)]);
    case 'NAPTR':
      return Buffer.concat([
        numbers(data.order, data.preference),
        ...[data.flags, data.service, ''].map((text) => Buffer.from([text.length, ...Buffer.from(text)])),
        nameOf(data.to),
      ]);
    default:
      return data satisfies never;
  }
}

function numbers(...values: readonly number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [value >>> 8, value & 255]));
}

function nameOf(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([
    ...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0]),
  ]);
}

function ipv6(address: string): Buffer {
  const [left = '', right] = address.split('::');
  const words = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16));
  const tail = words(right ?? '');
  const head = words(left);
  const gap = right === undefined ? 0 : 8 - head.length - tail.length;
  return numbers(...head, ...Array.from({ length: gap }, () => 0), ...tail);
}
