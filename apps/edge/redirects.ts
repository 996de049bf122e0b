/** Calls that a phone sends elsewhere (3xx), where the edge follows itself (calls.redirects): to users of its domains and to the PBX only. */
import { FollowedInvite } from '../../lib/call/followed-invite.ts';
import type { Domain } from '../../lib/core/domain.ts';
import { diversionsOf, divertedFields, mostDiversions, redirectTargets } from '../../lib/core/redirect.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { InviteTransaction } from '../../lib/ports/server-transaction.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import type { SipResponse } from '../../lib/sip/message.ts';
import { parseUri } from '../../lib/sip/uri.ts';
import type { Called } from '../../lib/wake/called.ts';

export interface Redirects {
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** Sends the call to a user; answers it or rejects. */
  send(transaction: InviteTransaction, target: string, called: Called): Promise<void>;
}

/** The call as it is served now, with the function that follows a 3xx of its phones. */
export function following(transaction: InviteTransaction, domain: Domain, called: Called, deps: Redirects): Called {
  return followingFrom(transaction, domain, called, new Set([called.aor]), deps);
}

function followingFrom(
  transaction: InviteTransaction,
  domain: Domain,
  called: Called,
  tried: Set<string>,
  deps: Redirects,
): Called {
  const pbx = parseUri(domain.upstream)?.host;
  const redirected = (response: SipResponse): boolean => {
    const callId = transaction.request.headers.get('Call-ID');
    const targets = redirectTargets(
      response.headers,
      (host) => host === domain.name || host === hostOf(called.aor) || host === pbx,
      tried,
    ).map((target) =>
      hostOf(target) === pbx ? `${target.slice(0, target.lastIndexOf('@'))}@${hostOf(called.aor)}` : target,
    );
    const asked = transaction.request.headers;
    const often = tried.size + diversionsOf(asked) > mostDiversions;
    if (targets.length === 0 || often) {
      deps.telemetry.count('redirects', { outcome: often ? 'too-many' : 'passed' });
      deps.log.info(
        { callId, aor: called.aor, status: response.status, outcome: often ? 'too-many' : 'passed' },
        'a 3xx passes to the caller',
      );
      return false;
    }
    const left = [...targets];
    const next = (): boolean => {
      const target = left.shift();
      if (target === undefined || followed.cancelled) return false;
      tried.add(target);
      followed.aim(`sip:${target}`);
      const diverted = [
        ...(called.diverted ?? []),
        ...divertedFields(asked, { by: called.aor, target, status: response.status }),
      ];
      deps.telemetry.count('redirects', { outcome: 'followed' });
      deps.log.info(
        { callId, aor: called.aor, status: response.status },
        'a phone sends its call elsewhere, and the edge follows',
      );
      const onward = followingFrom(
        followed,
        domain,
        { ...called, aor: target, bindingId: undefined, diverted },
        tried,
        deps,
      );
      deps.send(followed, target, onward).catch((err: unknown) => {
        deps.log.error({ callId, err }, 'a call that was sent elsewhere failed');
        void followed.respond({ status: 500 });
      });
      return true;
    };
    const followed = new FollowedInvite(transaction, next);
    return next();
  };
  return { ...called, redirected };
}

function hostOf(aor: string): string {
  return aor.slice(aor.lastIndexOf('@') + 1);
}
