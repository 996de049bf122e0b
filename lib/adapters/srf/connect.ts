/**
 * The door of the adapter: one connection to a drachtio server or to the embedded engine, and the SIP ports on top of it.
 * Requests inside dialogs we hold go to the dialog; every other request goes to `onRequest`. ACK, CANCEL and PRACK never do.
 */
import { EdgeError } from '../../errors.ts';
import type { Client } from '../../ports/client.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Legs } from '../../ports/leg.ts';
import type { DialogTransaction, InviteTransaction, ServerTransaction } from '../../ports/server-transaction.ts';
import { SrfClient } from './client.ts';
import { type Counts, type Elsewhere, Exchange, type Surroundings } from './exchange.ts';
import { readListeners } from './flow.ts';
import { SrfLegs } from './leg.ts';
import { Link, lost, type Line } from './link.ts';
import type { EngineAt } from './wire.ts';

/** Everything the library knows but ACK and CANCEL, which no engine offers to whoever is new. */
export const routedMethods: readonly string[] = [
  'INVITE',
  'REGISTER',
  'OPTIONS',
  'MESSAGE',
  'SUBSCRIBE',
  'NOTIFY',
  'PUBLISH',
  'INFO',
  'REFER',
  'UPDATE',
  'BYE',
  'PRACK',
];

/** Every method that has no route of its own; the embedded engine only. */
export const anyMethod = '*';

export interface SrfOptions extends EngineAt {
  readonly secret: string;
  /** goes into every flow; see Flow.engine */
  readonly engineId: string;
  /** only tests give another one than that of this machine */
  readonly clock?: Clock;
  readonly methods?: readonly string[];
  /** largest frame the engine takes, in octets. drachtio-server: 12,228, beyond which it goes deaf (the default keeps below) */
  readonly maxFrame?: number;
  /** most octets of header fields in it. drachtio-server: 8,400, and it cuts off the rest without a word (the default) */
  readonly maxHead?: number;
  /** The engine prefers the connection a Contact was registered on to the next hop it is told, as drachtio-server does (the default). */
  readonly remembersConnections?: boolean;
  /** The engine can be told where the peer of a dialog or of an INVITE of ours has moved to. No drachtio-server can (the default). */
  readonly movesFlows?: boolean;
  /** The engine writes the Route fields it is given into a request that begins something. No drachtio-server does (the default). */
  readonly takesRoutes?: boolean;
  /** Sends over the engines of other nodes, for a peer of a dialog that has moved there; nobody when left out. */
  readonly elsewhere?: () => Elsewhere | undefined;
  /** An INVITE of ours the engine has not sent after so long, in ms, counts as failed; no limit when absent. */
  readonly sendsWithinMs?: number;
  /** how long the first connection may take, in ms */
  readonly connectTimeoutMs?: number;
  /** An INVITE is an InviteTransaction (`'onCancel' in transaction`), a SUBSCRIBE a DialogTransaction (`'accept' in transaction`). Must not throw. */
  readonly onRequest: (transaction: ServerTransaction | DialogTransaction | InviteTransaction) => void;
  /** the connection stands again; what was open before is gone */
  readonly onUp?: (hostports: readonly string[]) => void;
  /** the connection is lost; every dialog, leg and request on it has been told */
  readonly onDown?: () => void;
  /** for the log: attempts to connect fail, for a reason not told before, or a fault of ours while a frame was handled */
  readonly onTrouble?: (what: 'connect-failed' | 'fault', cause: unknown) => void;
}

export interface SrfEdge {
  readonly legs: Legs;
  readonly client: Client;
  /** `transport/address:port` of every listener of the engine, as of the last connect */
  readonly hostports: readonly string[];
  readonly up: boolean;
  /** Whether it answers a ping in time. */
  answers(withinMs: number): Promise<boolean>;
  readonly counts: Readonly<Counts>;
  /** what is open now */
  open(): { readonly invites: number; readonly dialogs: number; readonly requests: number };
  /** INVITEs without a final answer, by the engine's names for their transactions */
  unanswered(): readonly string[];
  /** Answers INVITEs that another app had taken from this engine and died with: 480. How many still waited; undefined: not done. */
  answerFor(txns: readonly string[]): Promise<number | undefined>;
  /** Ends INVITEs of ours that another app answers or has answered: 480, which the engine drops when it is the second answer. */
  giveUp(txns: readonly string[]): void;
  /** Asks the engine of each INVITE without an answer whether its caller still waits; those who do not have given up. */
  confirm(): Promise<void>;
  /** Resolves when what had come for the engine before has been heard here. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** Resolves when the engine has accepted us. Rejects with EDGE_ENGINE_UNAVAILABLE after connectTimeoutMs. */
export function connectSrf(options: SrfOptions): Promise<SrfEdge> {
  const clock = options.clock ?? machineClock;
  const counts: Counts = { requests: 0, responses: 0, malformed: 0, stray: 0, refused: 0 };
  const surroundings: Surroundings = {
    clock,
    engineId: options.engineId,
    maxFrame: options.maxFrame ?? 12_200,
    maxHead: options.maxHead ?? 8_400,
    remembersConnections: options.remembersConnections ?? true,
    movesFlows: options.movesFlows ?? false,
    takesRoutes: options.takesRoutes ?? false,
    elsewhere: options.elsewhere ?? (() => undefined),
    sendsWithinMs: options.sendsWithinMs,
    onRequest: options.onRequest,
    counts,
  };
  const exchanges = new Map<Line, Exchange>();
  let current: Exchange | undefined;
  let hostports: readonly string[] = [];
  let closed = false;
  let whenEmpty: (() => void) | undefined;
  /** INVITEs of lost lines, to be answered over the next one */
  let unanswered: readonly string[] = [];

  const edge: SrfEdge = {
    legs: new SrfLegs(() => current),
    client: new SrfClient(() => current),
    get hostports() {
      return hostports;
    },
    get up() {
      return current !== undefined;
    },
    answers: (withinMs) =>
      new Promise((resolve) => {
        if (current === undefined) return resolve(false);
        const stopTimer = clock.after(withinMs, () => resolve(false));
        // a server too old for pings says so, and lives
        current.line.send('ping', '', (reply) => {
          stopTimer();
          resolve(reply !== lost);
        });
      }),
    counts,
    open: () => ({
      invites: current?.invites.size ?? 0,
      dialogs: current?.dialogs.size ?? 0,
      requests: current?.waiting ?? 0,
    }),
    unanswered: () => [...(current?.invites.keys() ?? [])],
    answerFor: (txns) => current?.answerFor(txns) ?? Promise.resolve(undefined),
    giveUp: (txns) => {
      for (const txn of txns) current?.invites.get(txn)?.giveUp();
    },
    confirm: () => current?.confirm() ?? Promise.resolve(),
    settle: () => current?.settle() ?? Promise.resolve(),
    close: () => {
      closed = true;
      link.close();
      return exchanges.size === 0 ? Promise.resolve() : new Promise((resolve) => (whenEmpty = resolve));
    },
  };

  let settle: { resolve: (edge: SrfEdge) => void; reject: (error: Error) => void } | undefined;
  let lastFailure = 'no answer';
  /** the reason told last; '' once the connection stood */
  let told = '';
  const { host, port } = options;
  const link = new Link(options.methods ?? routedMethods, options, {
    up: (line, listeners) => {
      hostports = listeners;
      told = '';
      current = new Exchange(line, readListeners(listeners), surroundings);
      exchanges.set(line, current);
      current.dismiss(unanswered, 503);
      unanswered = [];
      settle?.resolve(edge);
      if (settle === undefined) options.onUp?.(listeners);
      settle = undefined;
    },
    down: (line) => {
      const exchange = exchanges.get(line);
      exchanges.delete(line);
      if (current === exchange) current = undefined;
      unanswered = [...unanswered, ...(exchange?.end() ?? [])];
      if (exchange !== undefined && !closed) options.onDown?.();
      if (exchanges.size === 0) whenEmpty?.();
    },
    sip: (line, tokens, text, parsed) => exchanges.get(line)?.take(tokens, text, parsed),
    failed: (why) => {
      lastFailure = why;
      if (why === told || closed) return;
      told = why;
      options.onTrouble?.('connect-failed', why);
    },
    fault: (error) => options.onTrouble?.('fault', error),
  });

  return new Promise((resolve, reject) => {
    const stopTimer = clock.after(options.connectTimeoutMs ?? 10_000, () => {
      settle = undefined;
      closed = true;
      link.close();
      reject(
        new EdgeError(
          'EDGE_ENGINE_UNAVAILABLE',
          `The SIP engine at ${host}:${port} did not accept us (${lastFailure}). Check address, port and secret.`,
        ),
      );
    });
    settle = {
      resolve: (value) => {
        stopTimer();
        resolve(value);
      },
      reject,
    };
    link.start();
  });
}

const machineClock: Clock = {
  now: () => Date.now(),
  after: (ms, task) => {
    const timer = setTimeout(task, ms).unref();
    return () => clearTimeout(timer);
  },
};
