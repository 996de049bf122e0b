/** How the PBX reaches the edge, and where the PBX is when the config names it. */
import { isIP } from 'node:net';
import { Locator, type Located } from '../../lib/engine/locating/locator.ts';
import type { RouteTable } from '../../lib/engine/transport/route.ts';
import type { SipListener, SipPeer } from '../../lib/config/kinds.ts';
import { hostOf, type Transport } from '../../lib/sip/flow.ts';

const inOrder: readonly Transport[] = ['udp', 'tcp', 'tls'];

/** Follows names as the engine does, over what the engine listens on; the addresses a name has are those its servers may send from. */
export function openLocator(
  hostports: readonly string[],
  listen: readonly SipListener[],
  routes: RouteTable,
  servers: readonly string[],
): Locator {
  const listeners = listenersOf(hostports, listen);
  const hears = (transport: Transport, address: string): boolean =>
    listeners.some(({ spoken, bound }) => {
      const family = isIP(bound);
      return spoken === transport && (family === 0 || bound === '::' || family === isIP(address));
    });
  return new Locator(
    {
      transports: inOrder.filter((each) => listeners.some(({ spoken }) => spoken === each)),
      sourceOf: (transport, address) => (hears(transport, address) ? routes.sourceOf(address) : undefined),
    },
    { servers },
  );
}

/** The servers behind an upstream, best first; empty when its name has none we can reach. */
export async function locateUpstream(upstream: SipPeer, locator: Locator): Promise<readonly Located[]> {
  const { host, port, transport } = upstream;
  return locator.locate({ host, port, transport, secure: false });
}

/** The next hop as the engine takes it: what the config leaves open is found by the engine for each request (RFC 3263). */
export function nextHopOf({ host, port, transport }: SipPeer): string {
  return `sip:${hostOf(host)}${port === undefined ? '' : `:${port}`}${transport === undefined ? '' : `;transport=${transport}`}`;
}

/**
 * What follows the `@` in the edge's own Contact: `host:port;transport=t`, of the listener the PBX is spoken to from. `hostports` is
 * what the engine tells, `listen` the config it was started with (in the same order; empty for a drachtio-server), `local` the
 * address this host sends from towards the PBX.
 */
export function edgeHost(
  hostports: readonly string[],
  listen: readonly SipListener[],
  transport: Transport,
  local: string | undefined,
  external: string | undefined,
): string {
  const listeners = listenersOf(hostports, listen);
  const fits = listeners.filter(({ spoken }) => spoken === transport);
  const ipv6 = local?.includes(':') === true;
  const rank = ({ bound }: { readonly bound: string }): number =>
    bound === local ? 0 : bound === '::' || (isAny(bound) && !ipv6) ? 1 : bound.includes(':') === ipv6 ? 2 : 3;
  const [best] = (fits.length > 0 ? fits : listeners).toSorted((a, b) => rank(a) - rank(b));
  if (best === undefined) return `${hostOf(external ?? local ?? '127.0.0.1')}:5060;transport=${transport}`;
  const own = isAny(best.bound) ? (local ?? (isAny(best.told) ? '127.0.0.1' : best.told)) : best.told;
  return `${hostOf(best.advertised ?? external ?? own)}:${best.port};transport=${transport}`;
}

function listenersOf(hostports: readonly string[], listen: readonly SipListener[]) {
  return hostports.map((hostport, at) => {
    const [, spoken = '', told = '', port = '5060'] = /^(\w+)\/\[?([^\]]*)\]?:(\d+)$/.exec(hostport) ?? [];
    return { spoken, told, port, bound: listen[at]?.address ?? told, advertised: listen[at]?.advertise?.host };
  });
}

function isAny(address: string): boolean {
  return address === '' || address === '0.0.0.0' || address === '::';
}
