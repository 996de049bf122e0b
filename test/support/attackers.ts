/** Peers that mean no good, on real sockets: each keeps at it until it is told to stop. */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Remote } from '../../apps/demo/wire.ts';

export interface Attack {
  /** datagrams, connections or requests so far */
  readonly count: number;
  stop(): Promise<void>;
}

type Target = Pick<Remote, 'address' | 'port'>;

const head = (method: string, more: string, id = 'x'): string =>
  `${method} sip:victim@nowhere.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bK${id}\r\nFrom: <sip:x@nowhere.test>;tag=x\r\nTo: <sip:victim@nowhere.test>\r\nCall-ID: ${id}\r\nCSeq: 1 ${method}\r\n${more}`;

/** As large as a datagram can be, each a bomb of another kind. */
const bombs: readonly ((id: string) => string)[] = [
  () => 'A'.repeat(65_507),
  () => '\0'.repeat(65_507),
  (id) => head('REGISTER', `${'X: y\r\n'.repeat(10_000)}\r\n`, id),
  (id) => head('OPTIONS', `${'Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKv\r\n'.repeat(1400)}\r\n`, id),
  (id) => head('OPTIONS', `Via: ${'SIP/2.0/UDP a;branch=z9hG4bKv,'.repeat(2000)}SIP/2.0/UDP a\r\n\r\n`, id),
  (id) => head('INVITE', `Subject: a${'\r\n '.repeat(20_000)}b\r\nContent-Length: 0\r\n\r\n`, id),
  (id) => head('REGISTER', `Contact: <sip:a@b${';p'.repeat(30_000)}>\r\nContent-Length: 0\r\n\r\n`, id),
  (id) => head('REGISTER', `Contact: ${'<sip:a@b>,'.repeat(6000)}<sip:a@b>\r\nContent-Length: 0\r\n\r\n`, id),
  (id) => head('INVITE', `Record-Route: ${'<sip:a;lr>,'.repeat(5000)}<sip:a;lr>\r\nContent-Length: 0\r\n\r\n`, id),
  (id) => head('MESSAGE', `Content-Length: 64000\r\n\r\n${'x'.repeat(64_000)}`, id),
  (id) => head('MESSAGE', 'Content-Length: 999999999\r\n\r\nx', id),
  (id) => head('REGISTER', `Authorization: Digest ${'a="b",'.repeat(10_000)}c="d"\r\nContent-Length: 0\r\n\r\n`, id),
];

/** By UDP, every fourth one a bomb, the others requests for nobody we know. */
export function flood(target: Target, from: string, perSecond: number): Attack {
  const socket = createSocket('udp4');
  let running = true;
  let count = 0;
  const startedAt = performance.now();
  const done = (async () => {
    await new Promise<void>((bound) => socket.bind(0, from, bound));
    while (running) {
      const id = `f${count}`;
      const text =
        count % 4 !== 0
          ? head('MESSAGE', 'Content-Length: 0\r\n\r\n', id)
          : (bombs[(count >> 2) % bombs.length] as (id: string) => string)(id);
      await new Promise<void>((sent) =>
        socket.send(Buffer.from(text, 'latin1'), target.port, target.address, () => sent()),
      );
      count++;
      while (running && count > ((performance.now() - startedAt) * perSecond) / 1000) await pause(5);
    }
    socket.close();
  })();
  return {
    get count() {
      return count;
    },
    stop: () => {
      running = false;
      return done;
    },
  };
}

/** Beginnings that never end, over as many connections as it can hold; those that are closed are opened again. */
export function holdOpen(
  target: Target | { readonly path: string },
  from: string,
  connections: number,
  beginnings: readonly string[],
): Attack {
  const open = new Set<Socket>();
  let running = true;
  let count = 0;
  const one = (): void => {
    const socket =
      'path' in target ? connect(target) : connect({ host: target.address, port: target.port, localAddress: from });
    open.add(socket);
    const nth = count++;
    let drip: NodeJS.Timeout | undefined;
    socket.on('error', () => {});
    socket.once('connect', () => {
      socket.write(beginnings[nth % beginnings.length] as string, 'latin1');
      drip = setInterval(() => socket.write('x', 'latin1'), 50);
    });
    socket.resume();
    socket.once('close', () => {
      clearInterval(drip);
      open.delete(socket);
      // not at once, or a port that refuses would keep this process busy
      if (running) setTimeout(() => running && one(), 20);
    });
  };
  for (let n = 0; n < connections; n++) one();
  return {
    get count() {
      return count;
    },
    stop: async () => {
      running = false;
      for (const socket of open) socket.destroy();
    },
  };
}

export const sipBeginnings: readonly string[] = [
  '',
  'REGISTER sip:edge.test SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1',
  `REGISTER sip:edge.test SIP/2.0\r\nX: ${'y'.repeat(60_000)}`,
  `MESSAGE sip:edge.test SIP/2.0\r\nContent-Length: 999999999\r\n\r\n`,
  `MESSAGE sip:edge.test SIP/2.0\r\nContent-Length: 60000\r\n\r\n`,
  '\r\n\r\n'.repeat(10_000),
  '\0\0\0\0',
  `SIP/2.0 200 OK\r\n${'Via: x\r\n '.repeat(5000)}`,
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'GET / HTTP/1.1\r\n\r\n',
];

export const httpBeginnings: readonly string[] = [
  '',
  'GET /metrics HTTP/1.1\r\nHost: a\r\nX: ',
  `GET /${'a'.repeat(60_000)} HTTP/1.1\r\n`,
  `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(8000)}`,
  'POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n',
  'GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n',
];

export const controlBeginnings: readonly string[] = [
  '',
  '4000#',
  '999999999#',
  '00000000000000000',
  '20#a|authenticate|wrong|',
  '12#a|route|invite',
  '\0\0',
];

/** Where the engine within this edge takes its app: an abstract socket (`unix(7)`), whose name the system tells everybody, padded. */
export function controlSocketOf(pid: number): string {
  const found = new RegExp(`@(reveille-${pid}-[0-9a-f]+)`).exec(readFileSync('/proc/net/unix', 'latin1'));
  if (found === null) throw new Error('this edge has no control socket');
  return `\0${found[1]}`;
}

/** Resident memory of a process, MiB. */
export function rssOf(pid: number): number {
  const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '0';
  return Math.round(Number(kib) / 1024);
}
