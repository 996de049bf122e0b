/** What a listener tells its peers in Via and Contact: advertised, or bound, or the address each peer is reached from. */
import { networkInterfaces } from 'node:os';
import type { ListenAt } from '../options.ts';
import { inBrackets } from './flow.ts';
import type { RouteTable } from './route.ts';

export interface Told {
  /** IPv6 in brackets */
  readonly host: string;
  /** undefined: the one it is bound to */
  readonly port: number | undefined;
  /** for one peer; '' for none */
  towards(remoteAddress: string): string;
}

export function toldBy(at: ListenAt, external: string | undefined, routes: RouteTable): Told {
  const port = at.advertise?.port;
  const fixed = at.advertise?.host ?? external ?? (isAny(at.address) ? undefined : at.address);
  if (fixed !== undefined) {
    const host = inBrackets(fixed);
    return { host, port, towards: () => host };
  }
  const host = inBrackets(ownAddress(at.address === '::'));
  return {
    host,
    port,
    towards: (remoteAddress) => {
      const source = remoteAddress === '' ? undefined : routes.sourceOf(remoteAddress);
      return source === undefined ? host : inBrackets(source);
    },
  };
}

function isAny(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** For a peer we know nothing of. */
function ownAddress(ipv6: boolean): string {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const fits = all.filter(
    (each) => !each.internal && (each.family === 'IPv6') === ipv6 && !each.address.startsWith('fe80'),
  );
  return fits[0]?.address ?? (ipv6 ? '::1' : '127.0.0.1');
}
