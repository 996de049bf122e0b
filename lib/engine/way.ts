/**
 * The ways a request can take, best first, and which is next when one fails (RFC 3263 4.3). A large one tries TCP before each UDP way
 * that leads to a server (RFC 3261 18.1.1). Nothing is connected before it is needed.
 */
import type { Counters } from './counters.ts';
import type { Locator } from './locating/locator.ts';
import type { Flow } from './transport/flow.ts';
import type { Target, Transports } from './transport/transports.ts';

export interface WayDeps {
  readonly transports: Transports;
  readonly locator: Locator;
  readonly counters: Counters;
  readonly settings: { readonly tcpAboveBytes: number };
}

export interface Step {
  readonly flow: Flow;
  /** the UDP flow this one stands in for because of the request's size */
  readonly insteadOf: Flow | undefined;
}

export class Way {
  readonly #deps: WayDeps;
  readonly #targets: readonly Target[];
  /** true for a path that must be kept, such as the one a phone made through its NAT */
  readonly #fixed: boolean;
  #at = 0;
  #flow: Flow | undefined;
  #step: Step | undefined;

  private constructor(deps: WayDeps, targets: readonly Target[], flow: Flow | undefined, fixed: boolean) {
    this.#deps = deps;
    this.#targets = targets;
    this.#flow = flow;
    this.#fixed = fixed;
  }

  static along(flow: Flow, deps: WayDeps, fixed: boolean): Way {
    return new Way(deps, [], flow, fixed);
  }

  static to(targets: readonly Target[], deps: WayDeps): Way {
    return new Way(deps, targets, undefined, false);
  }

  /** The flow the request is written for; undefined when there is no way at all. */
  get first(): Flow | undefined {
    this.#flow ??= this.#nextFlow();
    return this.#flow;
  }

  /** The next try for a request of so many octets; undefined when all have been tried. */
  next(octets: number): Step | undefined {
    const owed = this.#step?.insteadOf;
    const flow = owed ?? this.#flow ?? this.#nextFlow();
    this.#flow = undefined;
    if (flow === undefined) return undefined;
    const tcp = owed === undefined && this.#isLarge(octets, flow) ? this.#deps.transports.tcpInstead(flow) : undefined;
    if (tcp !== undefined) this.#deps.counters.tcpForSize++;
    this.#step = { flow: tcp ?? flow, insteadOf: tcp === undefined ? undefined : flow };
    return this.#step;
  }

  /** For an ACK, which cannot be tried again: TCP only where a connection stands. */
  direct(octets: number): Flow | undefined {
    const flow = this.first;
    if (flow === undefined || !this.#isLarge(octets, flow)) return flow;
    return this.#deps.transports.connectionBeside(flow) ?? flow;
  }

  /** What the last try brought, for those that come after it. A peer that was silent over TCP is not asked again over UDP. */
  failed(why: 'timed-out' | 'unreachable' | 'unavailable'): void {
    const { transports, locator, counters } = this.#deps;
    const step = this.#step;
    if (step === undefined) return;
    if (step.insteadOf !== undefined && why === 'unreachable') {
      transports.noteNoTcp(step.insteadOf);
      counters.tcpFallbacks++;
      return;
    }
    this.#step = undefined;
    if (this.#targets.length > 1) locator.avoid(targetOf(step));
    if (this.#at < this.#targets.length) counters.failovers++;
  }

  worked(): void {
    if (this.#targets.length > 1 && this.#step !== undefined) this.#deps.locator.welcome(targetOf(this.#step));
  }

  #isLarge(octets: number, flow: Flow): boolean {
    const { tcpAboveBytes } = this.#deps.settings;
    return !this.#fixed && !flow.listener.reliable && tcpAboveBytes > 0 && octets > tcpAboveBytes;
  }

  #nextFlow(): Flow | undefined {
    while (this.#at < this.#targets.length) {
      const flow = this.#deps.transports.flowTo(this.#targets[this.#at++] as Target);
      if (flow !== undefined) return flow;
    }
    return undefined;
  }
}

function targetOf({ flow, insteadOf }: Step): Target {
  const { listener, remoteAddress, remotePort } = insteadOf ?? flow;
  return { transport: listener.transport, address: remoteAddress, port: remotePort };
}
