/** Our HTTP/2 client against node's server, against arbitrary octets, and HPACK against what node's server says. */
import { constants, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { Http2Connection } from '../../../lib/delivery/http2/connection.ts';
import type { StreamEnd } from '../../../lib/delivery/http2/frames.ts';
import { type Field, HpackReader, HpackWriter, Octets } from '../../../lib/delivery/http2/hpack.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const close of cleanups.splice(0).reverse()) close();
});

interface Client {
  readonly http2: Http2Connection;
  /** resolves with the reason */
  readonly closed: Promise<string>;
  post(body: string | Buffer, fields?: readonly Field[]): Promise<StreamEnd>;
}

async function aClient(port: number): Promise<Client> {
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  let open = (): void => undefined;
  const opened = new Promise<void>((done) => {
    open = done;
  });
  let close = (_reason: string): void => undefined;
  const closed = new Promise<string>((done) => {
    close = done;
  });
  const http2 = new Http2Connection(socket, `127.0.0.1:${port}`, {
    settings: () => open(),
    pong: () => undefined,
    goaway: () => undefined,
    closed: (reason) => close(reason),
  });
  await Promise.race([opened, closed]);
  const post = (body: string | Buffer, fields: readonly Field[] = []): Promise<StreamEnd> =>
    new Promise((ended) => {
      http2.post([{ name: ':path', value: '/a', as: 'plain' }, ...fields], Buffer.from(body), {
        heard: () => undefined,
        ended,
      });
    });
  return { http2, closed, post };
}

async function aServer(
  answer: (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>, body: Buffer) => void,
  settings = {},
): Promise<{ readonly port: number; readonly server: Http2Server }> {
  const server = createServer({ settings });
  server.on('stream', (stream, headers) => {
    const parts: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => parts.push(chunk));
    stream.on('end', () => answer(stream, headers, Buffer.concat(parts)));
    stream.on('error', () => undefined);
  });
  server.on('sessionError', () => undefined);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  cleanups.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, server };
}

describe('requests and answers', () => {
  it('carry every header and body there can be, and give back what the server says', async () => {
    const { port } = await aServer((stream, headers, body) => {
      stream.respond({ ':status': 418, 'x-back': String(headers['x-there']), 'x-size': String(body.length) });
      stream.end(body.subarray(0, 1000));
    });
    const client = await aClient(port);
    const text = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      minLength: 1,
      maxLength: 300,
    });
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.nat(100_000),
        fc.constantFrom('indexed', 'plain', 'secret'),
        async (value, size, as) => {
          const body = Buffer.alloc(size, 'x');
          const end = await client.post(body, [{ name: 'x-there', value, as }]);
          if (end.is !== 'answered') throw new Error(end.is);
          expect(end.answer.status).toBe(418);
          expect(end.answer.headers['x-back']).toBe(value);
          expect(end.answer.headers['x-size']).toBe(String(size));
          expect(end.answer.body).toHaveLength(Math.min(size, 1000));
        },
      ),
      { numRuns: 60 },
    );
    expect(client.http2.streams).toBe(0);
  });

  it('keep to a small window, a small table and a small frame', async () => {
    const { port } = await aServer(
      (stream, _headers, body) => {
        stream.respond({ ':status': 200 });
        stream.end(String(body.length));
      },
      { initialWindowSize: 100, headerTableSize: 64 },
    );
    const client = await aClient(port);
    const ends = await Promise.all(
      Array.from({ length: 30 }, (_, at) =>
        client.post('y'.repeat(5000 + at), [{ name: 'x-topic', value: `t${at % 3}`, as: 'indexed' }]),
      ),
    );
    expect(ends.map((end) => (end.is === 'answered' ? end.answer.body : end.is))).toEqual(
      ends.map((_, at) => String(5000 + at)),
    );
  });

  it('end at the first octets of an answer that is too long, and leave the connection usable', async () => {
    const { port } = await aServer((stream) => {
      stream.respond({ ':status': 502 });
      stream.end(Buffer.alloc(1_000_000, 'h'));
    });
    const client = await aClient(port);
    for (let count = 0; count < 5; count++) {
      const end = await client.post('{}');
      expect(end).toMatchObject({ is: 'answered', answer: { status: 502 } });
      if (end.is === 'answered') expect(end.answer.body).toHaveLength(4096);
    }
  });

  it('tell streams that were not processed from those that may have been', async () => {
    const waiting: ServerHttp2Stream[] = [];
    const { port } = await aServer((stream) => {
      waiting.push(stream);
      if (waiting.length < 4) return;
      const first = waiting[0];
      first?.session?.goaway(constants.NGHTTP2_NO_ERROR, waiting[1]?.id);
      first?.respond({ ':status': 200 }, { endStream: true });
      waiting[1]?.close(constants.NGHTTP2_REFUSED_STREAM);
    });
    const client = await aClient(port);
    const ends = await Promise.all(Array.from({ length: 4 }, () => client.post('{}')));
    expect(ends.map(({ is }) => is)).toEqual(['answered', 'reset', 'unprocessed', 'unprocessed']);
    expect(await client.closed).toBe('');
    expect(client.http2.isOpen).toBe(false);
  });

  it('send no header that would end in another message', async () => {
    const { port } = await aServer((stream) => stream.respond({ ':status': 200 }, { endStream: true }));
    const client = await aClient(port);
    expect(() =>
      client.http2.post([{ name: 'x-a', value: 'b\r\nx-c: d', as: 'plain' }], Buffer.from('{}'), {
        heard: () => undefined,
        ended: () => undefined,
      }),
    ).toThrow(RangeError);
  });

  it('take a stream back, and the answers that come all the same are read over', async () => {
    let seen = 0;
    const { port } = await aServer((stream) => {
      seen += 1;
      if (seen > 1) stream.respond({ ':status': 200 }, { endStream: true });
      else setTimeout(() => stream.destroyed || stream.respond({ ':status': 200, 'x-long': 'z'.repeat(99) }), 20);
    });
    const client = await aClient(port);
    let wasEnded = false;
    const id = client.http2.post([{ name: ':path', value: '/', as: 'plain' }], Buffer.from('{}'), {
      heard: () => undefined,
      ended: () => {
        wasEnded = true;
      },
    });
    client.http2.giveUp(id);
    expect(await client.post('{}')).toMatchObject({ is: 'answered', answer: { status: 200 } });
    expect(wasEnded).toBe(false);
  });
});

/** A socket of which the test plays the other side. */
function aWire(): { readonly socket: Duplex; feed(octets: Uint8Array): void } {
  const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  return { socket, feed: (octets) => void socket.push(Buffer.from(octets)) };
}

const settled = (): Promise<void> => new Promise((done) => setImmediate(() => setImmediate(done)));
const frameOf = (type: number, flags: number, id: number, payload: Uint8Array): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
};

describe('a peer that keeps to no rule', () => {
  it('ends its own connection and every stream once, whatever frames and octets it sends in whatever pieces', async () => {
    const anyFrame = fc
      .tuple(fc.nat(12), fc.nat(255), fc.nat(9), fc.uint8Array({ maxLength: 80 }))
      .map(([type, flags, id, payload]) => frameOf(type, flags, id, payload));
    const settings = frameOf(4, 0, 0, Buffer.alloc(0));
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(
          fc.oneof(
            { weight: 4, arbitrary: anyFrame },
            fc.uint8Array({ maxLength: 40 }).map((one) => Buffer.from(one)),
          ),
          {
            maxLength: 20,
          },
        ),
        fc.integer({ min: 1, max: 50 }),
        async (isPolite, parts, size) => {
          const { socket, feed } = aWire();
          let closes = 0;
          const ends = [0, 0, 0];
          const http2 = new Http2Connection(socket, 'push.example', {
            settings: () => undefined,
            pong: () => undefined,
            goaway: () => undefined,
            closed: () => {
              closes += 1;
            },
          });
          for (const at of ends.keys())
            http2.post([{ name: ':path', value: '/', as: 'plain' }], Buffer.from('{}'), {
              heard: () => undefined,
              ended: () => {
                ends[at] = (ends[at] ?? 0) + 1;
              },
            });
          const octets = Buffer.concat(isPolite ? [settings, ...parts] : parts);
          for (let at = 0; at < octets.length; at += size) feed(octets.subarray(at, at + size));
          await settled();
          http2.destroy('enough');
          await settled();
          expect(closes).toBe(1);
          expect(ends).toEqual([1, 1, 1]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    ['a frame larger than allowed', Buffer.from([0x01, 0, 0, 0, 0, 0, 0, 0, 1])],
    [
      'a header block without end',
      Buffer.concat([
        frameOf(1, 0, 1, Buffer.alloc(9)),
        ...Array.from({ length: 70 }, () => frameOf(9, 0, 1, Buffer.alloc(9))),
      ]),
    ],
    ['server push', frameOf(5, 4, 1, Buffer.alloc(8))],
    ['a stream nobody opened', frameOf(1, 4, 9, Buffer.alloc(1))],
    ['a window beyond all measure', frameOf(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff]))],
    ['a table index that is none', frameOf(1, 4, 1, Buffer.from([0xff, 0x80, 0x01]))],
  ])('is left: %s', async (_, octets) => {
    const { socket, feed } = aWire();
    const reasons: string[] = [];
    const http2 = new Http2Connection(socket, 'push.example', {
      settings: () => undefined,
      pong: () => undefined,
      goaway: () => undefined,
      closed: (reason) => reasons.push(reason),
    });
    let end: StreamEnd | undefined;
    http2.post([{ name: ':path', value: '/', as: 'plain' }], Buffer.from('{}'), {
      heard: () => undefined,
      ended: (how) => {
        end = how;
      },
    });
    feed(frameOf(4, 0, 0, Buffer.alloc(0)));
    feed(octets);
    await settled();
    expect(reasons).toEqual([expect.stringMatching(/^HTTP\/2: /)]);
    expect(end).toEqual({ is: 'cut' });
  });
});

describe('header compression', () => {
  const name = fc.constantFrom(':path', 'authorization', 'apns-topic', 'apns-id', 'x-own', 'retry-after');
  const value = fc.string({
    unit: fc
      .integer({ min: 0x20, max: 0xff })
      .filter((code) => code !== 0x7f)
      .map((code) => String.fromCharCode(code)),
    maxLength: 120,
  });
  const field = fc.record({ name, value, as: fc.constantFrom('indexed', 'plain', 'secret') }) as fc.Arbitrary<Field>;

  it('reads back what was written, over many blocks and changes of the table', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.array(field, { maxLength: 8 }), fc.option(fc.nat(5000), { freq: 5 })), { maxLength: 30 }),
        (blocks) => {
          const writer = new HpackWriter();
          const reader = new HpackReader();
          for (const [fields, limit] of blocks) {
            if (limit !== null) writer.limit(limit);
            const out = new Octets(16);
            writer.write(fields, out);
            expect(reader.read(out.take())).toEqual(Object.fromEntries(fields.map((one) => [one.name, one.value])));
          }
        },
      ),
    );
  });

  it('reads the examples of RFC 7541 C.6, with Huffman code and a table that is too small', () => {
    const reader = new HpackReader();
    const read = (hex: string) => reader.read(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    expect(
      read(
        '48 82 64 02 58 85 ae c3 77 1a 4b 61 96 d0 7a be 94 10 54 d4 44 a8 20 05 95 04 0b 81 66 e0 82 a6 2d 1b ff 6e 91 9d 29 ad 17 18 63 c7 8f 0b 97 c8 e9 ae 82 ae 43 d3',
      ),
    ).toEqual({
      ':status': '302',
      'cache-control': 'private',
      date: 'Mon, 21 Oct 2013 20:13:21 GMT',
      location: 'https://www.example.com',
    });
    expect(read('48 83 64 0e ff c1 c0 bf')[':status']).toBe('307');
  });
});

it('a TCP peer that says nothing and hangs up closes it with no reason', async () => {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  cleanups.push(() => server.close());
  const client = await aClient((server.address() as AddressInfo).port);
  expect(await client.closed).toBe('');
});
