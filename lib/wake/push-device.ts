/** One push for one binding: what the service is told, what its answer means for the token, and the log line about it. */
import type { Binding, PushRecord, PushToken } from '../core/binding.ts';
import { environmentOf } from '../core/token-life.ts';
import type { PushClass } from '../core/push-class.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { EndReason, PushOutcome, PushService } from '../ports/push-service.ts';
import type { SipRequest } from '../sip/message.ts';
import { unquote } from '../sip/auth.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { pushHints } from '../sip/push-hints.ts';
import { pridHash } from '../telemetry/log-fields.ts';
import type { TokenKeeper } from '../tokens/keeper.ts';

export interface PushDeps {
  readonly push: PushService;
  readonly clock: Clock;
  readonly log: Log;
  readonly tokens: TokenKeeper;
  readonly policy: { readonly pushDeadlineMs: number };
}

export interface PushJob {
  readonly binding: Binding;
  readonly push: PushRecord;
  /** the one of its tokens that is pushed */
  readonly token: PushToken;
  readonly pushClass: PushClass;
  /** the request the phone is woken for */
  readonly request: SipRequest;
  /** how long the request can wait, ms */
  readonly holdMs: number;
  /** of class cancel only */
  readonly reason?: EndReason;
  /** how often it was pushed for this request before, when it is pushed once more on purpose */
  readonly repeat?: number;
  readonly priority?: 'normal';
}

/** What the service said, written down with the token. Never rejects. */
export async function pushDevice(
  { binding, push, token, pushClass, request, holdMs, reason, repeat, priority }: PushJob,
  deps: PushDeps,
  signal: AbortSignal,
): Promise<PushOutcome> {
  const { headers, body } = request;
  const from = parseNameAddr(headers.get('From') ?? '');
  const startedAt = deps.clock.now();
  const outcome = await deps.push.push(
    {
      app: push.app,
      class: pushClass,
      ...(reason === undefined ? {} : { reason }),
      ...(repeat === undefined ? {} : { repeat }),
      ...(priority === undefined ? {} : { priority }),
      environment: environmentOf(push, token.kind),
      param: push.param,
      tokens: [token],
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
  const facts = {
    callId: headers.get('Call-ID'),
    aor: binding.aor,
    bindingId: binding.id,
    provider: push.provider,
    app: push.app,
    pridHash: pridHash(token.token),
    outcome: outcome.is,
  };
  if (outcome.is === 'accepted')
    deps.log.info({ ...facts, pushId: outcome.id, ms: deps.clock.now() - startedAt }, 'push accepted');
  else if (outcome.is !== 'cancelled') deps.log.warn({ ...facts, reason: outcome.reason }, 'push refused');
  await deps.tokens.heard({ binding, token: token.token, at: startedAt, occasion: facts.callId ?? '' }, outcome);
  return outcome;
}
