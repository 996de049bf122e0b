/** The domains of the config as the use-cases need them: where each PBX is now, whom to trust, who its users are. */
import { BlockList, isIP } from 'node:net';
import type { Config, DomainConfig } from '../../lib/config/load.ts';
import { ha1 } from '../../lib/core/digest.ts';
import type { DigestSecrets, Domain } from '../../lib/core/domain.ts';
import { registrationOf } from '../../lib/core/modes.ts';
import type { Located, Locator } from '../../lib/engine/locating/locator.ts';
import { RouteTable } from '../../lib/engine/transport/route.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Transport } from '../../lib/sip/flow.ts';
import { edgeHost, locateUpstream, nextHopOf, openLocator } from './addresses.ts';
import type { KnownDomain } from './middleware/classify.ts';

export interface OpenDomains {
  readonly known: readonly KnownDomain[];
  close(): Promise<void>;
}

/** How often a name is followed anew, and how soon again when its addresses are used; DNS is asked when its answers have run out. */
const everyMs = 30_000;
const againMs = 5000;

/**
 * Follows the name of every upstream now, from time to time and when its addresses are used, so that a PBX that moves is still
 * trusted. A dead name does not stop the start, and while DNS is silent the last known addresses stay.
 */
export async function openDomains(config: Config, hostports: readonly string[], log: Log): Promise<OpenDomains> {
  const routes = new RouteTable();
  const listen = config.engine.kind === 'embedded' ? config.sip.listen : [];
  const locator = openLocator(hostports, listen, routes, config.sip.dnsServers);
  const upstreams = config.domains.map((domain) => new Upstream(domain, locator, routes, log));
  await Promise.all(upstreams.map((each) => each.follow()));
  const timers = upstreams.filter((each) => each.isName).map((each) => setInterval(() => void each.follow(), everyMs));
  for (const timer of timers) timer.unref();
  const known = config.domains.map((domain, at): KnownDomain => {
    const upstream = upstreams[at] as Upstream;
    const own: Domain = {
      name: domain.name,
      registration: registrationOf(domain.registration, domain.upstreamMode) ?? domain.registration,
      withoutPath: domain.withoutPath,
      requirePath: domain.requirePath,
      serviceRoute: domain.serviceRoute,
      upstream: nextHopOf(domain.upstream),
      get edgeHost() {
        return edgeHost(hostports, listen, upstream.transport, upstream.local, config.sip.externalAddress);
      },
      realm: realmOf(domain),
      algorithms: domain.algorithms,
      users: secretsOf(domain),
    };
    return {
      domain: own,
      // the same object behind it, whose address may change
      onBehalf:
        own.registration === 'on-behalf'
          ? undefined
          : (Object.create(own, { registration: { value: 'on-behalf', enumerable: true } }) as Domain),
      get trusted() {
        return upstream.trusted;
      },
      proxies: domain.proxies.length === 0 ? undefined : listOf(domain.proxies),
      isUpstream: (address, port) => upstream.isAt(address, port),
    };
  });
  return {
    known,
    close: async () => {
      for (const timer of timers) clearInterval(timer);
      locator.close();
    },
  };
}

function listOf(subnets: Config['domains'][number]['trusted']): BlockList {
  const list = new BlockList();
  for (const { address, prefix, family } of subnets) list.addSubnet(address, prefix, family);
  return list;
}

/** The PBX of one domain: where its servers are now. */
class Upstream {
  readonly isName: boolean;
  readonly #domain: DomainConfig;
  readonly #locator: Locator;
  readonly #routes: RouteTable;
  readonly #log: Log;
  #servers: readonly Located[] = [];
  #trusted: BlockList;
  #lost = false;
  #followedAt = Number.NEGATIVE_INFINITY;
  #following = false;

  constructor(domain: DomainConfig, locator: Locator, routes: RouteTable, log: Log) {
    this.#domain = domain;
    this.#locator = locator;
    this.#routes = routes;
    this.#log = log;
    this.isName = isIP(domain.upstream.host) === 0;
    this.#trusted = this.#trust();
  }

  /** Addresses calls may come from. */
  get trusted(): BlockList {
    if (this.isName && performance.now() - this.#followedAt > againMs) void this.follow();
    return this.#trusted;
  }

  isAt(address: string, port: number): boolean {
    return this.#servers.some((each) => each.address === address && each.port === port);
  }

  get transport(): Transport {
    return this.#servers[0]?.transport ?? this.#domain.upstream.transport ?? 'udp';
  }

  /** The address of ours the PBX sees. */
  get local(): string | undefined {
    const [first] = this.#servers;
    return first === undefined ? undefined : this.#routes.sourceOf(first.address);
  }

  async follow(): Promise<void> {
    if (this.#following) return;
    this.#following = true;
    const found = await locateUpstream(this.#domain.upstream, this.#locator);
    this.#following = false;
    this.#followedAt = performance.now();
    const where = { domain: this.#domain.name, remote: this.#domain.upstream.uri };
    if (found.length === 0) {
      if (!this.#lost) this.#log.error({ ...where, count: this.#servers.length }, 'upstream cannot be resolved');
      this.#lost = true;
      return;
    }
    if (this.#lost) this.#log.info({ ...where, count: found.length }, 'upstream is resolved again');
    this.#lost = false;
    this.#servers = found;
    // made anew, so that an address the PBX has given up is trusted no longer
    this.#trusted = this.#trust();
  }

  #trust(): BlockList {
    const list = listOf(this.#domain.trusted);
    for (const { address } of this.#servers) list.addAddress(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
    return list;
  }
}

function secretsOf(domain: DomainConfig): ReadonlyMap<string, DigestSecrets> {
  return new Map(
    domain.users.map((user): [string, DigestSecrets] => {
      const password = user.password?.reveal();
      const realm = realmOf(domain);
      if (password !== undefined) {
        return [
          user.name,
          { md5: ha1(user.name, realm, password, 'MD5'), sha256: ha1(user.name, realm, password, 'SHA-256') },
        ];
      }
      return [
        user.name,
        {
          ...(user.ha1Md5 === undefined ? {} : { md5: user.ha1Md5.reveal() }),
          ...(user.ha1Sha256 === undefined ? {} : { sha256: user.ha1Sha256.reveal() }),
        },
      ];
    }),
  );
}

/** A domain that serves many names needs one realm for all, because an HA1 is made for one. */
function realmOf(domain: DomainConfig): string {
  return domain.realm ?? (domain.name === '*' ? 'reveille' : domain.name);
}
