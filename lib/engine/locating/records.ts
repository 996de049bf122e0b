/**
 * Which DNS record is tried when (RFC 3263 4, RFC 2782 for SRV, RFC 3403 4.1 for NAPTR, RFC 6724 6 for addresses). Pure: chance comes
 * in as a function, and every order here is a permutation of what may be used.
 */
import type { Transport } from '../../sip/flow.ts';

export interface Naptr {
  readonly order: number;
  readonly preference: number;
  readonly flags: string;
  readonly service: string;
  readonly replacement: string;
}

export interface Srv {
  readonly priority: number;
  readonly weight: number;
  readonly name: string;
  readonly port: number;
}

/** RFC 3263 4.1, RFC 7118 8.2; the TLS ones are all a sips URI may use. */
const services: Readonly<Record<string, { readonly transport: Transport; readonly secure: boolean }>> = {
  'sip+d2u': { transport: 'udp', secure: false },
  'sip+d2t': { transport: 'tcp', secure: false },
  'sips+d2t': { transport: 'tls', secure: true },
  'sip+d2w': { transport: 'ws', secure: false },
  'sips+d2w': { transport: 'wss', secure: true },
};

export interface Service {
  readonly transport: Transport;
  /** asked for SRV records, or for addresses when `isHost` */
  readonly name: string;
  readonly isHost: boolean;
}

/** The services we can use, best first: lower order, then lower preference. Flag `s` leads to SRV, `a` to addresses. */
export function orderNaptr(
  records: readonly Naptr[],
  can: (transport: Transport) => boolean,
  secure: boolean,
): readonly Service[] {
  return records
    .toSorted((a, b) => a.order - b.order || a.preference - b.preference)
    .flatMap(({ flags, service, replacement }): Service[] => {
      const known = Object.hasOwn(services, service.toLowerCase()) ? services[service.toLowerCase()] : undefined;
      const flag = flags.toLowerCase();
      if (known === undefined || (flag !== 's' && flag !== 'a') || replacement === '' || replacement === '.') return [];
      if (!can(known.transport) || (secure && !known.secure)) return [];
      return [{ transport: known.transport, name: replacement, isHost: flag === 'a' }];
    });
}

/**
 * RFC 2782: lowest priority first; within one, drawn by weight, those of weight 0 having a small chance while others are left.
 * `random` gives numbers from 0 to below 1. A lone target `.` says that there is no such service.
 */
export function orderSrv(records: readonly Srv[], random: () => number): readonly Srv[] {
  const usable = records.filter(({ name }) => name !== '.' && name !== '');
  const ordered: Srv[] = [];
  for (const priority of [...new Set(usable.map((each) => each.priority))].toSorted((a, b) => a - b)) {
    const left = usable
      .filter((each) => each.priority === priority)
      .toSorted((a, b) => Number(a.weight > 0) - Number(b.weight > 0));
    while (left.length > 0) {
      const sum = left.reduce((all, { weight }) => all + weight, 0);
      const drawn = Math.floor(random() * (sum + 1));
      let running = 0;
      const at = left.findIndex(({ weight }) => (running += weight) >= drawn);
      ordered.push(...left.splice(at, 1));
    }
  }
  return ordered;
}

export type AddressKind = 'ipv4' | 'ipv6' | 'unique-local' | 'loopback';

export function kindOf(address: string): AddressKind {
  if (!address.includes(':')) return address.startsWith('127.') ? 'loopback' : 'ipv4';
  if (address === '::1') return 'loopback';
  return /^f[cd]/i.test(address) ? 'unique-local' : 'ipv6';
}

/**
 * Addresses of one host, best first: unreachable ones (no source) are left out; IPv6 goes before IPv4 when its source is of its own
 * kind (RFC 6724 6, rules 1, 5 and 6), else behind. The order within a family is kept.
 */
export function orderAddresses(
  addresses: readonly string[],
  sourceOf: (address: string) => string | undefined,
): readonly string[] {
  const rank = (address: string): number => {
    if (!address.includes(':')) return 1;
    return kindOf(address) === kindOf(sourceOf(address) ?? '') ? 0 : 2;
  };
  return addresses.filter((each) => sourceOf(each) !== undefined).toSorted((a, b) => rank(a) - rank(b));
}
