/** Our edge as a measured server: writes its config and starts it, on its own engine or in front of a real drachtio-server. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { benchBundle, benchDomain, benchPassword } from '../load/phone-identity.ts';
import { startDrachtio } from './drachtio.ts';
import { projectRoot, type Place } from './place.ts';
import { answersHttp, startServer, type RunningServer } from './server.ts';

export interface PushAccess {
  readonly endpoint: string;
  readonly ca: string;
  readonly teamId: string;
  readonly keyId: string;
  readonly privateKey: string;
}

export interface EdgePlan {
  readonly engine: 'embedded' | 'drachtio';
  readonly registration: 'mid-registrar' | 'registrar';
  readonly store: 'lmdb' | 'memory' | 'redis';
  readonly thread?: 'own';
  /** users with a digest secret in registrar mode: u0, u1, ... */
  readonly users: number;
  readonly push: PushAccess | undefined;
  /** further arguments of node, `--cpu-prof` and its like */
  readonly nodeArgs: readonly string[];
}

/** The processes that make up the edge. */
export async function startEdge(plan: EdgePlan, place: Place): Promise<readonly RunningServer[]> {
  const drachtio = plan.engine === 'drachtio' ? await startDrachtio(place) : undefined;
  const config = join(place.folder, 'edge.yaml');
  writeFileSync(config, stringify(configOf(plan, place, drachtio?.secret)), { mode: 0o600 });
  mkdirSync(join(place.folder, 'data'), { recursive: true });
  try {
    const edge = await startServer({
      name: 'edge',
      command: process.execPath,
      // as npm start does (ADR 8)
      args: ['--single-threaded-gc', ...plan.nodeArgs, join(projectRoot, 'dist/apps/edge/main.js'), '--config', config],
      cwd: place.folder,
      logFile: join(place.folder, 'edge.log'),
      ready: () => answersHttp(place.http.host, place.http.port, '/readyz'),
    });
    return drachtio === undefined ? [edge] : [edge, drachtio.server];
  } catch (error) {
    await drachtio?.server.stop();
    throw error;
  }
}

function configOf(plan: EdgePlan, place: Place, drachtioSecret: string | undefined): unknown {
  const { host, port } = place.server;
  const push = plan.push;
  if (push !== undefined) writeFileSync(join(place.folder, 'ca.pem'), push.ca);
  return {
    sip: { listen: [`udp://${host}:${port}`, `tcp://${host}:${port}`], external_address: host },
    engine:
      plan.engine === 'embedded'
        ? { kind: 'embedded', thread: plan.thread ?? 'auto' }
        : {
            kind: 'drachtio',
            drachtio: { host: place.control.host, port: place.control.port, secret: drachtioSecret },
          },
    http: { listen: `${place.http.host}:${place.http.port}` },
    store: { kind: plan.store, path: './data', ...redis(plan) },
    domains: [
      {
        name: benchDomain,
        registration: plan.registration,
        upstream: `sip:${place.pbx.host}:${place.pbx.port};transport=udp`,
        ...(plan.registration === 'registrar'
          ? { users: Array.from({ length: plan.users }, (_, n) => ({ name: `u${n}`, password: benchPassword })) }
          : {}),
      },
    ],
    wake: { hold_seconds: 60, max_held: 100_000 },
    ...(push === undefined
      ? {}
      : {
          push: {
            apps: [
              {
                name: 'bench',
                provider: 'apns',
                match: [`${push.teamId}.${benchBundle}`],
                team_id: push.teamId,
                key_id: push.keyId,
                key: push.privateKey,
                endpoint: push.endpoint,
                sandbox_endpoint: push.endpoint,
                ca_file: './ca.pem',
              },
            ],
          },
        }),
    // what an operator would run: every line is written, to a file
    log: { level: 'info' },
  };
}

function redis(plan: EdgePlan): { readonly redis_url: string; readonly key_prefix: string } | undefined {
  const url = process.env['BENCH_REDIS_URL'];
  if (plan.store !== 'redis') return undefined;
  if (url === undefined) throw new Error('BENCH_REDIS_URL names the Redis to measure with');
  return { redis_url: url, key_prefix: `bench-${process.pid}:` };
}
