/** Who may connect: counts the connections of all listeners together and of each remote address, and refuses what is above. */
import type { Socket } from 'node:net';
import type { Counters } from '../counters.ts';
import type { Limits } from '../options.ts';
import { plainAddress } from './flow.ts';

export class Admission {
  readonly #limits: Limits;
  readonly #counters: Counters;
  readonly #byAddress = new Map<string, number>();
  #accepted = 0;

  constructor(limits: Limits, counters: Counters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  /** Takes a place for a new connection until it closes. False: there was none, and the socket is gone. */
  admit(socket: Socket): boolean {
    const { remoteAddress, remotePort } = socket;
    const full = this.#accepted >= this.#limits.connections;
    if (remoteAddress === undefined || remotePort === undefined || full) {
      this.#counters.connectionsRefused++;
      refuse(socket);
      return false;
    }
    const key = placeOf(plainAddress(remoteAddress));
    const sameAddress = this.#byAddress.get(key) ?? 0;
    if (sameAddress >= this.#limits.connectionsPerAddress) {
      this.#counters.addressLimitRefused++;
      refuse(socket);
      return false;
    }
    this.#byAddress.set(key, sameAddress + 1);
    this.#accepted++;
    this.#counters.connections++;
    socket.once('close', () => {
      const left = (this.#byAddress.get(key) ?? 1) - 1;
      if (left > 0) this.#byAddress.set(key, left);
      else this.#byAddress.delete(key);
      this.#accepted--;
      this.#counters.connections--;
    });
    return true;
  }

  /** Counts a connection of our own making; there is no limit but the apps' wishes. */
  note(socket: Socket): void {
    this.#counters.connections++;
    socket.once('close', () => {
      this.#counters.connections--;
    });
  }
}

function refuse(socket: Socket): void {
  socket.on('error', () => {});
  socket.destroy();
}

/** An IPv4 address; of IPv6 the /64, because one peer has all of it. */
export function placeOf(address: string): string {
  if (!address.includes(':')) return address;
  const [plain = ''] = address.split('%');
  const [head = '', tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const words = [...left, ...Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0'), ...right];
  return words
    .slice(0, 4)
    .map((word) => Number.parseInt(word, 16).toString(16))
    .join(':');
}
