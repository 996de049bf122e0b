/**
 * Legs and requests over the flows of other nodes: each leaves from the engine its flow belongs to, over a control connection of ours
 * to that engine which takes no new requests (it announces no routes). What happens inside the dialog comes back over it.
 */
import { EdgeError } from '../../errors.ts';
import type { Client, ClientAnswer, ClientRequest } from '../../ports/client.ts';
import type { Leg, LegEvents, LegRequest, Legs } from '../../ports/leg.ts';
import { localResponse } from './local-response.ts';

/** What a connection to an engine offers; SrfEdge is one. */
export interface Reached {
  readonly legs: Legs;
  readonly client: Client;
  readonly up: boolean;
  /** Whether it answers a ping in time. */
  answers(withinMs: number): Promise<boolean>;
  /** what is open on it */
  open(): { readonly dialogs: number; readonly requests: number };
  close(): Promise<void>;
}

export interface EnginesOptions {
  /** the engine of this node */
  readonly own: { readonly id: string; readonly legs: Legs; readonly client: Client };
  /** Whether an engine lives now and can be connected to. */
  readonly lives: (engine: string) => boolean;
  /** Asks who is there now: an engine that `lives` does not know may have come since it was told last. Must not reject. */
  readonly look: () => Promise<unknown>;
  /** Connects; rejects when the engine cannot be reached. */
  readonly connect: (engine: string) => Promise<Reached>;
  /** an engine that could not be reached, for the log */
  readonly onTrouble: (engine: string, error: unknown) => void;
}

export interface Engines {
  readonly legs: Legs;
  readonly client: Client;
  /** Ends connections to engines that are gone or silent, or that nothing was sent to for a while. To be called now and then. */
  tidy(): void;
  close(): Promise<void>;
}

interface Connection {
  readonly promise: Promise<Reached>;
  reached: Reached | undefined;
  /** nothing was asked of it since the last look */
  idle: boolean;
}

/** An engine that says nothing for so long is connected to anew. */
const answerWithinMs = 500;

export function manyEngines({ own, lives, look, connect, onTrouble }: EnginesOptions): Engines {
  const connections = new Map<string, Connection>();
  /** silent ones whose calls may yet go on when the network is whole again; nothing new is sent over them */
  const aside = new Set<Reached>();
  let closed = false;

  const to = (engine: string): Connection => {
    const known = connections.get(engine);
    if (known !== undefined) {
      known.idle = false;
      return known;
    }
    const promise = lives(engine)
      ? connect(engine)
      : look().then(() => (lives(engine) ? connect(engine) : Promise.reject(noEngine(engine))));
    const connection: Connection = { promise, reached: undefined, idle: false };
    connections.set(engine, connection);
    promise.then(
      (reached) => (connection.reached = reached),
      (error: unknown) => {
        // asked for anew by the next leg
        if (connections.get(engine) === connection) connections.delete(engine);
        onTrouble(engine, error);
      },
    );
    return connection;
  };

  /**
   * A connection that has answered just now: a network that parts tells nobody, and what is sent into it would ring a phone long
   * after the call is over. One that does not answer may also be slow to notice that its network is whole again.
   */
  const reach = async (engine: string): Promise<Reached> => {
    if (closed) throw noEngine(engine);
    const connection = to(engine);
    const reached = await connection.promise;
    const answers = await reached.answers(answerWithinMs);
    if (closed) throw noEngine(engine);
    if (answers) return reached;
    if (connections.get(engine) === connection) {
      connections.delete(engine);
      aside.add(reached);
    }
    return to(engine).promise;
  };

  return {
    legs: {
      start: ({ engine, ...request }, events) => {
        if (engine === undefined || engine === own.id) return own.legs.start(request, events);
        return new LegToCome(reach(engine), request, events);
      },
    },
    client: {
      send: async ({ engine, ...request }: ClientRequest): Promise<ClientAnswer> => {
        if (engine === undefined || engine === own.id) return own.client.send(request);
        try {
          const { client } = await reach(engine);
          return await client.send(request);
        } catch {
          return { response: localResponse(503), local: true };
        }
      },
    },
    tidy: () => {
      for (const [engine, connection] of connections) {
        const { reached } = connection;
        if (reached === undefined) continue;
        const { dialogs, requests } = reached.open();
        const used = dialogs > 0 || requests > 0 || !connection.idle;
        connection.idle = true;
        if (used && (reached.up || lives(engine))) continue;
        connections.delete(engine);
        void reached.close();
      }
      for (const reached of aside) {
        const { dialogs, requests } = reached.open();
        if (reached.up && dialogs + requests > 0) continue;
        aside.delete(reached);
        void reached.close();
      }
    },
    close: async () => {
      closed = true;
      const all = [...connections.values()];
      const open = all.flatMap(({ reached }) => reached ?? []);
      connections.clear();
      // what comes up later is for nobody any more
      for (const { promise, reached } of all)
        if (reached === undefined)
          void promise.then(
            (late) => late.close(),
            () => undefined,
          );
      // they may never answer our end
      for (const reached of aside) void reached.close();
      aside.clear();
      await Promise.all(open.map((reached) => reached.close()));
    },
  };
}

function noEngine(engine: string): EdgeError {
  return new EdgeError('EDGE_ENGINE_UNAVAILABLE', `The SIP engine ${engine} of another node is not there.`);
}

/** A leg whose engine is being connected to; until then it can only be cancelled. */
class LegToCome implements Leg {
  #leg: Leg | undefined;
  #cancelled: { readonly reason: string | undefined } | undefined;

  constructor(coming: Promise<Reached>, request: LegRequest, events: LegEvents) {
    coming.then(
      ({ legs }) => {
        if (this.#cancelled === undefined) this.#leg = legs.start(request, events);
        else events.failed(localResponse(487), true);
      },
      // as a flow that is gone: the phone is pushed, and comes where it can be reached
      () => events.failed(localResponse(503), true),
    );
  }

  get callId(): string | undefined {
    return this.#leg?.callId;
  }

  cancel(reason?: string): void {
    if (this.#leg === undefined) this.#cancelled ??= { reason };
    else this.#leg.cancel(reason);
  }

  /** What is not under way yet rings, if at all, where it was meant to: a phone that has left is pushed. */
  move(nextHop: string): void {
    this.#leg?.move(nextHop);
  }
}
