/** The SIP engine the config names: one of our own, in a thread of its own or in this one, or a drachtio-server. */
import { availableParallelism } from 'node:os';
import type { EngineAt } from '../../lib/adapters/srf/wire.ts';
import { systemIds } from '../../lib/adapters/system/ids.ts';
import { engineOptions } from '../../lib/config/engine-options.ts';
import type { Config } from '../../lib/config/load.ts';
import { engineInThread, spawnEngine, type EngineHandle } from '../../lib/engine/spawn.ts';
import { EdgeError } from '../../lib/errors.ts';
import type { EngineAddress } from '../../lib/ports/node-directory.ts';
import { engineAddress, type RemoteControl } from './nodes.ts';

export interface OpenEngine {
  readonly id: string;
  readonly control: EngineAt & { readonly secret: string };
  readonly handle: EngineHandle | undefined;
  /** how other nodes reach it; undefined: not at all */
  readonly forOthers: EngineAddress | undefined;
}

/** Rejects with EDGE_ENGINE_UNAVAILABLE when the embedded one does not start; another one is only named here. */
export async function openEngine(config: Config, remote: RemoteControl | undefined): Promise<OpenEngine> {
  if (config.engine.kind === 'drachtio') {
    const { host, port, secret, tls } = config.engine;
    const control = { host, port, secret: secret.reveal(), ...(tls === undefined ? {} : { tls }) };
    // it outlives us, so its connections are still good after our restart
    return { id: `${host}:${port}`, control, handle: undefined, forOthers: engineAddress(config, undefined) };
  }
  const secret = systemIds.hex(16);
  const host = '127.0.0.1';
  // a quarter less CPU for a round trip than TCP over loopback; without a file nothing is left behind by a crash
  const path = process.platform === 'linux' ? `\0reveille-${process.pid}-${systemIds.hex(8)}` : undefined;
  const { thread } = config.engine;
  // a second thread on the only core is paid for and brings nothing (ADR 12)
  const shared = thread === 'shared' || (thread === 'auto' && availableParallelism() < 2);
  const handle = await (shared ? engineInThread : spawnEngine)({
    ...engineOptions(config.sip, config.engine),
    control: {
      secret,
      ...(shared ? {} : { host, port: 0, ...(path === undefined ? {} : { path }) }),
      ...(remote === undefined ? {} : { remote }),
    },
    // flows are named with every request, and the cache would beat them for two phones of one private address (protocol C.3)
    registrationCache: false,
  }).catch((error: unknown) => {
    throw new EdgeError(
      'EDGE_ENGINE_UNAVAILABLE',
      `the SIP engine did not start: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  });
  const { controlPort: port, connect: inMemory, remotePort: boundPort } = handle;
  const control = { host, port, secret, ...(path === undefined ? {} : { path }), ...(inMemory && { inMemory }) };
  const reached = remote === undefined || boundPort === undefined ? undefined : { ...remote, secret, boundPort };
  return { id: systemIds.hex(4), control, handle, forOthers: engineAddress(config, reached) };
}

/** The embedded engine takes what UDP can carry. A drachtio-server also cuts off header fields, where it does not go deaf. */
export function frameLimits({ engine }: Config): { readonly maxFrame?: number; readonly maxHead?: number } {
  if (engine.kind === 'embedded') return { maxFrame: 1_000_000, maxHead: 1_000_000 };
  const { maxFrameOctets: maxFrame } = engine;
  return maxFrame > 12_200 ? { maxFrame, maxHead: maxFrame } : { maxFrame };
}
