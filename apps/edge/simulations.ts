/**
 * Simulated calls (`reveille doctor --simulate`): a push service that only listens, and for a while a domain like one of the config
 * whose PBX is the one who asks. What is in between, from the listeners to the hold, is the edge as it runs.
 */
import { randomBytes } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import type { ApiAnswer, ApiRoute } from '../../lib/adapters/http/api.ts';
import type { Config } from '../../lib/config/load.ts';
import { ha1 } from '../../lib/core/digest.ts';
import type { Domain } from '../../lib/core/domain.ts';
import type { RegisterPolicy } from '../../lib/core/register-decision.ts';
import { RouteTable } from '../../lib/engine/transport/route.ts';
import type { Clock } from '../../lib/ports/clock.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { PushRequest, PushService } from '../../lib/ports/push-service.ts';
import { hostOf } from '../../lib/sip/flow.ts';
import { edgeHost } from './addresses.ts';
import { domainOf, type KnownDomain } from './middleware/classify.ts';

/** What a phone of a simulation says in pn-provider. */
export const doctorProvider = 'doctor';
/** The user part of the phone in a domain made for one simulation. */
const user = 'phone';
const mostAtOnce = 4;
const lifeMs = 120_000;
/** Longest wait of one GET for news. */
const waitMs = 5000;
const mostPushes = 100;

export interface SimulationsDeps {
  readonly config: Config;
  readonly hostports: readonly string[];
  readonly known: readonly KnownDomain[];
  /** The domain is served until the returned function is called. */
  readonly serve: (domain: KnownDomain) => () => void;
  readonly store: LocationStore;
  readonly clock: Clock;
  readonly log: Log;
}

export interface PushEars {
  readonly push: PushService;
  readonly supports: RegisterPolicy['supports'];
  /** everything pushed to this app from now on; the returned function ends it and makes the app unknown */
  hear(app: string, secret: string, listener: (request: PushRequest) => void): () => void;
}

interface Heard {
  readonly secret: string;
  readonly listener: (request: PushRequest) => void;
}

/** Stands before the push services of the config: takes what is for phones of simulations, and leaves them all else. */
export function listenToPushes(live: PushService, supports: RegisterPolicy['supports']): PushEars {
  const apps = new Map<string, Heard>();
  return {
    push: {
      push: async (request, signal) => {
        const ours = apps.get(request.app);
        if (ours === undefined) return live.push(request, signal);
        if (signal.aborted) return { is: 'cancelled' };
        ours.listener(request);
        return { is: 'accepted', id: doctorProvider };
      },
      close: () => live.close(),
    },
    supports: (provider, param, tokens) => {
      if (provider !== doctorProvider) return supports(provider, param, tokens);
      const name = `${doctorProvider}-${param ?? ''}`;
      const ours = apps.get(name);
      return ours !== undefined && tokens.some(({ token }) => token === ours.secret) ? name : undefined;
    },
    hear: (app, secret, listener) => {
      apps.set(app, { secret, listener });
      return () => apps.delete(app);
    },
  };
}

interface Simulation {
  readonly aor: string;
  readonly app: string;
  readonly pushes: { readonly class: string; readonly callId: string }[];
  readonly news: Set<() => void>;
  end(): Promise<number>;
}

interface Wish {
  readonly domain: string;
  readonly pbx: { readonly address: string; readonly port: number; readonly transport: 'udp' | 'tcp' } | undefined;
  readonly aor: string | undefined;
}

/** `close` ends those that still are. */
export function openSimulations(
  ears: PushEars,
  deps: SimulationsDeps,
): { readonly routes: readonly ApiRoute[]; close(): Promise<void> } {
  const simulations = new Map<string, Simulation>();

  const begin = (wish: Wish, base: KnownDomain): object => {
    const id = randomBytes(6).toString('hex');
    const prid = randomBytes(12).toString('hex');
    const password = randomBytes(12).toString('hex');
    const app = `${doctorProvider}-${id}`;
    const made = wish.pbx === undefined ? undefined : domainLike(base, `${app}.invalid`, wish.pbx, password, deps);
    const aor = made === undefined ? (wish.aor ?? '') : `${user}@${made.domain.name}`;
    const pushes: Simulation['pushes'] = [];
    const news = new Set<() => void>();
    const stops = [
      ears.hear(app, prid, (request) => {
        if (pushes.length < mostPushes) pushes.push({ class: request.class, callId: request.callId });
        for (const tell of news) tell();
      }),
      ...(made === undefined ? [] : [deps.serve(made)]),
    ];
    const end = async (): Promise<number> => {
      if (!simulations.delete(id)) return 0;
      for (const stop of [...stops, stopTimer]) stop();
      for (const tell of news) tell();
      deps.log.info({ app, domain: base.domain.name }, 'simulated call over');
      return forget(aor, app, deps.store);
    };
    const stopTimer = deps.clock.after(lifeMs, () => {
      void end().catch((err: unknown) => deps.log.warn({ err, aor }, 'a simulated phone is left behind'));
    });
    simulations.set(id, { aor, app, pushes, news, end });
    deps.log.info({ app, domain: base.domain.name }, 'simulated call begins');
    const { wake, calls } = deps.config;
    return {
      ...{ id, aor, user, password, provider: doctorProvider, param: id, prid },
      domain: made?.domain.name ?? base.domain.name,
      like: base.domain.name,
      registration: (made ?? base).domain.registration,
      seconds: { hold: wake.holdSeconds, ring: wake.ringSeconds, ringBudget: calls.ringBudgetSeconds },
    };
  };

  const named = (id: string | undefined): Simulation | undefined => simulations.get(id ?? '');
  const routes: readonly ApiRoute[] = [
    {
      method: 'POST',
      path: '/simulations',
      does: 'prepares a simulated call for `reveille doctor --simulate`; ends by itself after two minutes',
      handle: async ({ body }) => {
        const wish = readWish(body);
        if (typeof wish === 'string') return complain(400, wish);
        const base = domainOf(deps.known, wish.domain);
        if (base === undefined) return complain(404, `No domain of the config serves ${wish.domain}.`);
        if (simulations.size >= mostAtOnce) return complain(409, `${mostAtOnce} simulations are under way already.`);
        return { status: 200, body: begin(wish, base) };
      },
    },
    {
      method: 'GET',
      path: '/simulations/:id/pushes',
      does: 'the pushes for its phone after the first ?after=N, as soon as there is one or five seconds are over',
      handle: async ({ params, query }) => {
        const found = named(params['id']);
        if (found === undefined) return complain(404, 'No such simulation; it may have ended.');
        const after = Math.max(0, Number(query.get('after') ?? 0) || 0);
        if (found.pushes.length <= after) await anyNews(found, deps.clock);
        return { status: 200, body: { pushes: found.pushes.slice(after) } };
      },
    },
    {
      method: 'DELETE',
      path: '/simulations/:id',
      does: 'ends a simulated call and removes what its phone has left',
      handle: async ({ params }) => {
        const found = named(params['id']);
        if (found === undefined) return complain(404, 'No such simulation; it may have ended.');
        return { status: 200, body: { removed: await found.end() } };
      },
    },
  ];
  return {
    routes,
    close: async () => {
      await Promise.all([...simulations.values()].map((each) => each.end().catch(() => 0)));
    },
  };
}

function anyNews({ news }: Simulation, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stop();
      news.delete(done);
      resolve();
    };
    const stop = clock.after(waitMs, done);
    news.add(done);
  });
}

/** Bindings of this app that the phone has not removed itself; how many there were. */
async function forget(aor: string, app: string, store: LocationStore): Promise<number> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const { version, bindings } = await store.read(aor);
    const others = bindings.filter(({ push }) => push?.app !== app);
    if (others.length === bindings.length) return 0;
    const until = Math.max(0, ...others.map(({ expiresAt }) => expiresAt));
    if ((await store.swap(aor, version, others, until)) === 'stored') return bindings.length - others.length;
  }
  return 0;
}

/** The domain with another name and another PBX; a domain with accounts becomes one whose users the edge knows, because there is none. */
function domainLike(
  base: KnownDomain,
  name: string,
  { address, port, transport }: NonNullable<Wish['pbx']>,
  password: string,
  { config, hostports }: SimulationsDeps,
): KnownDomain {
  const { domain } = base;
  const listen = config.engine.kind === 'embedded' ? config.sip.listen : [];
  const trusted = new BlockList();
  trusted.addAddress(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  const realm = name;
  const made: Domain = {
    ...domain,
    name,
    registration: domain.registration === 'on-behalf' ? 'registrar' : domain.registration,
    upstream: `sip:${hostOf(address)}:${port};transport=${transport}`,
    upstreamChangedAt: 0,
    edgeHost: edgeHost(hostports, listen, transport, new RouteTable().sourceOf(address), undefined),
    realm,
    algorithms: ['MD5'],
    trunk: undefined,
    users: new Map([[user, { md5: ha1(user, realm, password, 'MD5') }]]),
  };
  return {
    ...base,
    domain: made,
    trusted,
    proxies: undefined,
    isUpstream: (from, at) => from === address && at === port,
  };
}

function readWish(body: unknown): Wish | string {
  const fields = (typeof body === 'object' && body !== null ? body : {}) as Readonly<Record<string, unknown>>;
  const { domain, aor, pbx } = fields;
  if (typeof domain !== 'string' || domain === '' || domain.length > 255) return 'domain: expected a domain name';
  if (pbx === undefined)
    return typeof aor === 'string' && /^[^\s@]{1,128}@[^\s@]{1,255}$/.test(aor)
      ? { domain, aor, pbx: undefined }
      : 'expected either pbx, or aor as user@domain';
  const { address, port, transport } = (typeof pbx === 'object' && pbx !== null ? pbx : {}) as Readonly<
    Record<string, unknown>
  >;
  if (typeof address !== 'string' || isIP(address) === 0) return 'pbx.address: expected an IP address';
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535)
    return 'pbx.port: expected a port';
  if (transport !== 'udp' && transport !== 'tcp') return 'pbx.transport: expected udp or tcp';
  return { domain, aor: undefined, pbx: { address, port, transport } };
}

function complain(status: number, error: string): ApiAnswer {
  return { status, body: { error } };
}
