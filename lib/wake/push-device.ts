/** One push for one binding: what the service is told, what its answer means for the token, and the log line about it. */
import type { Binding, PushRecord } from '../core/binding.ts';
import { markTokenDead } from '../core/binding-set.ts';
import type { PushClass } from '../core/push-class.ts';
import type { Clock } from '../ports/clock.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { Log } from '../ports/log.ts';
import type { EndReason, PushService } from '../ports/push-service.ts';
import type { SipRequest } from '../sip/message.ts';
import { unquote } from '../sip/auth.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { pushHints } from '../sip/push-hints.ts';
import { pridHash } from '../telemetry/log-fields.ts';

export interface PushDeps {
  readonly store: LocationStore;
  readonly push: PushService;
  readonly clock: Clock;
  readonly log: Log;
  readonly policy: { readonly pushDeadlineMs: number };
}

export interface PushJob {
  readonly binding: Binding;
  readonly push: PushRecord;
  readonly pushClass: PushClass;
  /** the request the phone is woken for */
  readonly request: SipRequest;
  /** how long the request can wait, ms */
  readonly holdMs: number;
  /** of class cancel only */
  readonly reason?: EndReason;
}

/** True when the service took it over (or nobody wants it any more), false when it refused for good. Never rejects. */
export async function pushDevice(
  { binding, push, pushClass, request, holdMs, reason }: PushJob,
  deps: PushDeps,
  signal: AbortSignal,
): Promise<boolean> {
  const { headers, body } = request;
  const from = parseNameAddr(headers.get('From') ?? '');
  const startedAt = deps.clock.now();
  const outcome = await deps.push.push(
    {
      app: push.app,
      class: pushClass,
      ...(reason === undefined ? {} : { reason }),
      environment: push.environment,
      param: push.param,
      tokens: push.tokens,
      bindingId: binding.id,
      instanceId: binding.instanceId,
      hints: pushHints(binding.contact),
      callId: headers.get('Call-ID') ?? '',
      from: { uri: from?.uri ?? '', display: from?.display === undefined ? undefined : unquote(from.display) },
      to: `sip:${binding.aor}`,
      hasVideo: body.includes('\nm=video '),
      deadline: startedAt + deps.policy.pushDeadlineMs,
      wakeUntil: startedAt + holdMs,
    },
    signal,
  );
  const token = push.tokens.find(({ kind }) => (kind === 'voip') === (pushClass === 'call')) ?? push.tokens[0];
  const facts = {
    callId: headers.get('Call-ID'),
    aor: binding.aor,
    bindingId: binding.id,
    provider: push.provider,
    app: push.app,
    pridHash: token === undefined ? undefined : pridHash(token.token),
    outcome: outcome.is,
  };
  switch (outcome.is) {
    case 'accepted':
      deps.log.info({ ...facts, pushId: outcome.id, ms: deps.clock.now() - startedAt }, 'push accepted');
      return true;
    case 'cancelled':
      return true;
    case 'token-dead':
      await forgetToken(binding, outcome.token, outcome.since, startedAt, deps);
      break;
    case 'throttled':
    case 'not-applicable':
    case 'config-error':
    case 'unreachable':
      break;
    default:
      outcome satisfies never;
  }
  deps.log.warn({ ...facts, reason: outcome.reason }, 'push refused');
  return false;
}

/** Marks the token dead unless a REGISTER has brought it again since (push-providers 8.6). A lost race costs one more refused push. */
async function forgetToken(
  binding: Binding,
  token: string,
  since: number | undefined,
  pushedAt: number,
  deps: PushDeps,
): Promise<void> {
  try {
    for (let attempt = 0; attempt < 5; attempt++) {
      const { version, bindings } = await deps.store.read(binding.aor);
      const marked = markTokenDead(bindings, binding.id, token, since, pushedAt);
      if (marked === bindings) return;
      const keepUntil = marked.reduce((latest, { expiresAt }) => Math.max(latest, expiresAt), 0);
      if ((await deps.store.swap(binding.aor, version, marked, keepUntil)) === 'stored') return;
    }
  } catch (error) {
    deps.log.warn({ bindingId: binding.id, err: error }, 'dead token not remembered');
  }
}
