/** What one run is told and what it tells back. Plain data: it crosses a process border and ends up in the JSON report. */
import type { CallFigures } from './load/call-load.ts';
import type { HoldFigures } from './load/hold-load.ts';
import type { ParseStep } from './load/parse-load.ts';
import type { RegisterFigures } from './load/register-load.ts';
import type { WakeFigures } from './load/wake-load.ts';
import type { Transport } from './load/wire.ts';
import type { GcPauses } from './servers/gc-pauses.ts';

export type ServerPlan =
  | {
      readonly is: 'edge';
      readonly engine: 'embedded' | 'drachtio';
      readonly registration: 'mid-registrar' | 'registrar';
      readonly store: 'lmdb' | 'memory' | 'redis';
      /** the engine in a thread of its own on the one core too; as the edge decides when absent */
      readonly thread?: 'own';
    }
  /** alone, with a trivial app on drachtio-srf's objects or on the edge's adapter */
  | {
      readonly is: 'engine';
      readonly engine: 'embedded' | 'drachtio';
      readonly app: 'srf' | 'link';
      /** listens for this alone, with a certificate of its own; UDP and TCP when absent */
      readonly listen?: 'tcp' | 'tls' | 'wss';
    }
  | { readonly is: 'nothing' }
  | { readonly is: 'responder'; readonly map: boolean }
  | { readonly is: 'kamailio' };

interface Common {
  /** name of the row in the report */
  readonly name: string;
  readonly server: ServerPlan;
  readonly transport: Transport;
}

export interface RegisterJob extends Common {
  readonly is: 'register';
  readonly phones: number;
  readonly inFlight: number;
  /** a second; undefined: closed loop */
  readonly rate: number | undefined;
  readonly seconds: number;
}

export interface WakeJob extends Common {
  readonly is: 'wake';
  readonly calls: number;
  readonly warmUp: number;
  readonly rate: number;
  /** seed of random REGISTER bursts; undefined: one REGISTER for each push */
  readonly bursts: number | undefined;
}

export interface HoldJob extends Common {
  readonly is: 'hold';
  readonly held: number;
  readonly rate: number;
  readonly settleSeconds: number;
  readonly rounds: number;
}

/** Calls through an engine and a bridging app. */
export interface CallsJob extends Common {
  readonly is: 'calls';
  readonly inFlight: number;
  readonly seconds: number;
}

/** Connections held at once, each registered. */
export interface FlowsJob extends Common {
  readonly is: 'flows';
  readonly over: 'tcp' | 'tls' | 'wss';
  readonly flows: number;
}

/** Text to message and back, without a server. */
export interface ParseJob extends Common {
  readonly is: 'parse';
}

export type Job = RegisterJob | WakeJob | HoldJob | CallsJob | FlowsJob | ParseJob;

export interface Memory {
  readonly rssKib: number;
  readonly anonKib: number;
  readonly pssKib: number;
}

/** Shares of one core in the measured window. */
interface Shares {
  /** all server processes */
  readonly cpuShare: number;
  /** everything else on the server core: above a few percent the figures are those of a shared machine */
  readonly foreignShare: number;
  /** the load with its push stand-in: near 1 the load was measured, not the server */
  readonly loadShare: number;
}

interface Measured {
  readonly processes: number;
  readonly threads: number;
  /** at the end of the measurement */
  readonly memory: Memory;
}

export interface RegisterResult extends Measured, Shares, RegisterFigures {
  readonly is: 'register';
  /** CPU of all server processes for one accepted registration, microseconds */
  readonly cpuMicros: number;
  /** the same in the tenth of all slices of 200 ms that was disturbed least */
  readonly leastMicros: number;
  /** for each server process the CPU of its busiest threads for one operation, microseconds */
  readonly threadMicros: readonly (readonly number[])[];
  /** of an engine alone: garbage collection pauses at half of the rate that was reached */
  readonly gcAtHalf?: GcPauses;
}

export interface CallsResult extends Measured, Shares, CallFigures {
  readonly is: 'calls';
  /** CPU of all server processes for one call, microseconds */
  readonly cpuMicros: number;
  readonly threadMicros: readonly (readonly number[])[];
}

export interface FlowsResult extends Measured {
  readonly is: 'flows';
  /** asked for, and open at the end */
  readonly flows: number;
  readonly held: number;
  readonly before: Memory;
  /** RSS of the engine alone with all flows less that without, by flows */
  readonly kibPerFlow: number;
  /** CPU of all server processes for opening and registering one, microseconds */
  readonly cpuMicros: number;
}

export interface ParseResult {
  readonly is: 'parse';
  readonly steps: readonly ParseStep[];
}

export interface WakeResult extends Measured, Shares, WakeFigures {
  readonly is: 'wake';
  /** CPU of all server processes for one woken call, milliseconds */
  readonly cpuMs: number;
  /** the same in the tenth of all slices of 500 ms that was disturbed least */
  readonly leastMs: number;
  readonly threadMicros: readonly (readonly number[])[];
}

export interface HoldRound extends HoldFigures {
  readonly before: Memory;
  readonly peak: Memory;
  readonly cancelled: Memory;
  readonly after: Memory;
  /** RSS at the peak less that before, by held calls */
  readonly kibPerHeld: number;
  /** CPU from the first INVITE to the last reading, ms for one held and cancelled call */
  readonly cpuMs: number;
}

export interface HoldResult extends Measured {
  readonly is: 'hold';
  readonly rounds: readonly HoldRound[];
}

export type Result = RegisterResult | WakeResult | HoldResult | CallsResult | FlowsResult | ParseResult;

export interface RunOrder {
  readonly job: Job;
  /** first three numbers of the loopback addresses */
  readonly net: string;
  /** further arguments for node of the measured edge */
  readonly nodeArgs: readonly string[];
  /** keep config, logs and store of the run here */
  readonly keep: string | undefined;
}

export type RunMessage =
  | { readonly is: 'progress'; readonly text: string }
  | { readonly is: 'result'; readonly result: Result }
  | { readonly is: 'failed'; readonly why: string };
