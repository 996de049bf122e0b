/**
 * PushService of development: a line in the log instead of a push. No phone is woken by it, so it says so as a warning each time:
 * whoever finds it in production shall not have to look for it.
 */
import type { Log } from '../../ports/log.ts';
import type { PushOutcome, PushRequest, PushService } from '../../ports/push-service.ts';
import { pridHash } from '../../telemetry/log-fields.ts';

export function openLogPushes(log: Log): PushService {
  let count = 0;
  return {
    push(request: PushRequest, signal: AbortSignal): Promise<PushOutcome> {
      if (signal.aborted) return Promise.resolve({ is: 'cancelled' });
      const token = request.tokens[0]?.token;
      count += 1;
      log.warn(
        {
          app: request.app,
          kind: request.class,
          callId: request.callId,
          pridHash: token === undefined ? undefined : pridHash(token),
          count,
          reason: 'push.log is set',
        },
        'this push was only written here: no phone is woken',
      );
      return Promise.resolve({ is: 'accepted', id: `log-${count}` });
    },
    close: () => Promise.resolve(),
  };
}
