/**
 * One request and all devices it may reach (RFC 8599 5.2 and 5.6.2, RFC 3261 16.7): whom to push, when to send, what the sender is
 * told. Written for INVITEs, which ring and can be cancelled; any other request is held by the same rules but for what
 * `HoldPolicy.standalone` says. Pure: no clock, no sockets, no promises. Timers are effects and events; whoever runs the machine
 * owns the real ones.
 */
import { bestResponse, type FailedLeg } from './best-response.ts';
import type {
  CancelReason,
  DeviceId,
  Ending,
  Fault,
  HoldEffect,
  HoldEvent,
  HoldPolicy,
  LegId,
  Target,
} from './hold-words.ts';
import { aDevice, type Device, type HeldInvite, type Leg, moved, movesOf, type Open, type Step } from './held-state.ts';
import { mergeTargets } from './merge-targets.ts';

/** The hold: one push. A second one is for a phone that woke up and lost its flow again before the INVITE reached it. */
const pushesPerDevice = 2;

/** Starts a call: pushes first, since they take longest. */
export function hold(targets: readonly Target[], policy: HoldPolicy): Step {
  const call = new Draft({
    at: 'open',
    policy,
    devices: new Map(),
    legs: new Map(),
    failures: [],
    bucketRuns: false,
    ringTimerStarted: false,
    draining: false,
  });
  const merged = mergeTargets(targets);
  for (const { device, canPush } of merged) call.devices.set(device, aDevice(canPush));
  for (const { device, flow, canPush } of merged) if (flow === undefined && canPush) call.wait(device);
  for (const { device, flow, next, pushBeside } of merged) {
    if (flow === undefined) continue;
    call.ring(device, flow, next);
    if (pushBeside === true) call.pushBeside(device);
  }
  return call.settle();
}

export function step(held: HeldInvite, event: HoldEvent): Step {
  switch (held.at) {
    case 'open':
      return whileOpen(held, event);
    case 'closing':
      return whileClosing(held, event);
    case 'over':
      // late events are normal; only a call that somebody picked up must not be left standing
      return [held, event.is === 'answered' ? [{ do: 'hang-up', leg: event.leg }] : []];
    default:
      return unreachable(held);
  }
}

function whileClosing(held: Extract<HeldInvite, { at: 'closing' }>, event: HoldEvent): Step {
  if (event.is === 'refresh-accepted') {
    const moves = movesOf(held.legs, event.device, event.flow, event.was);
    return moves.length === 0 ? [held, []] : [{ ...held, legs: moved(held.legs, moves) }, moves];
  }
  if (event.is !== 'answered' && event.is !== 'failed') return [held, []];
  const effects: HoldEffect[] = event.is === 'answered' ? [{ do: 'hang-up', leg: event.leg }] : [];
  if (!held.legs.has(event.leg)) return [held, effects];
  const legs = new Map(held.legs);
  legs.delete(event.leg);
  const { ending, fault } = held;
  if (legs.size > 0) return [{ at: 'closing', legs, ending, fault }, effects];
  return [{ at: 'over', ending, fault }, [...effects, { do: 'over', ending, fault }]];
}

function whileOpen(held: Open, event: HoldEvent): Step {
  const call = new Draft(held);
  switch (event.is) {
    case 'refresh-accepted':
      call.refreshed(event.device, event.flow, event.was);
      return call.settle();
    case 'refresh-rejected':
    case 'binding-removed':
      call.lost(event.device);
      return call.settle();
    case 'push-ended':
      call.pushEnded(event.device, event.accepted, event.gaveUp === true);
      return call.settle();
    case 'progress':
      call.progress(event.leg, event.status);
      return call.settle();
    case 'answered':
      return call.answered(event.leg);
    case 'failed':
      return call.failed(event.leg, event.status, event.local);
    case 'silence':
      call.silence(event.leg);
      return call.settle();
    case 'bucket-timer':
      call.bucketTimer();
      return call.settle();
    case 'ring-timer':
    case 'ring-budget':
      return call.finishBest('timeout');
    case 'expires':
      return call.finish({ do: 'refuse', status: 487 }, 'timeout', 'cancelled', 'caller');
    case 'cancelled':
      return call.finish(undefined, 'caller-cancelled', 'cancelled', 'none');
    case 'drain':
      return call.drain();
    default:
      return unreachable(event);
  }
}

/** One step in the making: copies of the state of an open call and the effects so far. Lives for one call of `step` only. */
class Draft {
  readonly devices: Map<DeviceId, Device>;
  readonly #legs: Map<LegId, Leg>;
  readonly #effects: HoldEffect[] = [];
  readonly #policy: HoldPolicy;
  #failures: readonly FailedLeg[];
  #bucketRuns: boolean;
  #ringTimerStarted: boolean;
  #draining: boolean;

  constructor(open: Open) {
    this.devices = new Map(open.devices);
    this.#legs = new Map(open.legs);
    this.#policy = open.policy;
    this.#failures = open.failures;
    this.#bucketRuns = open.bucketRuns;
    this.#ringTimerStarted = open.ringTimerStarted;
    this.#draining = open.draining;
  }

  /** Pushes a device unless a push of this call is already under way or accepted, and waits for its refresh. */
  wait(id: DeviceId): void {
    this.#push(id);
    this.#change(id, { state: 'waiting', awaited: true });
  }

  /** Pushes a device whose leg has just begun, because the flow is in doubt. */
  pushBeside(id: DeviceId): void {
    if (this.#push(id)) this.#change(id, { awaited: true });
  }

  /** Starts a leg to a device that has none which is not cancelled. `next`: another flow of it, for when this one is dead. */
  ring(id: DeviceId, flow: string, next?: string): void {
    const device = this.devices.get(id);
    if (device === undefined || device.state === 'ringing' || device.state === 'done') return;
    this.#stopPush(id);
    const leg = `${id}/${device.legs + 1}`;
    this.#legs.set(leg, { device: id, flow, heard: false, silent: false, cancelled: false });
    this.#change(id, {
      state: 'ringing',
      push: 'none',
      awaited: false,
      owed: false,
      legs: device.legs + 1,
      newerFlow: next,
    });
    if (!this.#ringTimerStarted) {
      this.#ringTimerStarted = true;
      this.#effects.push({ do: 'start-ring-timer' });
    }
    this.#effects.push({ do: 'start-leg', leg, device: id, flow }, { do: 'start-silence-timer', leg });
  }

  refreshed(id: DeviceId, flow: string, was: string | undefined): void {
    this.#follow(id, flow, was);
    if (this.#draining) return;
    if (!this.devices.has(id)) {
      if (!this.#policy.admitNewDevices) return;
      this.devices.set(id, aDevice(false));
    }
    const device = this.devices.get(id) as Device;
    const [legId, leg] = this.#legOf(id);
    if (device.state === 'done') return;
    if (leg?.heard === true) {
      // it has the INVITE; should it turn out to have lost that with its old network, it gets another one there
      if (leg.flow !== flow) this.#change(id, { newerFlow: flow });
      return;
    }
    if (leg === undefined) {
      this.ring(id, flow);
    } else if (leg.flow === flow) {
      // awake, and the INVITE is already on its way there
      this.#stopPush(id);
      this.#legs.set(legId, { ...leg, silent: false });
      this.#change(id, { push: 'none', awaited: false, owed: false, newerFlow: undefined });
    } else if (leg.silent) {
      this.#move(id, legId, leg, flow);
    } else {
      // the leg may well be answered any moment: a second INVITE only once it proves silent or dead
      this.#change(id, { owed: false, newerFlow: flow });
    }
  }

  /** What rings on the flow the phone has left is told so; a leg it has not been heard of may still be taken elsewhere. */
  #follow(id: DeviceId, flow: string, was: string | undefined): void {
    if (this.#policy.standalone === true) return;
    const moves = movesOf(this.#legs, id, flow, was);
    for (const [legId, leg] of moved(this.#legs, moves)) this.#legs.set(legId, leg);
    this.#effects.push(...moves);
  }

  /** No refresh will come: refused for good, or the binding is gone (PN-PROXY-09, PN-DEREG-07). A leg that is out stays out. */
  lost(id: DeviceId): void {
    const device = this.devices.get(id);
    if (device === undefined) return;
    this.#stopPush(id);
    this.#change(id, { canPush: false, push: 'none', owed: false });
    if (device.state === 'waiting') this.#change(id, { state: 'down', awaited: false });
  }

  pushEnded(id: DeviceId, accepted: boolean, gaveUp: boolean): void {
    const device = this.devices.get(id);
    if (device?.push !== 'running') return;
    if (gaveUp) this.#change(id, { push: 'accepted', canPush: false });
    else this.#change(id, accepted ? { push: 'accepted' } : { push: 'refused', canPush: false, owed: false });
    if (accepted && !gaveUp) return;
    if (device.state === 'waiting') this.#change(id, { state: 'down', awaited: false });
    // its flow is silent and nothing will wake it: that is both of the ways there are
    const [legId, leg] = this.#legOf(id);
    if (leg?.silent !== true) return;
    this.#cancel(legId, leg, 'timeout');
    this.#change(id, { state: 'down', awaited: false });
  }

  progress(legId: LegId, status: number): void {
    const leg = this.#legs.get(legId);
    if (leg !== undefined) this.#change(leg.device, { owed: false });
    if (leg === undefined || leg.cancelled) return;
    if (!leg.heard) {
      this.#legs.set(legId, { ...leg, heard: true, silent: false });
      this.#stopPush(leg.device);
      this.#change(leg.device, { awaited: false, newerFlow: undefined });
    }
    // 199 ends an early dialog (RFC 6228), and the caller has one for all devices
    if (status > 100 && status !== 199) this.#effects.push({ do: 'relay-progress', leg: legId });
  }

  /**
   * The first 2xx wins, but not that of a leg we have cancelled: engines end its dialog with a BYE right after our ACK
   * (drachtio-protocol B.5), so the caller would be hung up on instead of reaching the phone that still rings.
   */
  answered(legId: LegId): Step {
    const leg = this.#legs.get(legId);
    this.#legs.delete(legId);
    if (leg !== undefined) this.#change(leg.device, { owed: false });
    if (leg === undefined || (leg.cancelled && this.#policy.standalone !== true)) {
      this.#effects.push({ do: 'hang-up', leg: legId });
      return this.settle();
    }
    return this.finish({ do: 'relay-answer', leg: legId }, 'answered-elsewhere', 'answered', 'none');
  }

  failed(legId: LegId, status: number, local: boolean): Step {
    const leg = this.#legs.get(legId);
    this.#legs.delete(legId);
    // 430 and 408 of a proxy on the way say the same as our own: the flow is dead, the device has not seen the INVITE
    const unseen = leg !== undefined && !leg.heard && (local || status === 430 || status === 408);
    // it rang, and then its network was gone and it has not come back in time
    const strayed = leg?.heard === true && local && this.#policy.standalone !== true;
    if (leg !== undefined && !local && !unseen) this.#change(leg.device, { owed: false });
    // a 6xx is the user's word, even from a leg we have given up (RFC 3261 16.7 step 5)
    if (leg !== undefined && !local && status >= 600 && (status !== 603 || this.#policy.decline !== 'device')) {
      return this.finish({ do: 'relay-failure', leg: legId }, 'refused-elsewhere', 'refused', 'none');
    }
    if (leg === undefined || leg.cancelled) return this.settle();
    if (!local && status === 486 && this.#policy.busy === 'all')
      return this.finish({ do: 'relay-failure', leg: legId }, 'busy-elsewhere', 'refused', 'none');
    // the copy on its older flow has arrived after all (RFC 3261 8.2.2.2): that one will be answered
    if (this.#policy.standalone === true && status === 482 && this.#revive(leg.device)) return this.settle();
    this.#failures = [...this.#failures, { leg: legId, status, local: local || unseen }];
    if (unseen || (strayed && this.#mayComeBack(leg))) this.#flowDied(leg.device);
    else {
      this.#stopPush(leg.device);
      this.#change(leg.device, { state: 'done', awaited: false, newerFlow: undefined });
    }
    return this.settle();
  }

  silence(legId: LegId): void {
    const leg = this.#legs.get(legId);
    if (leg === undefined || leg.cancelled || leg.heard || leg.silent) return;
    const silent = { ...leg, silent: true };
    this.#legs.set(legId, silent);
    const device = this.devices.get(leg.device) as Device;
    if (device.newerFlow !== undefined && !this.#draining) this.#move(leg.device, legId, silent, device.newerFlow);
    // once pushed, it has just registered: then another push would only ring twice
    else if (device.pushes === 0) this.pushBeside(leg.device);
  }

  /** Whoever has given no sign of life by now is given up (PN-PROXY-12); it may still come while others ring. */
  bucketTimer(): void {
    this.#bucketRuns = false;
    for (const [id, device] of this.devices) {
      if (!device.awaited) continue;
      this.#stopPush(id);
      const [legId, leg] = this.#legOf(id);
      if (leg !== undefined) this.#cancel(legId, leg, 'timeout');
      this.#change(id, { state: 'down', awaited: false });
    }
  }

  /** The first one lets what rings ring on, the second one ends the call. */
  drain(): Step {
    const again = this.#draining;
    this.#draining = true;
    for (const [id, device] of this.devices) {
      this.#stopPush(id);
      if (device.state === 'waiting') this.#change(id, { state: 'down', awaited: false });
    }
    if (!again && this.#rings()) return this.settle();
    return this.finish({ do: 'refuse', status: 503 }, 'timeout', 'failed', 'edge');
  }

  /** Ends the call when nobody rings and nobody is waited for; else keeps the bucket timer in step. */
  settle(): Step {
    let awaited = false;
    let hope = this.#rings();
    for (const device of this.devices.values()) {
      if (device.awaited) awaited = true;
      if (device.state === 'waiting') hope = true;
    }
    if (!hope) return this.finishBest('timeout');
    if (awaited !== this.#bucketRuns) {
      this.#bucketRuns = awaited;
      this.#effects.push({ do: awaited ? 'start-bucket-timer' : 'stop-bucket-timer' });
    }
    return [
      {
        at: 'open',
        policy: this.#policy,
        devices: this.devices,
        legs: this.#legs,
        failures: this.#failures,
        bucketRuns: this.#bucketRuns,
        ringTimerStarted: this.#ringTimerStarted,
        draining: this.#draining,
      },
      this.#effects,
    ];
  }

  /** The best answer of the devices, else 480 (RFC 3261 16.7, PN-PROXY-12). */
  finishBest(because: CancelReason): Step {
    const best = bestResponse(this.#failures);
    if (best.is === 'refuse' && best.status === 480 && this.#policy.flowGone === 430 && this.#onlyDeadFlows())
      return this.finish({ do: 'refuse', status: 430 }, because, 'unreachable', 'device');
    const answer: HoldEffect =
      best.is === 'relay' ? { do: 'relay-failure', leg: best.leg } : { do: 'refuse', status: best.status };
    if (best.status >= 500 && best.status < 600) return this.finish(answer, because, 'failed', 'device');
    if (best.is === 'relay') return this.finish(answer, because, 'refused', 'none');
    return this.finish(answer, because, 'unreachable', this.#unreachableFault());
  }

  /** The final answer, the end of everything still going on, and `over` once no leg is left. */
  finish(answer: HoldEffect | undefined, because: CancelReason, ending: Ending, fault: Fault): Step {
    if (answer !== undefined) this.#effects.push(answer);
    for (const [legId, leg] of this.#legs)
      if (!leg.cancelled) this.#effects.push({ do: 'cancel-leg', leg: legId, because });
    for (const id of this.devices.keys()) this.#stopPush(id);
    const late = [...this.devices].filter(([, { owed }]) => owed).map(([id]) => id);
    if (late.length > 0 && this.#policy.standalone !== true)
      this.#effects.push({ do: 'remember-late', devices: late, because });
    if (this.#bucketRuns) this.#effects.push({ do: 'stop-bucket-timer' });
    if (this.#legs.size > 0 && this.#policy.standalone !== true)
      return [{ at: 'closing', legs: this.#legs, ending, fault }, this.#effects];
    this.#effects.push({ do: 'over', ending, fault });
    return [{ at: 'over', ending, fault }, this.#effects];
  }

  #onlyDeadFlows(): boolean {
    const pushed = [...this.devices.values()].some(({ pushes }) => pushes > 0);
    return !pushed && !this.#rings() && this.#failures.length > 0 && this.#failures.every(({ local }) => local);
  }

  /** It has registered elsewhere since, or a push may bring it back. */
  #mayComeBack({ device: id, flow }: Leg): boolean {
    const device = this.devices.get(id);
    if (device === undefined || this.#draining) return false;
    return (
      (device.newerFlow !== undefined && device.newerFlow !== flow) ||
      (device.canPush && device.pushes < pushesPerDevice)
    );
  }

  #flowDied(id: DeviceId): void {
    const device = this.devices.get(id) as Device;
    this.#change(id, { state: 'down', newerFlow: undefined });
    if (this.#draining) return;
    if (device.newerFlow !== undefined) this.ring(id, device.newerFlow);
    else if (device.push === 'running' || device.push === 'accepted')
      this.#change(id, { state: 'waiting', awaited: true });
    else if (this.#push(id)) this.#change(id, { state: 'waiting', awaited: true });
    else this.#change(id, { awaited: false });
  }

  #move(id: DeviceId, legId: LegId, leg: Leg, flow: string): void {
    this.#cancel(legId, leg, 'moved');
    this.#change(id, { state: 'down' });
    this.ring(id, flow);
  }

  #cancel(legId: LegId, leg: Leg, because: CancelReason): void {
    this.#legs.set(legId, { ...leg, cancelled: true });
    this.#effects.push({ do: 'cancel-leg', leg: legId, because });
  }

  /** Takes up again an older leg of this device that was given up; false when none is out. */
  #revive(id: DeviceId): boolean {
    for (const [legId, leg] of this.#legs) {
      if (leg.device !== id || !leg.cancelled) continue;
      this.#legs.set(legId, { ...leg, heard: true, silent: false, cancelled: false });
      return true;
    }
    return false;
  }

  /** True when a push went out. */
  #push(id: DeviceId): boolean {
    const device = this.devices.get(id) as Device;
    if (!device.canPush || this.#draining || device.pushes >= pushesPerDevice || device.push === 'running')
      return false;
    this.#change(id, { push: 'running', pushes: device.pushes + 1, owed: true });
    this.#effects.push({ do: 'push', device: id });
    return true;
  }

  #stopPush(id: DeviceId): void {
    if (this.devices.get(id)?.push !== 'running') return;
    this.#change(id, { push: 'none' });
    this.#effects.push({ do: 'stop-push', device: id });
  }

  /** The leg of this device that is not cancelled; there is at most one. */
  #legOf(id: DeviceId): [LegId, Leg] | ['', undefined] {
    for (const entry of this.#legs) if (entry[1].device === id && !entry[1].cancelled) return entry;
    return ['', undefined];
  }

  #rings(): boolean {
    for (const leg of this.#legs.values()) if (!leg.cancelled) return true;
    return false;
  }

  #unreachableFault(): Fault {
    const pushed = [...this.devices.values()].filter((device) => device.pushes > 0);
    return pushed.length > 0 && pushed.every((device) => device.push === 'refused') ? 'push-service' : 'device';
  }

  #change(id: DeviceId, change: Partial<Device>): void {
    const device = this.devices.get(id);
    if (device !== undefined) this.devices.set(id, { ...device, ...change });
  }
}

function unreachable(value: never): never {
  throw new Error(`not a hold state or event: ${JSON.stringify(value)}`);
}
