/** The domains of the config as the use-cases need them: where each PBX is now, whom to trust, who its users are. */
import { BlockList } from 'node:net';
import type { Config, DomainConfig } from '../../lib/config/load.ts';
import { ha1 } from '../../lib/core/digest.ts';
import type { DigestSecrets, Domain } from '../../lib/core/domain.ts';
import { registrationOf } from '../../lib/core/modes.ts';
import type { Trunk } from '../../lib/core/trunk-routes.ts';
import { RouteTable } from '../../lib/engine/transport/route.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import type { Pools } from '../../lib/upstream/pool.ts';
import { edgeHost, nextHopOf, openLocator } from './addresses.ts';
import type { KnownDomain } from './middleware/classify.ts';
import { entriesOf, Upstream } from './upstreams.ts';

export interface OpenDomains {
  readonly known: readonly KnownDomain[];
  /** One more that is not in the config, until the returned function is called. */
  serve(domain: KnownDomain): () => void;
  /** the servers of each PBX, by what Domain.upstream says */
  readonly pools: Pools;
  close(): Promise<void>;
}

/** How often a name is followed anew; DNS is asked when its answers have run out. */
const everyMs = 30_000;

/**
 * Follows the name of every upstream now, from time to time and when its addresses are used, so that a PBX that moves is still
 * trusted. A dead name does not stop the start, and while DNS is silent the last known addresses stay.
 */
export async function openDomains(
  config: Config,
  hostports: readonly string[],
  { log, telemetry, now }: { readonly log: Log; readonly telemetry: Telemetry; readonly now: () => number },
): Promise<OpenDomains> {
  const routes = new RouteTable();
  const listen = config.engine.kind === 'embedded' ? config.sip.listen : [];
  const locator = openLocator(hostports, listen, routes, config.sip.dnsServers);
  const deps = {
    locator,
    routes,
    log,
    telemetry,
    now,
    edgeHost: (transport: Parameters<typeof edgeHost>[2], local: string | undefined) =>
      edgeHost(hostports, listen, transport, local, config.sip.externalAddress),
  };
  const names = namesOf(config.domains);
  const upstreams = config.domains.map((domain, at) => new Upstream(names[at] as string, domain, deps));
  await Promise.all(upstreams.map((each) => each.follow()));
  const timers = upstreams.map((each) => setInterval(() => void each.follow(), everyMs));
  for (const timer of timers) timer.unref();
  const known = config.domains.map((domain, at): KnownDomain => {
    const upstream = upstreams[at] as Upstream;
    const own: Domain = {
      name: domain.name,
      registration: registrationOf(domain.registration, domain.upstreamMode) ?? domain.registration,
      withoutPath: domain.withoutPath,
      requirePath: domain.requirePath,
      pbxWithoutPath: domain.pbxWithoutPath,
      serviceRoute: domain.serviceRoute,
      throttle: throttleOf(domain),
      trunk: trunkOf(domain),
      earlyRinging: earlyRingingOf(domain.earlyRinging ?? config.calls.earlyRinging),
      upstream: upstream.pool.name,
      get edgeHost() {
        return upstream.edgeHost;
      },
      get upstreamChangedAt() {
        return upstream.pool.changedAt;
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
    serve: (domain) => {
      known.push(domain);
      return () => void known.splice(known.indexOf(domain), 1);
    },
    pools: new Map(upstreams.map(({ pool }) => [pool.name, pool])),
    close: async () => {
      for (const timer of timers) clearInterval(timer);
      locator.close();
    },
  };
}

/** What the use-cases send to: the next hop as the config names it, and another one where two domains name the same. */
function namesOf(domains: readonly DomainConfig[]): readonly string[] {
  const names: string[] = [];
  for (const domain of domains) {
    const [first] = entriesOf(domain);
    const hop = first === undefined ? '' : nextHopOf(first.uri);
    const again = names.filter((name) => name.split(';of=', 1)[0] === hop).length;
    names.push(again === 0 ? hop : `${hop};of=${again}`);
  }
  return names;
}

/** `throttle` says how; `upstream_mode: throttled` alone means the usual times. */
function throttleOf({ throttle, upstreamMode }: DomainConfig): Domain['throttle'] {
  return throttle ?? (upstreamMode === 'throttled' ? { upstreamExpires: 3600, phoneExpires: 604_800 } : undefined);
}

function trunkOf({ trunk }: DomainConfig): Trunk | undefined {
  return trunk === undefined ? undefined : { ...trunk, users: new Set(trunk.users) };
}

function earlyRingingOf(word: 'none' | '180' | '183'): 180 | 183 | undefined {
  return word === 'none' ? undefined : word === '180' ? 180 : 183;
}

function listOf(subnets: Config['domains'][number]['trusted']): BlockList {
  const list = new BlockList();
  for (const { address, prefix, family } of subnets) list.addSubnet(address, prefix, family);
  return list;
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
