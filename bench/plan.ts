/** Which runs belong to a name on the command line, and which of them this machine cannot do. */
import type { Job, ServerPlan } from './job.ts';
import { drachtioBinary } from './servers/drachtio.ts';
import { hasKamailio } from './servers/yardsticks.ts';

export const groups = [
  'register',
  'register-rate',
  'wake',
  'bursts',
  'holds',
  'engine',
  'parse',
  'calls',
  'flows',
] as const;
export type Group = (typeof groups)[number];

export interface Sizes {
  readonly seconds: number;
  readonly phones: number;
  readonly inFlight: number;
  /** REGISTERs a second of register-rate */
  readonly registerRate: number;
  readonly calls: number;
  /** calls before those */
  readonly warmUp: number;
  /** calls a second of wake */
  readonly callRate: number;
  readonly held: number;
  readonly settleSeconds: number;
  /** of holding and cancelling, on the same servers */
  readonly rounds: number;
  readonly seed: number;
  /** connections held at once */
  readonly flows: number;
}

export interface GroupPlan {
  readonly group: Group;
  readonly jobs: readonly Job[];
  /** how often the jobs are run in turn */
  readonly runs: number;
  readonly skipped: readonly { readonly name: string; readonly why: string }[];
}

/** Long, or robust in themselves. */
const once: ReadonlySet<Group> = new Set(['holds', 'bursts', 'parse', 'flows']);

type EdgeServer = Extract<ServerPlan, { is: 'edge' }>;

const edge: EdgeServer = { is: 'edge', engine: 'embedded', registration: 'mid-registrar', store: 'lmdb' };
const engine: Extract<ServerPlan, { is: 'engine' }> = { is: 'engine', engine: 'embedded', app: 'srf' };
const behindDrachtio: EdgeServer = { ...edge, engine: 'drachtio' };

export function planOf(group: Group, sizes: Sizes, runs: number, only: RegExp | undefined): GroupPlan {
  const jobs = jobsOf(group, sizes).filter(({ name }) => only === undefined || only.test(name));
  const skipped = jobs.flatMap((job) => {
    const why = lacking(job.server);
    return why === undefined ? [] : [{ name: job.name, why }];
  });
  return {
    group,
    jobs: jobs.filter((job) => lacking(job.server) === undefined),
    runs: once.has(group) ? 1 : runs,
    skipped,
  };
}

function jobsOf(group: Group, sizes: Sizes): readonly Job[] {
  switch (group) {
    case 'register':
      return registerJobs(sizes, undefined);
    case 'register-rate':
      return registerJobs(sizes, sizes.registerRate);
    case 'wake': {
      const wake = {
        is: 'wake',
        calls: sizes.calls,
        warmUp: sizes.warmUp,
        rate: sizes.callRate,
        bursts: undefined,
      } as const;
      return [
        { ...wake, name: 'edge, UDP phones', server: edge, transport: 'udp' },
        { ...wake, name: 'edge in two threads, UDP phones', server: { ...edge, thread: 'own' }, transport: 'udp' },
        { ...wake, name: 'edge, TCP phones', server: edge, transport: 'tcp' },
        { ...wake, name: 'edge, UDP phones, Redis', server: { ...edge, store: 'redis' }, transport: 'udp' },
        { ...wake, name: 'edge + drachtio-server, UDP phones', server: behindDrachtio, transport: 'udp' },
      ];
    }
    case 'bursts': {
      const bursts = { is: 'wake', calls: 1000, warmUp: 0, rate: 20, bursts: sizes.seed } as const;
      return [
        { ...bursts, name: 'edge, UDP bursts', server: edge, transport: 'udp' },
        { ...bursts, name: 'edge, TCP bursts', server: edge, transport: 'tcp' },
        { ...bursts, name: 'edge + drachtio-server, UDP bursts', server: behindDrachtio, transport: 'udp' },
      ];
    }
    case 'holds': {
      const holds = {
        is: 'hold',
        held: sizes.held,
        rate: 400,
        settleSeconds: sizes.settleSeconds,
        rounds: sizes.rounds,
      } as const;
      return [
        { ...holds, name: 'edge, holds', server: edge, transport: 'udp' },
        { ...holds, name: 'edge + drachtio-server, holds', server: behindDrachtio, transport: 'udp' },
      ];
    }
    case 'engine':
      return engineJobs(sizes);
    case 'parse':
      return [{ is: 'parse', name: 'text of a REGISTER', server: { is: 'nothing' }, transport: 'udp' }];
    case 'calls': {
      const calls = { is: 'calls', inFlight: sizes.inFlight, seconds: sizes.seconds, transport: 'udp' } as const;
      return [
        { ...calls, name: 'engine + srf app, bridged calls', server: engine },
        { ...calls, name: 'drachtio-server + srf app, bridged calls', server: { ...engine, engine: 'drachtio' } },
      ];
    }
    case 'flows':
      return (['tcp', 'tls', 'wss'] as const).map((over) => ({
        is: 'flows',
        name: `engine, ${over.toUpperCase()} flows`,
        server: { ...engine, app: 'link', listen: over },
        transport: 'tcp',
        over,
        flows: sizes.flows,
      }));
    default:
      return group satisfies never;
  }
}

function engineJobs({ phones, inFlight, seconds }: Sizes): readonly Job[] {
  const register = { is: 'register', phones, inFlight, rate: undefined, seconds, transport: 'udp' } as const;
  return [
    { ...register, name: 'engine + srf app, UDP', server: engine },
    { ...register, name: 'engine + srf app, TCP', server: engine, transport: 'tcp' },
    { ...register, name: "engine + app on the edge's link, UDP", server: { ...engine, app: 'link' } },
    { ...register, name: 'drachtio-server + srf app, UDP', server: { ...engine, engine: 'drachtio' } },
    { ...register, name: 'Node responder', server: { is: 'responder', map: false } },
    { ...register, name: 'Node responder with map', server: { is: 'responder', map: true } },
  ];
}

function registerJobs(sizes: Sizes, rate: number | undefined): readonly Job[] {
  const { phones, inFlight, seconds } = sizes;
  const register = { is: 'register', phones, inFlight, rate, seconds } as const;
  return [
    { ...register, name: 'edge, UDP', server: edge, transport: 'udp' },
    { ...register, name: 'edge in two threads, UDP', server: { ...edge, thread: 'own' }, transport: 'udp' },
    { ...register, name: 'edge, TCP', server: edge, transport: 'tcp' },
    { ...register, name: 'edge, UDP, memory store', server: { ...edge, store: 'memory' }, transport: 'udp' },
    { ...register, name: 'edge, UDP, Redis', server: { ...edge, store: 'redis' }, transport: 'udp' },
    {
      ...register,
      name: 'edge, UDP, registrar with digest',
      server: { ...edge, registration: 'registrar' },
      transport: 'udp',
    },
    { ...register, name: 'edge + drachtio-server, UDP', server: behindDrachtio, transport: 'udp' },
    { ...register, name: 'Node responder', server: { is: 'responder', map: false }, transport: 'udp' },
    { ...register, name: 'Node responder with map', server: { is: 'responder', map: true }, transport: 'udp' },
    { ...register, name: 'Kamailio registrar, UDP', server: { is: 'kamailio' }, transport: 'udp' },
    { ...register, name: 'Kamailio registrar, TCP', server: { is: 'kamailio' }, transport: 'tcp' },
  ];
}

/** Why a server cannot be measured here; undefined: it can. */
function lacking(server: ServerPlan): string | undefined {
  if (server.is === 'kamailio')
    return hasKamailio() ? undefined : 'no kamailio (Debian package kamailio, or KAMAILIO_BIN)';
  if (server.is === 'responder' || server.is === 'nothing') return undefined;
  if (server.engine === 'drachtio' && drachtioBinary === undefined)
    return 'DRACHTIO_BIN does not name a drachtio-server';
  if (server.is === 'edge' && server.store === 'redis' && process.env['BENCH_REDIS_URL'] === undefined)
    return 'BENCH_REDIS_URL does not name a Redis';
  return undefined;
}
