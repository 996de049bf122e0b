/** The domains of the config as the use-cases need them: where each PBX is now, whom to trust, who its users are. */
import { BlockList, isIP } from 'node:net';
import type { Config } from '../../lib/config/load.ts';
import { ha1 } from '../../lib/core/digest.ts';
import type { DigestSecrets, Domain } from '../../lib/core/domain.ts';
import type { Log } from '../../lib/ports/log.ts';
import { hostOf } from '../../lib/sip/flow.ts';
import { edgeHost, localAddressTowards, resolveUpstream, type UpstreamAddress } from './addresses.ts';
import type { KnownDomain } from './middleware/classify.ts';

export interface OpenDomains {
  readonly known: readonly KnownDomain[];
  close(): Promise<void>;
}

/** Resolves every upstream now and once a minute, so that a PBX that moves is still trusted and a dead name does not stop us. */
export async function openDomains(config: Config, hostports: readonly string[], log: Log): Promise<OpenDomains> {
  const timers: NodeJS.Timeout[] = [];
  const known: KnownDomain[] = [];
  for (const domain of config.domains) {
    let trusted = trustedOf(domain, []);
    let source = '';
    let local: string | undefined;
    let upstream = `sip:${hostOf(domain.upstream.host)}:${domain.upstream.port};transport=${domain.upstream.transport}`;
    const resolve = async (): Promise<void> => {
      const [first, ...others] = await resolveUpstream(domain.upstream);
      if (first === undefined) return;
      // made anew, so that an address the PBX has given up is trusted no longer
      trusted = trustedOf(domain, [first, ...others]);
      source = `${first.address}:${first.port}`;
      upstream = `sip:${hostOf(first.address)}:${first.port};transport=${first.transport}`;
      local ??= await localAddressTowards(first.address);
    };
    const tell = (err: unknown): void =>
      log.error({ domain: domain.name, remote: domain.upstream.uri, err }, 'upstream cannot be resolved');
    await resolve().catch(tell);
    const timer = setInterval(() => void resolve().catch(tell), 60_000);
    timer.unref();
    timers.push(timer);
    const proxies = listOf(domain.proxies);
    const built: Domain = {
      name: domain.name,
      registration: domain.registration,
      withoutPath: domain.withoutPath,
      requirePath: domain.requirePath,
      serviceRoute: domain.serviceRoute,
      get upstream() {
        return upstream;
      },
      get edgeHost() {
        return edgeHost(hostports, domain.upstream.transport, local, config.sip.externalAddress);
      },
      realm: realmOf(domain),
      algorithms: domain.algorithms,
      users: secretsOf(domain),
    };
    known.push({
      domain: built,
      get trusted() {
        return trusted;
      },
      proxies,
      upstreamSource: () => source,
    });
  }
  return {
    known,
    close: async () => {
      for (const timer of timers) clearInterval(timer);
    },
  };
}

function trustedOf(domain: Config['domains'][number], upstream: readonly UpstreamAddress[]): BlockList {
  const list = listOf(domain.trusted);
  for (const { address } of upstream) list.addAddress(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  return list;
}

function listOf(subnets: Config['domains'][number]['trusted']): BlockList {
  const list = new BlockList();
  for (const { address, prefix, family } of subnets) list.addSubnet(address, prefix, family);
  return list;
}

function secretsOf(domain: Config['domains'][number]): ReadonlyMap<string, DigestSecrets> {
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
function realmOf(domain: Config['domains'][number]): string {
  return domain.realm ?? (domain.name === '*' ? 'reveille' : domain.name);
}
