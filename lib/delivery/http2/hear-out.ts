/**
 * Who writes to a peer that has said all it had to say and left gets EPIPE, and node then closes the socket at once: with it go answers
 * and a GOAWAY that lie in the kernel unread, and pushes the peer has taken over would be sent again.
 */
import type { Duplex } from 'node:stream';

/** A failed write ends `socket` only when what had arrived by then has been read. */
export function hearOut(socket: Duplex): void {
  const destroy = socket.destroy.bind(socket);
  let isLeaving = false;
  socket.destroy = (cause?: NodeJS.ErrnoException) => {
    if (cause?.syscall !== 'write') return destroy(cause);
    if (isLeaving) return socket;
    isLeaving = true;
    // the sockets have their turn between the two
    setImmediate(() => setImmediate(() => destroy(cause)));
    return socket;
  };
}
