/** A flow whose connection is gone and can only be made anew by the peer: a browser, or a phone that had connected to us. */
import type { Flow, Listener } from './flow.ts';

export function lostFlow(listener: Listener, remoteAddress: string, remotePort: number): Flow {
  return {
    listener,
    remoteAddress,
    remotePort,
    open: false,
    send: () => false,
    end: () => {},
    watch: () => {},
    unwatch: () => {},
  };
}
