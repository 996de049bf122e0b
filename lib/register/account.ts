/** Tells operators what became of a REGISTER that was accepted: one count and one line, in words of docs/operations.md. Decides nothing. */
import { type BindingChange, liveBindings } from '../core/binding-set.ts';
import { pridHash } from '../telemetry/log-fields.ts';
import { pushable, type Granted } from './commit.ts';
import type { Asked, RegisterDeps } from './read-register.ts';

/** A refresh that changes nothing but times is told to developers only: there are thousands a second of them. */
export function account(
  asked: Asked,
  granted: readonly Granted[] | '*',
  change: BindingChange,
  deps: RegisterDeps,
  result: 'accepted' | 'removed' | 'queried' | 'throttled' = resultOf(granted),
): void {
  deps.telemetry.count('registrations', { result });
  const one = granted === '*' ? undefined : granted[0];
  const token = one?.asked.ask.is === 'push' ? one.asked.ask.tokens[0]?.token : undefined;
  if (granted !== '*') {
    const now = deps.clock.now();
    for (const { asked: contact, expires } of granted)
      if (contact.ask.is === 'push')
        for (const { token: brought } of contact.ask.tokens)
          deps.tokenUsers.note(brought, asked.aor, now + expires * 1000, now);
  }
  const moved = change.is === 'changed' && change.added.length + change.removed.length > 0;
  const news = moved || (token !== undefined && token !== one?.asked.known?.push?.tokens[0]?.token);
  if (!news && !deps.log.debugging) return;
  deps.log[news ? 'info' : 'debug'](
    {
      callId: asked.callId,
      aor: asked.aor,
      outcome: result,
      bindingId: one?.asked.id,
      app: one?.asked.decision.is === 'push' && pushable(one, deps) ? one.asked.decision.app : undefined,
      pridHash: token === undefined ? undefined : pridHash(token),
      seconds: one?.expires,
      transport: asked.transaction.flow.transport,
      remote: `${asked.transaction.flow.address}:${asked.transaction.flow.port}`,
      count:
        change.is === 'changed' || change.is === 'unchanged'
          ? liveBindings(change.bindings, deps.clock.now()).length
          : undefined,
    },
    'REGISTER accepted',
  );
}

function resultOf(granted: readonly Granted[] | '*'): 'accepted' | 'removed' | 'queried' {
  if (granted === '*') return 'removed';
  if (granted.every(({ asked }) => asked.decision.is === 'query')) return 'queried';
  return granted.every(({ expires }) => expires <= 0) ? 'removed' : 'accepted';
}
