/** The PBX of one domain: follows the names of its upstreams and keeps its pool of servers and the list of trusted addresses. */
import { BlockList, isIP } from 'node:net';
import type { DomainConfig } from '../../lib/config/load.ts';
import type { SipPeer } from '../../lib/config/kinds.ts';
import type { Located, Locator } from '../../lib/engine/locating/locator.ts';
import type { RouteTable } from '../../lib/engine/transport/route.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { hostOf, type Transport } from '../../lib/sip/flow.ts';
import { type PoolPolicy, type Server, UpstreamPool } from '../../lib/upstream/pool.ts';
import { locateUpstream, nextHopOf } from './addresses.ts';

/** How soon a name is followed again when its addresses are used; DNS is asked when its answers have run out. */
const againMs = 5000;
/** A server that wants to be left alone for longer is asked again all the same. */
const longestRestMs = 600_000;

/** One entry of `upstreams`; `upstream` is short for a list of one. */
export interface UpstreamEntry {
  readonly uri: SipPeer;
  readonly priority: number;
  readonly weight: number;
  readonly outboundProxy?: SipPeer | undefined;
  readonly outboundRoute?: readonly string[] | undefined;
  readonly tlsName?: string | undefined;
}

export function entriesOf({ upstream, upstreams }: DomainConfig): readonly UpstreamEntry[] {
  return upstream === undefined ? upstreams : [{ uri: upstream, priority: 10, weight: 1 }];
}

export interface UpstreamDeps {
  readonly locator: Locator;
  readonly routes: RouteTable;
  readonly log: Log;
  readonly telemetry: Telemetry;
  readonly now: () => number;
  /** what a server of this transport is told of us, when we speak to it from `local` */
  readonly edgeHost: (transport: Transport, local: string | undefined) => string;
}

export class Upstream {
  readonly isName: boolean;
  readonly pool: UpstreamPool;
  readonly #domain: DomainConfig;
  readonly #entries: readonly UpstreamEntry[];
  readonly #deps: UpstreamDeps;
  readonly #lost = new Set<string>();
  /** by the text of the config, in its order */
  readonly #found = new Map<string, readonly Located[]>();
  #trusted: BlockList;
  #followedAt = Number.NEGATIVE_INFINITY;
  #following = false;

  constructor(name: string, domain: DomainConfig, deps: UpstreamDeps) {
    this.#domain = domain;
    this.#deps = deps;
    this.#entries = entriesOf(domain);
    this.isName = this.#peers().some(({ host }) => isIP(host) === 0);
    this.pool = new UpstreamPool(name, domain.name, policyOf(domain), { ...deps, onUse: () => this.#lookAgain() });
    this.#trusted = this.#trust();
  }

  /** Addresses calls may come from. */
  get trusted(): BlockList {
    this.#lookAgain();
    return this.#trusted;
  }

  isAt(address: string, port: number): boolean {
    return [...this.#found.values()].some((found) => found.some((one) => one.address === address && one.port === port));
  }

  /** How the PBX reaches the edge: by the first of its servers, whoever of them is up, so that Contacts stay as they are. */
  get edgeHost(): string {
    return this.pool.servers[0]?.edgeHost ?? this.#deps.edgeHost(this.#entries[0]?.uri.transport ?? 'udp', undefined);
  }

  async follow(): Promise<void> {
    if (this.#following) return;
    this.#following = true;
    await Promise.all(this.#peers().map((peer) => this.#followOne(peer)));
    this.#following = false;
    this.#followedAt = performance.now();
    const servers = this.#entries.flatMap((entry) => this.#serversOf(entry)).slice(0, mostServers);
    if (servers.length > 0) this.pool.use(inOrder(servers));
    // made anew, so that an address the PBX has given up is trusted no longer
    this.#trusted = this.#trust();
  }

  async #followOne(peer: SipPeer): Promise<void> {
    const { log, locator } = this.#deps;
    const found = await locateUpstream(peer, locator);
    const known = this.#found.get(peer.uri) ?? [];
    const where = { domain: this.#domain.name, remote: peer.uri };
    if (found.length === 0) {
      if (!this.#lost.has(peer.uri)) log.error({ ...where, count: known.length }, 'upstream cannot be resolved');
      this.#lost.add(peer.uri);
      return;
    }
    if (this.#lost.delete(peer.uri)) log.info({ ...where, count: found.length }, 'upstream is resolved again');
    this.#found.set(peer.uri, found);
  }

  #lookAgain(): void {
    if ((this.isName || this.#lost.size > 0) && performance.now() - this.#followedAt > againMs) void this.follow();
  }

  #peers(): readonly SipPeer[] {
    const peers = this.#entries.flatMap(({ uri, outboundProxy }) => (outboundProxy ? [uri, outboundProxy] : [uri]));
    return [...new Map(peers.map((peer) => [peer.uri, peer])).values()];
  }

  #serversOf({ uri, priority, weight, outboundProxy, outboundRoute = [], tlsName }: UpstreamEntry): readonly Server[] {
    const { routes, edgeHost } = this.#deps;
    const next = outboundProxy ?? uri;
    return (this.#found.get(next.uri) ?? []).map((located): Server => {
      const { transport, address, port } = located;
      return {
        id: `${transport}/${hostOf(address)}:${port}${outboundProxy === undefined ? '' : ` for ${uri.uri}`}`,
        upstream: uri.uri,
        priority,
        weight,
        srvPriority: located.rank,
        srvWeight: located.weight,
        nextHop: hopTo(located, tlsName ?? next.host),
        routes: outboundRoute,
        probeUri: nextHopOf(uri),
        edgeHost: edgeHost(transport, routes.sourceOf(address)),
      };
    });
  }

  #trust(): BlockList {
    const list = new BlockList();
    for (const { address, prefix, family } of this.#domain.trusted) list.addSubnet(address, prefix, family);
    for (const found of this.#found.values())
      for (const { address } of found) list.addAddress(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
    return list;
  }
}

/** The first one says what Contacts name, so it is the same whatever order DNS gives and whoever is up. */
function inOrder(servers: readonly Server[]): readonly Server[] {
  return servers.toSorted(
    (a, b) => a.priority - b.priority || a.srvPriority - b.srvPriority || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  );
}

/** All together: each is probed, and each could be tried for one request. */
const mostServers = 64;

/** With TLS the name stands before its address (RFC 3261 19.1.1, maddr), because the certificate must be for the name. */
function hopTo({ transport, address, port }: Located, name: string): string {
  const at = `:${port};transport=${transport}`;
  return transport === 'tls' && isIP(name) === 0
    ? `sip:${name}${at};maddr=${hostOf(address)}`
    : `sip:${hostOf(address)}${at}`;
}

function policyOf({ availability }: DomainConfig): PoolPolicy {
  const { probeSeconds } = availability;
  return {
    downAfter: availability.downAfter,
    upAfter: availability.upAfter,
    restMs: availability.restSeconds * 1000,
    longestRestMs,
    probes: probeSeconds !== undefined && probeSeconds > 0,
    tryMs: availability.tryMs,
    probeMs: probeSeconds === undefined ? undefined : probeSeconds * 1000,
    probeTimeoutMs: availability.probeTimeoutMs,
    probeAccepts: availability.probeAccept,
  };
}
