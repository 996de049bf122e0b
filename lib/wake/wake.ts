/**
 * An INVITE for devices of ours (RFC 8599 5.6.2): finds them, holds the INVITE, pushes who sleeps, rings who is awake. Gathers
 * facts only; core/held-invite decides and call/ring does.
 */
import type { HoldPolicy, Target } from '../core/hold-words.ts';
import { passInvite, type Side } from '../core/pass-headers.ts';
import { bridge } from '../call/bridge.ts';
import type { BridgedDialogs } from '../call/bridged-dialogs.ts';
import type { Heartbeat } from '../call/heartbeat.ts';
import type { HoldTimes } from '../call/hold-runner.ts';
import { Ring, type RingDeps } from '../call/ring.ts';
import type { LegRequest } from '../ports/leg.ts';
import type { InviteTransaction } from '../ports/server-transaction.ts';
import type { Called } from './called.ts';
import { Devices } from './devices.ts';
import { mergeKey } from './merge-key.ts';
import type { ReachPolicy } from './reach.ts';
import { WakefulDialog, type WakefulDeps } from './wakeful-dialog.ts';
import { wayTo } from './way-to.ts';

export interface WakeDeps extends RingDeps, WakefulDeps {
  readonly dialogs: BridgedDialogs;
  readonly heartbeat: Heartbeat | undefined;
  readonly policy: WakePolicy;
}

export interface WakePolicy extends HoldTimes, ReachPolicy {
  /** longest wait for a phone to wake, for requests other than INVITE, ms */
  readonly requestHoldMs: number;
  /** longest wait for the push service, ms */
  readonly pushDeadlineMs: number;
}

/** Resolves when the INVITE is held or answered; rejects with EDGE_STORE_UNAVAILABLE, then it is still to be answered. */
export async function wake(transaction: InviteTransaction, called: Called, deps: WakeDeps): Promise<void> {
  const { request } = transaction;
  const callId = request.headers.get('Call-ID') ?? '';
  const { aor, bindingId } = called;
  const wanted = { aor, bindingId, request, pushClass: 'call', holdMs: deps.policy.holdMs } as const;
  const devices: Devices = new Devices(wanted, deps, (event) => ring.tell(event));
  const targets = await devices.open();
  const release = deps.calls.hold(
    targets.map(({ device }) => device),
    () => ring.tell({ is: 'drain' }),
    mergeKey(request),
  );
  if (release === 'merged') {
    devices.close();
    deps.telemetry.count('wakes', { ending: 'refused', fault: 'caller' });
    deps.log.info({ callId, aor, status: 482 }, 'the phone has this INVITE already');
    await transaction.respond({ status: 482, reason: 'Merged Request' });
    return;
  }
  if (release === undefined) {
    devices.close();
    deps.telemetry.count('wakes', { ending: 'refused', fault: 'edge' });
    deps.log.warn({ callId, aor }, 'no room to hold another INVITE');
    await transaction.respond({ status: 480 });
    return;
  }
  const policy: HoldPolicy = { admitNewDevices: bindingId === undefined, flowGone: called.flowGone };
  const ring: Ring = ringOf(transaction, called, targets, policy, devices, release, deps);
  ring.start();
  devices.listen();
}

function ringOf(
  transaction: InviteTransaction,
  called: Called,
  targets: readonly Target[],
  policy: HoldPolicy,
  devices: Devices,
  release: () => void,
  deps: WakeDeps,
): Ring {
  const callId = transaction.request.headers.get('Call-ID') ?? '';
  const { aor } = called;
  return new Ring(
    {
      transaction,
      targets,
      policy,
      times: deps.policy,
      answers: { from: 'phone', towards: called.from },
      legRequest: (device, flow) => legRequest(device, flow, called.from, transaction, devices, deps),
      push: (device, signal) => devices.push(device, signal),
      refuseWith: (status) => ({ status }),
      onAnswered: (caller, callee, { flow }) => {
        const done = deps.calls.talk(() => call.end('the edge is stopping'));
        const phone = devices.known(flow)?.binding;
        const wakeful =
          phone === undefined
            ? callee
            : new WakefulDialog(callee, { aor, bindingId: phone.id, flow: phone.flow, kind: 'call' }, deps);
        const call = bridge(called.wakeful(caller), wakeful, {
          log: deps.log,
          callId,
          caller: called.from,
          callee: 'phone',
          dialogs: deps.dialogs,
          ...(deps.heartbeat === undefined ? {} : { heartbeat: deps.heartbeat }),
          onOver: done,
        });
      },
      onOver: ({ ending, fault }, story) => {
        devices.close();
        release();
        deps.telemetry.count('wakes', { ending, fault });
        const level = ending === 'answered' || ending === 'cancelled' ? 'info' : 'warn';
        deps.log[level]({ callId, aor, ending, fault, ms: Math.round(devices.elapsed), story }, 'INVITE over');
      },
    },
    deps,
  );
}

/** The INVITE for one device. */
function legRequest(
  device: string,
  key: string,
  from: Side,
  { request }: InviteTransaction,
  devices: Devices,
  deps: WakeDeps,
): LegRequest | undefined {
  const known = devices.take(device, key);
  if (known === undefined) return undefined;
  const { uri, nextHop, ...to } = wayTo(known, request);
  return {
    uri,
    nextHop,
    headers: passInvite(request.headers, {
      ...to,
      from,
      towards: 'phone',
      translate: (names) => deps.dialogs.translate(names),
    }),
    body: request.body,
  };
}
