/** Mode R: the edge is the registrar. Digest first (RFC 3261 22.1, RFC 8760), then the binding, then the answer. */
import { account } from './account.ts';
import { addRegistered } from './answer.ts';
import { announce, commit, type Granted } from './commit.ts';
import type { Asked, RegisterDeps } from './read-register.ts';
import { Headers } from '../sip/headers.ts';

export async function registerHere(asked: Asked, deps: RegisterDeps): Promise<void> {
  const granted: readonly Granted[] | '*' =
    asked.contacts === '*'
      ? '*'
      : asked.contacts.map((one) => ({
          asked: one,
          expires: Math.min(one.expires, deps.policy.maxExpires),
          upstreamExpires: undefined,
        }));
  const change = await commit(asked, granted, deps);
  if (change.is === 'stale' || change.is === 'full') {
    deps.telemetry.count('registrations', { result: change.is === 'stale' ? 'stale' : 'rejected' });
    deps.log.warn({ callId: asked.callId, aor: asked.aor, outcome: change.is }, 'REGISTER refused');
    await asked.transaction.respond({ status: change.is === 'stale' ? 500 : 403 });
    return;
  }
  account(asked, granted, change, deps);
  const headers = Headers.of([['Date', new Date(deps.clock.now()).toUTCString()]]);
  // the same for every contact of the AOR, and for a fetch (RFC 3608 6.3)
  if (asked.domain.serviceRoute) headers.add('Service-Route', `<sip:${hostAndPort(asked.domain.edgeHost)};lr>`);
  const sent = asked.transaction.respond({
    status: 200,
    headers: addRegistered(headers, { asked, granted, bindings: change.bindings, foreign: [] }, deps),
  });
  // written after the 2xx on the same control connection, so the phone sees its 2xx before the INVITE (PN-PROXY-17)
  announce(asked, change, deps);
  await sent;
}

/** Without the transport: that towards the PBX is not the phone's. */
function hostAndPort(edgeHost: string): string {
  return edgeHost.split(';', 1)[0] ?? edgeHost;
}
