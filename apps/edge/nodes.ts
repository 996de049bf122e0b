/**
 * The other edges on the same Redis (ADR 20): this one tells how its SIP engine is reached, sends over the engine of another what is
 * for a phone connected there, and answers the INVITEs that an edge on the same engine held when it died.
 */
import { connectSrf, type SrfEdge, type SrfOptions } from '../../lib/adapters/srf/connect.ts';
import { manyEngines } from '../../lib/adapters/srf/engines.ts';
import type { Config } from '../../lib/config/load.ts';
import type { EngineOptions } from '../../lib/engine/options.ts';
import { EdgeError } from '../../lib/errors.ts';
import type { Client } from '../../lib/ports/client.ts';
import type { Legs } from '../../lib/ports/leg.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { EdgeNode, EngineAddress, NodeDirectory } from '../../lib/ports/node-directory.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';

export type RemoteControl = NonNullable<EngineOptions['control']['remote']>;

/** Where the embedded engine takes apps of other nodes; undefined: nowhere. `address`: ours towards the store. */
export function remoteControl(config: Config, address: string | undefined, psk: string): RemoteControl | undefined {
  const { listen } = config.nodes;
  if (config.store.kind !== 'redis' || config.engine.kind !== 'embedded' || listen === 'off') return undefined;
  if (listen !== 'auto') return { host: listen.address, port: listen.port, psk };
  return address === undefined ? undefined : { host: address, port: 0, psk };
}

/** The engine of this node as others reach it. */
export function engineAddress(
  config: Config,
  remote: (RemoteControl & { readonly secret: string; readonly boundPort: number }) | undefined,
): EngineAddress | undefined {
  if (config.engine.kind === 'drachtio') {
    const { host, port, secret } = config.engine;
    return { host, port, secret: secret.reveal() };
  }
  if (remote === undefined) return undefined;
  const { host, psk, secret, boundPort } = remote;
  return { host: config.nodes.advertise ?? host, port: boundPort, secret, psk };
}

export interface NodesDeps {
  readonly config: Config;
  readonly directory: NodeDirectory;
  /** this run of this process */
  readonly id: string;
  readonly engine: { readonly id: string; readonly at: EngineAddress | undefined };
  readonly srf: SrfEdge;
  /** what every connection to an engine of this kind has in common */
  readonly common: Pick<SrfOptions, 'clock' | 'maxFrame' | 'maxHead' | 'remembersConnections' | 'elsewhere'>;
  readonly log: Log;
  readonly telemetry: Telemetry;
}

export interface Nodes {
  readonly legs: Legs;
  readonly client: Client;
  /** Whether flows of this engine run can be used now. */
  engineLives(engine: string): boolean;
  /** False: others on our engine may have given us up by now (performance.now()), and answer what we hold. */
  isSure(now: number): boolean;
  /** Hears what has come for us while we stood still, and ends what others have answered. Never rejects. */
  settle(paused: boolean): Promise<void>;
  close(): Promise<void>;
}

/** A leg that waits for its engine longer than this is better pushed for. */
const connectWithinMs = 1500;
/** Longer than a pause of the other process: what is sent after it rings for a moment and is cancelled. */
const sendsWithinMs = 4000;
const tidyEveryMs = 60_000;

export async function joinNodes(deps: NodesDeps): Promise<Nodes> {
  const { config, directory, id, engine, srf, common, log, telemetry } = deps;
  const lives = (other: string): boolean => other === engine.id || directory.withEngine(other)?.at !== undefined;
  const engines = manyEngines({
    own: { id: engine.id, legs: srf.legs, client: srf.client },
    lives,
    look: () => directory.confirm(),
    connect: (other) => {
      const at = directory.withEngine(other)?.at;
      if (at === undefined)
        return Promise.reject(new EdgeError('EDGE_ENGINE_UNAVAILABLE', 'no node with this engine tells of itself'));
      const { host, port, secret, psk } = at;
      return connectSrf({
        ...common,
        host,
        port,
        secret,
        ...tlsTowards(config, psk),
        engineId: other,
        // new requests go to the edge of that node
        methods: [],
        connectTimeoutMs: connectWithinMs,
        sendsWithinMs,
        onRequest: (transaction) => void transaction.respond({ status: 481 }),
      });
    },
    onTrouble: (other, err) => log.warn({ node: other, err }, 'the SIP engine of another node cannot be reached'),
  });
  const tidy = setInterval(() => engines.tidy(), tidyEveryMs).unref();
  /** an engine that runs inside an edge dies with it, and its flows with the engine */
  const isCommon = config.engine.kind === 'drachtio';
  const finish = async (gone: EdgeNode): Promise<void> => {
    const txns = await directory.takeOver(gone);
    const count = txns.length === 0 ? 0 : await srf.answerFor(txns);
    // not done: whoever looks next does it
    if (count === undefined) return;
    await directory.finished(gone);
    if (count === 0) return;
    telemetry.counter('takenOver').add(count);
    log.warn({ node: gone.id, count }, 'an edge has died: its held calls were answered with 480');
  };
  const busy = new Set<string>();
  const stopListening = [
    directory.onGone((gone) => log.info({ node: gone.id }, 'another edge is gone')),
    directory.onLeft((gone) => {
      if (gone.engine !== engine.id || !srf.up || busy.has(gone.id)) return;
      busy.add(gone.id);
      finish(gone)
        .catch((err: unknown) => log.error({ node: gone.id, err }, 'an edge has died, and what it held is not known'))
        .finally(() => busy.delete(gone.id));
    }),
    directory.onGivenUp((held) => {
      srf.giveUp(held);
      telemetry.counter('givenUp').add(held.length);
      log.warn({ count: held.length }, 'the other edges had given this one up: what it held has ended');
    }),
  ];
  const { at } = engine;
  const self = { id, engine: engine.id, ...(at === undefined ? {} : { at }) };
  await directory.announce(self, isCommon ? () => srf.unanswered() : () => []);
  return {
    legs: engines.legs,
    client: engines.client,
    engineLives: lives,
    isSure: (now) => !isCommon || now < directory.sureUntil,
    settle: async (paused) => {
      if (paused && isCommon) await directory.confirm();
      await srf.settle();
      // the engine knows who has been answered, also when the store does not say who has done it
      if (isCommon) await srf.confirm();
    },
    close: async () => {
      clearInterval(tidy);
      for (const stop of stopListening) stop();
      await directory.close();
      await engines.close();
    },
  };
}

/** The engine inside another edge has a key; a drachtio-server is reached as our own is. */
function tlsTowards(config: Config, psk: string | undefined): Pick<SrfOptions, 'tls'> {
  if (psk !== undefined) return { tls: { psk } };
  return config.engine.kind === 'drachtio' && config.engine.tls !== undefined ? { tls: config.engine.tls } : {};
}
