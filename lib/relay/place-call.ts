/**
 * An INVITE from a phone to the PBX: one leg to the upstream, no waking. Challenges of the PBX (401, 407) pass to the phone and
 * its credentials pass to the PBX (EDGE-AUTH-09).
 */
import { isBehindNat } from '../core/media-help.ts';
import { passInvite } from '../core/pass-headers.ts';
import type { Domain } from '../core/domain.ts';
import { modes } from '../core/modes.ts';
import { bridge } from '../call/bridge.ts';
import type { BridgedDialogs } from '../call/bridged-dialogs.ts';
import type { HoldTimes } from '../call/hold-runner.ts';
import { Ring, type RingDeps } from '../call/ring.ts';
import type { Heartbeat } from '../call/heartbeat.ts';
import type { CallLedger } from '../call/ledger.ts';
import type { Dialog } from '../ports/dialog.ts';
import type { InviteTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
import { parseNameAddr } from '../sip/name-addr.ts';

export interface PlaceCallDeps extends RingDeps {
  readonly calls: CallLedger;
  readonly times: HoldTimes;
  readonly dialogs: BridgedDialogs;
  readonly heartbeat: Heartbeat | undefined;
  /** phones are not told who answers beyond To */
  readonly keepsIdentities: boolean;
}

const upstream = 'upstream';

/** `wakeful`: the phone's side of the call, made one that wakes it. */
export function placeCall(
  transaction: InviteTransaction,
  domain: Domain,
  wakeful: (phone: Dialog) => Dialog,
  deps: PlaceCallDeps,
): void {
  const { request } = transaction;
  const callId = request.headers.get('Call-ID') ?? '';
  const startedAt = deps.clock.now();
  const realm = modes[domain.registration].acceptedBy === 'edge' ? domain.realm : undefined;
  const release = deps.calls.hold([], () => ring.tell({ is: 'drain' }));
  if (release === undefined) {
    // overloaded, and the peer has no overload control: no Retry-After (RFC 7339 5.10.2)
    void transaction.respond({ status: 503 });
    return;
  }
  const ring: Ring = new Ring(
    {
      transaction,
      targets: [{ device: upstream, flow: upstream, canPush: false }],
      policy: { admitNewDevices: false },
      times: deps.times,
      answers: { from: 'upstream', towards: 'phone', keepsIdentities: deps.keepsIdentities },
      legRequest: () => ({
        uri: request.uri,
        nextHop: domain.upstream,
        headers: passInvite(request.headers, {
          from: 'phone',
          towards: 'upstream',
          realm,
          translate: (names) => deps.dialogs.translate(names),
        }),
        body: request.body,
        behindNat: isBehindNat(
          parseNameAddr(request.headers.get('Contact') ?? '')?.uri ?? '',
          transaction.flow.address,
        ),
      }),
      push: async () => false,
      // a PBX that gives no answer is a fault of the network, not a callee who is away
      refuseWith: (status) =>
        status === 480 ? { status: 503, headers: Headers.of([['Retry-After', '10']]) } : { status },
      onAnswered: (caller, callee) => {
        const done = deps.calls.talk(() => call.end('the edge is stopping'));
        const call = bridge(wakeful(caller), callee, {
          log: deps.log,
          callId,
          caller: 'phone',
          callee: 'upstream',
          keepsIdentities: deps.keepsIdentities,
          realm,
          dialogs: deps.dialogs,
          ...(deps.heartbeat === undefined ? {} : { heartbeat: deps.heartbeat }),
          onOver: done,
        });
      },
      onOver: ({ ending, fault }, story) => {
        release();
        deps.log.info({ callId, ending, fault, ms: deps.clock.now() - startedAt, story }, 'call to the PBX over');
      },
    },
    deps,
  );
  ring.start();
}
