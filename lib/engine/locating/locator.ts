/**
 * From what a URI says about the next hop to the targets a request is sent to, best first (RFC 3263 4): NAPTR, SRV and addresses where
 * the URI leaves them open. Targets that failed a moment ago come last, so that one dead server does not delay every request.
 */
import type { Transport } from '../../sip/flow.ts';
import { defaultPort } from '../transport/flow.ts';
import { Recent } from '../transport/recent.ts';
import { Dns, type DnsOptions } from './dns.ts';
import { HostsFile } from './hosts-file.ts';
import { orderAddresses, orderNaptr, orderSrv, type Service } from './records.ts';

/** A next hop that names a host. */
export interface NamedHop {
  readonly host: string;
  readonly port: number | undefined;
  /** the URI's transport parameter */
  readonly transport: Transport | undefined;
  /** a sips URI: only TLS and WSS will do */
  readonly secure: boolean;
}

export interface Located {
  readonly transport: Transport;
  /** IP address without brackets */
  readonly address: string;
  readonly port: number;
  /** the name that was asked for: what the certificate of a TLS peer must be for (RFC 5922 4) */
  readonly name: string;
  /** lower first; targets of one rank are equals, of which `weight` says the share (RFC 2782) */
  readonly rank: number;
  readonly weight: number;
}

type Place = Pick<Located, 'transport' | 'address' | 'port'>;

interface Server {
  readonly transport: Transport;
  readonly host: string;
  readonly port: number;
  /** of its SRV record */
  readonly priority: number;
  readonly weight: number;
}

/** What this host can send over and from. */
export interface Reach {
  /** in the order of preference where neither the URI nor NAPTR says */
  readonly transports: readonly Transport[];
  /** the address a message to this one leaves from; undefined when there is no way */
  sourceOf(transport: Transport, address: string): string | undefined;
}

export const locatorBounds = {
  targets: 12,
  /** a target that failed is tried last for so long */
  avoidMs: 60_000,
  avoided: 1000,
} as const;

const services: Readonly<Record<Transport, string>> = {
  udp: '_sip._udp',
  tcp: '_sip._tcp',
  tls: '_sips._tcp',
  ws: '_sip._ws',
  wss: '_sips._ws',
};

export class Locator {
  readonly #dns: Dns;
  readonly #hosts = new HostsFile();
  readonly #reach: Reach;
  readonly #random: () => number;
  readonly #avoided: Recent;

  constructor(reach: Reach, options: DnsOptions & { readonly random?: () => number } = {}) {
    this.#reach = reach;
    this.#random = options.random ?? Math.random;
    this.#avoided = new Recent(locatorBounds.avoided, locatorBounds.avoidMs, options.now);
    this.#dns = new Dns(options);
  }

  /** Empty when the name leads nowhere we can send to. Takes as long as DNS does, which is bounded; never rejects. */
  async locate(hop: NamedHop): Promise<readonly Located[]> {
    const host = hop.host.replace(/\.$/, '');
    // a browser's made-up name (RFC 7118 5.3, RFC 6761 6.4): nobody knows it, and nobody is to be asked
    if (host === '' || /(?:^|\.)invalid$/i.test(host)) return [];
    const found: Located[] = [];
    const servers = (await this.#servers(host, hop)).slice(0, locatorBounds.targets);
    const addresses = await Promise.all(servers.map((each) => this.#addressesOf(each.transport, each.host)));
    let rank = 0;
    for (const [at, { transport, port, priority, weight }] of servers.entries()) {
      const before = servers[at - 1];
      if (before !== undefined && (before.transport !== transport || before.priority !== priority)) rank += 2;
      const [first = ''] = addresses[at] ?? [];
      for (const address of addresses[at] ?? []) {
        if (found.some((one) => one.transport === transport && one.address === address && one.port === port)) continue;
        // addresses of the other family come after those of the preferred one (RFC 6724)
        const isOther = address.includes(':') !== first.includes(':');
        found.push({ transport, address, port, name: host, rank: rank + (isOther ? 1 : 0), weight });
        if (found.length === locatorBounds.targets) return this.#avoidedLast(found);
      }
    }
    return this.#avoidedLast(found);
  }

  /** This target did not answer: others first for a while. */
  avoid(target: Place): void {
    this.#avoided.add(keyOf(target));
  }

  /** It answered. */
  welcome(target: Place): void {
    if (this.#avoided.size > 0) this.#avoided.delete(keyOf(target));
  }

  close(): void {
    this.#dns.close();
  }

  /** RFC 3263 4.1 and 4.2: transport, host name and port of each server, best first. */
  async #servers(host: string, hop: NamedHop): Promise<readonly Server[]> {
    const { transport, port, secure } = hop;
    const can = (each: Transport): boolean =>
      this.#reach.transports.includes(each) && (!secure || each === 'tls' || each === 'wss');
    const usual = [secure ? 'tls' : 'udp', ...this.#reach.transports].find((each) => can(each as Transport));
    const chosen = transport ?? (usual as Transport | undefined);
    if (chosen === undefined || !can(chosen)) return [];
    const plain = [{ transport: chosen, host, port: port ?? defaultPort(chosen), priority: 0, weight: 0 }];
    if (port !== undefined || this.#hosts.find(host) !== undefined) return plain;
    if (transport !== undefined) {
      const found = await this.#srv({ transport, name: `${services[transport]}.${host}`, isHost: false });
      return found ?? plain;
    }
    const asked = this.#reach.transports
      .filter((each) => can(each) && each !== 'ws' && each !== 'wss')
      .map((each) => this.#srv({ transport: each, name: `${services[each]}.${host}`, isHost: false }));
    const naptr = await this.#dns.naptr(host);
    const named = naptr.is === 'found' ? orderNaptr(naptr.records, can, secure).slice(0, locatorBounds.targets) : [];
    const byNaptr = (await Promise.all(named.map((each) => this.#srv(each)))).flatMap((each) => each ?? []);
    if (byNaptr.length > 0) return byNaptr;
    const bySrv = await Promise.all(asked);
    return bySrv.some((each) => each !== undefined) ? bySrv.flatMap((each) => each ?? []) : plain;
  }

  /** Undefined when there are no such records; empty when they say that there is no such service. */
  async #srv(service: Service): Promise<readonly Server[] | undefined> {
    const { transport, name } = service;
    if (service.isHost) return [{ transport, host: name, port: defaultPort(transport), priority: 0, weight: 0 }];
    const answer = await this.#dns.srv(name);
    if (answer.is !== 'found') return undefined;
    return orderSrv(answer.records, this.#random)
      .slice(0, locatorBounds.targets)
      .map((each) => ({ transport, host: each.name, port: each.port, priority: each.priority, weight: each.weight }));
  }

  async #addressesOf(transport: Transport, host: string): Promise<readonly string[]> {
    const local = this.#hosts.find(host);
    const answer = local === undefined ? await this.#dns.addresses(host) : undefined;
    const addresses = local ?? (answer?.is === 'found' ? answer.records : []);
    return orderAddresses(addresses, (address) => this.#reach.sourceOf(transport, address));
  }

  #avoidedLast(found: readonly Located[]): readonly Located[] {
    if (this.#avoided.size === 0 || found.length < 2) return found;
    const late = (target: Located): number => (this.#avoided.has(keyOf(target)) ? 1 : 0);
    return found.toSorted((a, b) => late(a) - late(b));
  }
}

function keyOf({ transport, address, port }: Place): string {
  return `${transport} ${address} ${port}`;
}
