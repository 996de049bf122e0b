/**
 * Which of our addresses the kernel would send from (what `ip route get` tells). Connecting a UDP socket sends nothing, and Node does
 * it at once when nothing is left to resolve; an answer is kept for a while, because a route seldom moves.
 */
import { createSocket } from 'node:dgram';
import { plainAddress } from './flow.ts';

const keptMs = 30_000;
const mostKept = 10_000;

export class RouteTable {
  readonly #known = new Map<string, { readonly source: string | undefined; readonly until: number }>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Undefined when there is no route to this IP address. */
  sourceOf(address: string): string | undefined {
    const known = this.#known.get(address);
    const now = this.#now();
    if (known !== undefined && now < known.until) return known.source;
    const source = askKernel(address);
    this.#known.delete(address);
    this.#known.set(address, { source, until: now + keptMs });
    if (this.#known.size > mostKept) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest);
        break;
      }
    }
    return source;
  }
}

function askKernel(address: string): string | undefined {
  const family = address.includes(':') ? 6 : 4;
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    lookup: (name, _options, found) => found(null, name, family),
  });
  // no route: reported here as well, but too late for us
  socket.on('error', () => {});
  try {
    socket.bind({ port: 0, address: family === 6 ? '::' : '0.0.0.0', exclusive: true });
    socket.connect(9, address);
    // throws where the kernel did not connect it
    socket.remoteAddress();
    return plainAddress(socket.address().address);
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
}
