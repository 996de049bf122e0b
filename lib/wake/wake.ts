/**
 * An INVITE for devices of ours (RFC 8599 5.6.2): finds them, holds the INVITE, pushes who sleeps, rings who is awake. Gathers
 * facts only; core/held-invite decides and call/ring does.
 */
import type { EndsCall, HoldEvent, HoldPolicy, Target } from '../core/hold-words.ts';
import { readExpires, type RingBudget, ringBudget } from '../core/ring-budget.ts';
import { shareOfPhone } from '../core/breadth.ts';
import { callUuid } from '../core/call-uuid.ts';
import { isBehindNat } from '../core/media-help.ts';
import { hidesWay, passInvite } from '../core/pass-headers.ts';
import { bridge } from '../call/bridge.ts';
import type { BridgedDialogs } from '../call/bridged-dialogs.ts';
import type { Heartbeat } from '../call/heartbeat.ts';
import type { HoldTimes } from '../call/hold-runner.ts';
import { Ring, type RingDeps } from '../call/ring.ts';
import type { LegRequest } from '../ports/leg.ts';
import type { InviteTransaction } from '../ports/server-transaction.ts';
import { flowUri } from '../sip/flow.ts';
import { Headers } from '../sip/headers.ts';
import type { Called } from './called.ts';
import { Devices, type KnownFlow } from './devices.ts';
import { cancelledInvite, endReason, type LatePhonePolicy } from './late-call.ts';
import type { LatePhones, Remembered } from './late-phones.ts';
import { mergeKey } from './merge-key.ts';
import type { ReachPolicy } from './reach.ts';
import { phoneOfDialog, WakefulDialog, type WakefulDeps } from './wakeful-dialog.ts';
import { wayTo } from './way-to.ts';

export interface WakeDeps extends RingDeps, WakefulDeps {
  readonly dialogs: BridgedDialogs;
  readonly heartbeat: Heartbeat | undefined;
  readonly late: LatePhones;
  readonly policy: WakePolicy;
}

export interface WakePolicy extends HoldTimes, ReachPolicy {
  /** longest wait for a phone to wake, for requests other than INVITE, ms */
  readonly requestHoldMs: number;
  /** longest wait for the push service, ms */
  readonly pushDeadlineMs: number;
  /** so long before the Expires of an INVITE its caller is told, ms; 0: at its end */
  readonly expiresMarginMs: number;
  readonly latePhone: LatePhonePolicy;
  /** ms after which Called.earlyRinging is said */
  readonly earlyRingingMs?: number;
  readonly busy: EndsCall;
  readonly decline: EndsCall;
  /** phones are not told who calls beyond From, nor by whom the call came */
  readonly keepsIdentities: boolean;
  /** INVITEs for phones carry X-Call-UUID */
  readonly callUuid: boolean;
}

/** The field of an INVITE for a phone with the `call-uuid` of its push, which the phone cannot compute: its Call-ID is another one. */
const callUuidField = 'X-Call-UUID';

/** Resolves when the INVITE is held or answered; rejects with EDGE_STORE_UNAVAILABLE, then it is still to be answered. */
export async function wake(transaction: InviteTransaction, called: Called, deps: WakeDeps): Promise<void> {
  const { request } = transaction;
  const callId = request.headers.get('Call-ID') ?? '';
  const { aor, bindingId } = called;
  const { policy: limits } = deps;
  const budget = ringBudget(limits.budgetMs, readExpires(request.headers.get('Expires')), limits.expiresMarginMs);
  const wanted = {
    aor,
    bindingId,
    arrivedAt: called.arrivedAt,
    request,
    pushClass: 'call',
    holdMs: Math.min(limits.holdMs, budget?.ms ?? Number.POSITIVE_INFINITY),
  } as const;
  const late: Late = { call: undefined };
  const devices: Devices = new Devices(wanted, deps, (event) => {
    ring.tell(event);
    if (late.call !== undefined) hearLate(late.call, event);
  });
  const targets = await devices.open();
  if (new Set(targets.map(({ device }) => device)).size > devices.breadth) {
    devices.close();
    deps.telemetry.count('wakes', { ending: 'refused', fault: 'caller' });
    await transaction.respond({ status: 440, reason: 'Max-Breadth Exceeded' });
    return;
  }
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
    // it was let in before the door was closed, and another edge can still take it
    if (deps.calls.closed)
      return void (await transaction.respond({ status: 503, headers: Headers.of([['Retry-After', '5']]) }));
    deps.log.warn({ callId, aor }, 'no room to hold another INVITE');
    await transaction.respond({ status: 480 });
    return;
  }
  const { busy, decline } = deps.policy;
  const policy: HoldPolicy = {
    admitNewDevices: bindingId === undefined,
    flowGone: called.flowGone,
    busy,
    decline,
  };
  const ring: Ring = ringOf(transaction, called, targets, policy, budget, devices, late, release, deps);
  ring.start();
  devices.listen();
}

/** What is still owed to phones when a call is over; undefined: nothing. */
interface Late {
  call: Remembered | undefined;
}

function hearLate(call: Remembered, event: HoldEvent): void {
  if (event.is === 'refresh-accepted') call.came(event.device, event.flow);
  else if (event.is === 'binding-removed' || event.is === 'refresh-rejected') call.forget(event.device);
}

function ringOf(
  transaction: InviteTransaction,
  called: Called,
  targets: readonly Target[],
  policy: HoldPolicy,
  budget: RingBudget | undefined,
  devices: Devices,
  late: Late,
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
      times: { ...deps.policy, budgetMs: budget?.ms },
      ...(called.earlyRinging === undefined
        ? {}
        : { early: { status: called.earlyRinging, afterMs: deps.policy.earlyRingingMs ?? 0 } }),
      answers: { from: 'phone', towards: called.from, keepsIdentities: deps.policy.keepsIdentities },
      legRequest: (device, flow) => legRequest(devices.take(device, flow), called, transaction, deps),
      nextHop: (flow) => {
        const known = devices.known(flow);
        // what a proxy has got it brings to the phone itself
        return known === undefined || known.binding.path.length > 0 ? undefined : flowUri(known.flow);
      },
      push: (device, signal) => devices.push(device, signal),
      silentMs: (leg) => devices.silentMs(leg),
      refuseWith: (status) => ({ status }),
      ...(called.redirected === undefined ? {} : { redirected: called.redirected }),
      onBudgetUsed: () =>
        deps.log.warn(
          { callId, aor, ms: budget?.ms },
          `nobody has answered within ${budget?.learntFromExpires ? 'the Expires of the INVITE' : 'calls.ring_budget_seconds'}: the PBX is told before it gives up by itself`,
        ),
      onAnswered: (caller, callee, { flow }) => {
        const done = deps.calls.talk(() => call.end('the edge is stopping'));
        const phone = devices.known(flow)?.binding;
        const wakeful = phone === undefined ? callee : new WakefulDialog(callee, phoneOfDialog(phone, 'call'), deps);
        const call = bridge(called.wakeful(caller), wakeful, {
          log: deps.log,
          callId,
          caller: called.from,
          callee: 'phone',
          keepsIdentities: deps.policy.keepsIdentities,
          dialogs: deps.dialogs,
          ...(deps.heartbeat === undefined ? {} : { heartbeat: deps.heartbeat }),
          onOver: done,
        });
      },
      onLate: (owed, because, reason) => {
        devices.noteUnanswered(owed);
        const { latePhone } = deps.policy;
        if (latePhone === 'end_push')
          for (const device of owed) devices.pushEnd(device, endReason(because), deps.policy.holdMs);
        if (latePhone !== 'cancelled_invite') return () => undefined;
        const call = deps.late.remember({
          devices: owed,
          tell: (flow) => {
            const request = legRequest(devices.known(flow), called, transaction, deps);
            if (request === undefined) return;
            deps.log.info({ callId, aor }, 'a phone came after the end of its call and is told so');
            cancelledInvite(deps.legs, request, reason);
          },
          onOver: () => {
            late.call = undefined;
            devices.close();
          },
        });
        late.call = call;
        return (device) => call.forget(device);
      },
      onOver: ({ ending, fault }, story) => {
        // else it is closed when nobody is waited for any more
        if (late.call === undefined) devices.close();
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
  known: KnownFlow | undefined,
  { from, diverted = [] }: Called,
  { request }: InviteTransaction,
  deps: WakeDeps,
): LegRequest | undefined {
  if (known === undefined) return undefined;
  const { along, named } = wayTo(known, request);
  const headers = passInvite(request.headers, {
    ...named,
    from,
    towards: 'phone',
    keepsIdentities: deps.policy.keepsIdentities,
    translate: (names) => deps.dialogs.translate(names),
    across: (named) => deps.dialogs.towardsPhone(named),
  });
  if (!deps.policy.keepsIdentities && !hidesWay(request.headers))
    for (const [name, value] of diverted) headers.add(name, value);
  headers.set('Max-Breadth', shareOfPhone);
  if (deps.policy.callUuid) headers.set(callUuidField, callUuid(request.headers.get('Call-ID') ?? ''));
  return { ...along, headers, body: request.body, behindNat: isBehindNat(known.binding.target, known.flow.address) };
}
