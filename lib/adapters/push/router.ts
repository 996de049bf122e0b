/** One PushService over all apps: finds the service of an app, sends each phone one push per ring, and reports every outcome. Knows no provider. */
import { setMaxListeners } from 'node:events';
import type { Clock } from '../../ports/clock.ts';
import type { PushClass } from '../../core/push-class.ts';
import type { PushOutcome, PushRequest, PushService } from '../../ports/push-service.ts';

export interface PushRoute {
  /** for metrics: `apns`, `fcm`, ... */
  readonly provider: string;
  readonly service: PushService;
}

/** Called once for every push asked for, merged ones included. `provider` is `none` for an unknown app. */
export type OutcomeHook = (
  app: string,
  provider: string,
  pushClass: PushClass,
  outcome: PushOutcome,
  seconds: number,
) => void;

/** One push that several requests wait for. */
interface Shared {
  readonly result: Promise<PushOutcome>;
  readonly stop: AbortController;
  waiting: number;
  settled: PushOutcome | undefined;
}

const noCredentials: PushOutcome = { is: 'config-error', reason: 'no credentials for app' };

class PushRouter implements PushService {
  readonly #routes: ReadonlyMap<string, PushRoute>;
  readonly #clock: Clock;
  readonly #onOutcome: OutcomeHook;
  readonly #shared = new Map<string, Shared>();

  constructor(routes: ReadonlyMap<string, PushRoute>, clock: Clock, onOutcome: OutcomeHook) {
    this.#routes = routes;
    this.#clock = clock;
    this.#onOutcome = onOutcome;
  }

  async push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    const route = this.#routes.get(request.app);
    const begun = this.#clock.now();
    const outcome = await this.#outcome(route, request, signal);
    this.#onOutcome(request.app, route?.provider ?? 'none', request.class, outcome, (this.#clock.now() - begun) / 1000);
    return outcome;
  }

  async close(): Promise<void> {
    await Promise.all(
      [...new Set([...this.#routes.values()].map(({ service }) => service))].map((service) => service.close()),
    );
  }

  #outcome(
    route: PushRoute | undefined,
    request: PushRequest,
    signal: AbortSignal,
  ): PushOutcome | Promise<PushOutcome> {
    if (route === undefined) return noCredentials;
    if (signal.aborted) return { is: 'cancelled' };
    return request.class === 'call'
      ? this.#merged(route.service, request, signal)
      : route.service.push(request, signal);
  }

  /** However many AORs, forks and retransmissions lead to a phone, one ring gives it one push. */
  #merged(service: PushService, request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
    const key = JSON.stringify([
      request.app,
      request.callId,
      request.repeat ?? 0,
      ...request.tokens.map(({ token }) => token),
    ]);
    const shared = this.#shared.get(key) ?? this.#send(key, service, request);
    return new Promise((settle) => {
      let done = false;
      shared.waiting += 1;
      const finish = (outcome: PushOutcome): void => {
        if (done) return;
        done = true;
        shared.waiting -= 1;
        stopTimer();
        signal.removeEventListener('abort', abort);
        settle(outcome);
      };
      const abort = (): void => {
        finish({ is: 'cancelled' });
        if (shared.waiting > 0 || shared.settled !== undefined) return;
        // nobody wants it any more; a later request sends anew
        if (this.#shared.get(key) === shared) this.#shared.delete(key);
        shared.stop.abort('nobody waits');
      };
      const stopTimer = this.#clock.after(Math.max(0, request.deadline - this.#clock.now()), () =>
        finish({ is: 'unreachable', reason: 'deadline passed' }),
      );
      // all phones of a call may share one signal
      setMaxListeners(0, signal);
      signal.addEventListener('abort', abort, { once: true });
      void shared.result.then(finish);
    });
  }

  #send(key: string, service: PushService, request: PushRequest): Shared {
    const stop = new AbortController();
    const shared: Shared = { result: service.push(request, stop.signal), stop, waiting: 0, settled: undefined };
    this.#shared.set(key, shared);
    const forget = (): void => {
      if (this.#shared.get(key) === shared) this.#shared.delete(key);
    };
    void shared.result.then((outcome) => {
      shared.settled = outcome;
      const left = request.wakeUntil - this.#clock.now();
      // what failed may be tried again by the next request; what was taken over rings the phone once
      if (outcome.is === 'accepted' && left > 0) this.#clock.after(left, forget);
      else forget();
    });
    return shared;
  }
}

/** `routes`: by name of the configured app. Without any, every push is answered `config-error` at once. */
export function routePushes(
  routes: ReadonlyMap<string, PushRoute>,
  clock: Clock,
  onOutcome: OutcomeHook = () => undefined,
): PushService {
  return new PushRouter(routes, clock, onOutcome);
}
