/** Keys of `nodes`: how the edges that share one Redis reach each other. */
import { z } from 'zod';
import { fallback, optional } from './keys.ts';
import { host, type HostPort, parsed, readHostPort } from './kinds.ts';

/** auto: the address Redis is reached from, on a free port */
type ListenForNodes = 'auto' | 'off' | HostPort;

const where = parsed<ListenForNodes>('auto, off, or address:port such as 10.0.0.5:9122', (value) =>
  value === 'auto' || value === 'off' ? value : readHostPort(value),
);

export const nodesSection = z.strictObject({
  listen: fallback(where, 'auto', {
    doc: 'With a Redis store and the embedded engine: where the other edges reach the SIP engine of this one, so that a call held by one rings a phone connected to another. TLS with a key they get from Redis. auto: the address Redis is reached from, on a free port; off: phones connected here are pushed when another edge holds their call.',
    env: 'REVEILLE_NODES_LISTEN',
  }),
  advertise: optional(host, {
    doc: 'Host the other edges are told instead of that of listen, where an address is translated on the way.',
    env: 'REVEILLE_NODES_ADVERTISE',
  }),
});
