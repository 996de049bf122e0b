import { Duplex } from 'node:stream';
import { expect, it } from 'vitest';
import { hearOut } from '../../../lib/delivery/http2/hear-out.ts';

const failed = (syscall: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`${syscall} failed`), { code: 'EPIPE', syscall });

/** A socket whose peer has left something to be read when the next turn of the sockets comes. */
function aSocket(): { readonly socket: Duplex; readonly told: string[] } {
  const told: string[] = [];
  const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  socket.on('data', (chunk: Buffer) => told.push(chunk.toString()));
  socket.on('error', (error) => told.push(error.message));
  socket.on('close', () => told.push('closed'));
  return { socket, told };
}
const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((done) => setImmediate(done));
};

it('reads what has arrived before a failed write ends the socket, and ends it once', async () => {
  const { socket, told } = aSocket();
  hearOut(socket);
  setImmediate(() => socket.push('GOAWAY'));
  expect(socket.destroy(failed('write'))).toBe(socket);
  socket.destroy(failed('write'));
  expect(socket.destroyed).toBe(false);
  await turns(5);
  expect(told).toEqual(['GOAWAY', 'write failed', 'closed']);
});

it('loses what had arrived without it', async () => {
  const { socket, told } = aSocket();
  setImmediate(() => socket.destroyed || socket.push('GOAWAY'));
  socket.destroy(failed('write'));
  await turns(5);
  expect(told).toEqual(['write failed', 'closed']);
});

it.each([undefined, failed('read'), new Error('nobody wants it')])(
  'ends at once for any other cause: %s',
  async (cause) => {
    const { socket, told } = aSocket();
    hearOut(socket);
    setImmediate(() => socket.destroyed || socket.push('late'));
    socket.destroy(cause);
    expect(socket.destroyed).toBe(true);
    await turns(5);
    expect(told).not.toContain('late');
  },
);

it('a failed write that waits is overtaken by whoever ends the socket for good', async () => {
  const { socket, told } = aSocket();
  hearOut(socket);
  socket.destroy(failed('write'));
  socket.destroy();
  expect(socket.destroyed).toBe(true);
  await turns(5);
  expect(told.filter((one) => one === 'closed')).toHaveLength(1);
});
