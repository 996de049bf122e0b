/**
 * How long phones take from a push that was accepted to their REGISTER, by app: the only proof that a push was delivered. The REGISTER
 * may reach any node, so it is heard on the bus, where the held call listens already.
 */
import type { Clock } from '../../lib/ports/clock.ts';
import type { NodeBus } from '../../lib/ports/node-bus.ts';
import type { PushRequest, PushService } from '../../lib/ports/push-service.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { providerLabel } from '../../lib/telemetry/metrics.ts';

export interface WakeTimesDeps {
  readonly push: PushService;
  readonly bus: Pick<NodeBus, 'subscribe'>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** the provider of an app; undefined: there is no such app */
  readonly providerOf: (app: string) => string | undefined;
}

export function timingWakes(deps: WakeTimesDeps): PushService {
  return {
    push: async (request, signal) => {
      if (request.class !== 'call' || request.bindingId === undefined) return deps.push.push(request, signal);
      // begun together: the push shall not wait, and the phone may be faster than the answer of its push service
      const listening = listen(request, deps);
      const outcome = await deps.push.push(request, signal);
      const at = deps.clock.now();
      void listening.then(({ accepted, stop }) => (outcome.is === 'accepted' ? accepted(at) : stop()));
      return outcome;
    },
    close: () => deps.push.close(),
  };
}

async function listen(
  { app, to, bindingId, wakeUntil }: PushRequest,
  { bus, clock, telemetry, providerOf }: WakeTimesDeps,
): Promise<{ accepted(at: number): void; stop(): void }> {
  let acceptedAt: number | undefined;
  let registeredAt: number | undefined;
  const done = (): void => {
    if (acceptedAt === undefined || registeredAt === undefined) return;
    stop();
    const provider = providerOf(app);
    const labels = { provider: providerLabel(provider ?? ''), app: provider === undefined ? 'other' : app };
    telemetry.observe('pushToRegisterByApp', Math.max(0, registeredAt - acceptedAt) / 1000, labels);
  };
  const unsubscribe = await bus.subscribe(to.replace(/^sips?:/, ''), (news) => {
    if (news.is !== 'refresh-accepted' || news.bindingId !== bindingId || registeredAt !== undefined) return;
    registeredAt = clock.now();
    done();
  });
  const stopTimer = clock.after(Math.max(0, wakeUntil - clock.now()), () => stop());
  const stop = (): void => {
    stopTimer();
    unsubscribe();
  };
  return {
    accepted: (at) => {
      acceptedAt = at;
      done();
    },
    stop,
  };
}
