/** TCP connections that are taken at once, and whose TLS handshake waits: a server too busy for cryptography. */
import type { Http2SecureServer } from 'node:http2';
import type { Socket } from 'node:net';

/** Gives the switch: ms that handshakes wait from now on, 0 for not at all. Call it right after the server was made. */
export function delayHandshakes(server: Http2SecureServer): (ms: number) => void {
  let waitMs = 0;
  const shake = server.listeners('connection') as ((socket: Socket) => void)[];
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const go = (): void => {
      for (const one of shake) one.call(server, socket);
    };
    if (waitMs === 0) return go();
    socket.on('error', () => undefined);
    const timer = setTimeout(() => {
      if (!socket.destroyed) go();
    }, waitMs);
    socket.on('close', () => clearTimeout(timer));
  });
  return (ms) => {
    waitMs = ms;
  };
}
