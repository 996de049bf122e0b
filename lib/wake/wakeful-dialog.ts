/**
 * The phone's side of a call or subscription, for a phone that may fall asleep in the middle of it (RFC 8599 6.2.3): a request for it
 * is held, the phone pushed, and the request sent over the flow of its REGISTER, an INVITE too (on a drachtio-server that one goes
 * the way the server chooses). ACK and PRACK never come here; a CANCEL ends the hold at once (PN-PURR-14).
 */
import type { Aor, Binding } from '../core/binding.ts';
import type { Target } from '../core/hold-words.ts';
import { answersTo } from '../core/binding-set.ts';
import { canPush, type PushClass, pushClassOf } from '../core/push-class.ts';
import type { CallLedger } from '../call/ledger.ts';
import { RequestHold } from '../call/request-hold.ts';
import type { Dialog, DialogAnswer, DialogRequest } from '../ports/dialog.ts';
import type { InviteTransaction, ServerTransaction } from '../ports/server-transaction.ts';
import { flowUri, type Flow } from '../sip/flow.ts';
import { Headers } from '../sip/headers.ts';
import { request as aRequest, response as aResponse, type SipRequest } from '../sip/message.ts';
import { methodLabel } from '../telemetry/metrics.ts';
import { Devices, type DevicesDeps } from './devices.ts';
import { HeldChange } from './held-change.ts';
import { longestHoldMs } from './hold-request.ts';

export interface WakefulDeps extends DevicesDeps {
  readonly calls: CallLedger;
  readonly policy: DevicesDeps['policy'] & { readonly requestHoldMs: number; readonly silentMs: number };
}

export interface PhoneOfDialog {
  readonly aor: Aor;
  readonly bindingId: string;
  /** the flow the dialog began on */
  readonly flow: Flow;
  /** In a call the app runs, so its flow is tried first; a subscription says nothing about that. */
  readonly kind: 'call' | 'subscription';
  /** A proxy stands between: Record-Route says how the dialog goes, wherever the phone registers from (RFC 3261 12.2). */
  readonly behindProxy: boolean;
}

export function phoneOfDialog(
  { aor, id, flow, path }: Binding,
  kind: PhoneOfDialog['kind'],
  began: Flow = flow,
): PhoneOfDialog {
  return { aor, bindingId: id, flow: began, kind, behindProxy: path.length > 0 };
}

/** After a word of the phone in this dialog it is awake for so long. */
const awakeAfterWordMs = 10_000;
/** The key of the way the dialog goes by itself, in core/held-invite. */
const along = 'along the dialog';
/** As long as a proxy waits for a phone that rings (Timer C, RFC 3261 16.6): its user may be asked whether he wants to be seen. */
const longestChangeMs = 180_000;
/** One who has been silent for long enough is pushed at once. */
const alreadySilentMs = 1;
const retryAfterSeconds = '30';

export class WakefulDialog implements Dialog {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly #inner: Dialog;
  readonly #phone: PhoneOfDialog;
  readonly #deps: WakefulDeps;
  /** where the phone is, as far as we know */
  #way: string;
  /** the engine that is its way */
  #engine: string;
  /** it is not where the dialog began any more, so the engine must be told the way */
  #moved = false;
  #heardAt: number;
  #closed = false;
  #stopListening: (() => void) | undefined;

  constructor(inner: Dialog, phone: PhoneOfDialog, deps: WakefulDeps) {
    this.callId = inner.callId;
    this.localTag = inner.localTag;
    this.remoteTag = inner.remoteTag;
    this.#inner = inner;
    this.#phone = phone;
    this.#deps = deps;
    this.#way = flowUri(phone.flow);
    this.#engine = phone.flow.engine;
    this.#heardAt = deps.clock.now();
    void this.#follow();
  }

  /** A phone that registers from a new network is there from now on, whether or not it says so in this dialog (RFC 5626 5.3). */
  async #follow(): Promise<void> {
    const { aor, bindingId } = this.#phone;
    const stop = await this.#deps.bus.subscribe(aor, (news) => {
      if (news.is === 'refresh-accepted' && news.bindingId === bindingId) void this.#lookAgain();
    });
    if (this.#closed) stop();
    else this.#stopListening = stop;
  }

  async #lookAgain(): Promise<void> {
    const { aor, bindingId } = this.#phone;
    try {
      const { bindings } = await this.#deps.store.read(aor);
      const binding = bindings.find(({ id }) => id === bindingId);
      if (binding === undefined || binding.path.length > 0) return;
      this.#heardAt = this.#deps.clock.now();
      this.#isAt(binding.flow);
    } catch (error) {
      this.#deps.log.warn(
        { callId: this.callId, aor, err: error },
        'a phone has moved, and the store does not say where to',
      );
    }
  }

  #isAt(flow: Flow): void {
    const way = flowUri(flow);
    if (way !== this.#way && !this.#phone.behindProxy) this.#moved = true;
    this.#way = way;
    this.#engine = flow.engine;
  }

  get remoteTarget(): string | undefined {
    return this.#inner.remoteTarget;
  }

  get aor(): Aor {
    return this.#phone.aor;
  }

  async request(asked: DialogRequest): Promise<DialogAnswer> {
    const request = aRequest(asked.method, 'sip:phone', asked.headers, asked.body);
    const pushClass = pushClassOf(request);
    // a heartbeat wakes nobody, as a qualify does not (PN-PROXY-33)
    const isPing = asked.method === 'OPTIONS' && asked.body === '';
    if (pushClass === undefined || isPing) return this.#send(asked);
    const change = asked.method === 'INVITE' ? new HeldChange(asked) : undefined;
    const sentOn = this.#way;
    if (!this.#isAwake()) return this.#hold(asked, request, 'not tried', change, sentOn);
    const first = this.#send(change?.next() ?? asked);
    const answer = await this.#unlessSilent(first, change);
    if (answer !== undefined && !isLost(answer)) return answer;
    return this.#hold(asked, request, answer === undefined ? first : 'failed', change, sentOn);
  }

  onRequest(listener: (transaction: ServerTransaction | InviteTransaction) => void): void {
    this.#inner.onRequest((transaction) => {
      this.#heardAt = this.#deps.clock.now();
      this.#isAt(transaction.flow);
      listener(transaction);
    });
  }

  onAck(listener: (ack: SipRequest) => void): void {
    this.#inner.onAck(listener);
  }

  onEnd(listener: (why: string) => void): void {
    this.#inner.onEnd(listener);
  }

  close(): void {
    this.#closed = true;
    this.#stopListening?.();
    this.#stopListening = undefined;
    this.#inner.close();
  }

  #isAwake(): boolean {
    return this.#phone.kind === 'call' || this.#deps.clock.now() - this.#heardAt < awakeAfterWordMs;
  }

  async #send(asked: DialogRequest): Promise<DialogAnswer> {
    const isElsewhere = this.#engine !== this.#phone.flow.engine;
    // a SUBSCRIBE belongs to the engine that has the dialog: it goes the way the dialog began
    const stays = isElsewhere && asked.method === 'SUBSCRIBE';
    // over UDP it may have the same address there, and keep only that flow open; anything but the last word would go past the engine's count
    const isLastWord = isElsewhere && asked.method === 'BYE' && !this.#phone.behindProxy;
    const way = isLastWord || (this.#moved && !stays) ? { nextHop: this.#way, engine: this.#engine } : {};
    const answer = await this.#inner.request({ ...asked, ...way });
    if (!answer.local) this.#heardAt = this.#deps.clock.now();
    return answer;
  }

  #unlessSilent(answer: Promise<DialogAnswer>, change: HeldChange | undefined): Promise<DialogAnswer | undefined> {
    return new Promise((resolve) => {
      const stop = this.#deps.clock.after(this.#deps.policy.silentMs, () => {
        if (change?.heard !== true && change?.isCancelled !== true) resolve(undefined);
      });
      void answer.then((one) => {
        stop();
        resolve(one);
      });
    });
  }

  /** `first`: what has become of the request so far; a promise: it is out along the dialog, and nobody has answered yet. */
  async #hold(
    asked: DialogRequest,
    request: SipRequest,
    first: Promise<DialogAnswer> | 'failed' | 'not tried',
    change: HeldChange | undefined,
    sentOn: string,
  ): Promise<DialogAnswer> {
    const { aor, bindingId } = this.#phone;
    const { requestHoldMs: holdMs, silentMs } = this.#deps.policy;
    const headers = Headers.of([...asked.headers.entries()].map(([name, value]) => [name, value] as const));
    headers.set('Call-ID', this.callId);
    const pushClass = change === undefined ? pushClassOf(request) : await this.#classOfChange();
    const wanted = { aor, bindingId, request: { ...request, headers }, pushClass, holdMs };
    const devices: Devices = new Devices(wanted, this.#deps, (event) => held?.tell(event));
    let held: RequestHold<DialogAnswer> | undefined;
    const targets = await devices.open().catch((error: unknown) => {
      this.#deps.log.warn({ callId: this.callId, aor, err: error }, 'nobody knows where the phone of a dialog is');
      return [];
    });
    const [target] = targets;
    if (change?.isCancelled === true && typeof first === 'string') {
      devices.close();
      return cancelled();
    }
    const release =
      target === undefined ? undefined : this.#deps.calls.hold([target.device], () => held?.tell({ is: 'drain' }));
    if (target === undefined || release === undefined) {
      devices.close();
      // it has unregistered, or there is no room: what is out may still be answered, what is not goes the usual way
      if (typeof first !== 'string') return first;
      return target === undefined && first === 'not tried' ? this.#send(change?.next() ?? asked) : unavailable();
    }
    let pending = typeof first === 'string' ? undefined : first;
    const times = {
      holdMs,
      silentMs: pending === undefined ? silentMs : alreadySilentMs,
      limitMs: change === undefined ? longestHoldMs : longestChangeMs,
    };
    const { device: phone } = target;
    let legs = 0;
    return new Promise((resolve) => {
      held = new RequestHold<DialogAnswer>(
        {
          // its app is in a call: when its network changes it comes back by itself, also where no push may wake it for this
          targets: targetsOf(
            { ...target, canPush: target.canPush || this.#phone.kind === 'call' },
            devices.registered(target.device),
            first,
            sentOn,
          ),
          policy: { admitNewDevices: false },
          times,
          send: (device, key) => {
            legs += 1;
            if (change?.isCancelled === true && pending === undefined) return undefined;
            if (pending !== undefined) {
              const out = pending;
              pending = undefined;
              return out;
            }
            const known = devices.take(device, key);
            if (known === undefined) return undefined;
            this.#isAt(known.flow);
            return this.#send(change?.next() ?? asked);
          },
          push: (device, signal) => (target.canPush ? devices.push(device, signal) : Promise.resolve(true)),
          answer: (answer) => {
            if (!('is' in answer)) return resolve(answer);
            change?.giveUp();
            resolve(change?.isCancelled === true ? cancelled() : unavailable());
          },
          late: (answer) => answer.ack?.(),
          onOver: ({ ending, fault }, story) => {
            devices.close();
            release();
            resolve(cancelled());
            const { method } = asked;
            this.#deps.telemetry.count('heldRequests', { method: methodLabel(method), ending });
            this.#deps.log[ending === 'answered' ? 'info' : 'warn'](
              { callId: this.callId, aor, method, ending, fault, ms: Math.round(devices.elapsed), story },
              'request in a dialog of a phone over',
            );
          },
        },
        this.#deps.clock,
      );
      // the core counts its legs as we do, and only the newest one can be heard
      change?.onHeard((status) => held?.tell({ is: 'progress', leg: `${phone}/${legs}`, status }));
      change?.onCancel(() => {
        if (legs === 0) held?.tell({ is: 'cancelled' });
      });
      held.start();
      devices.listen();
    });
  }

  /** A VoIP push would have to ring (PN-APNS-06): only for who has nothing else, and then an INVITE it is. */
  async #classOfChange(): Promise<PushClass> {
    const { aor, bindingId } = this.#phone;
    const { bindings } = await this.#deps.store.read(aor).catch(() => ({ bindings: [] }));
    const own = bindings.find((binding) => answersTo(binding, bindingId));
    return own?.push !== undefined && !canPush(own.push, 'notify') ? 'call' : 'notify';
  }
}

/**
 * What is out already is a leg that has begun; what failed a moment ago is not tried again. A phone that has registered elsewhere
 * since is there, and awake.
 */
function targetsOf(
  target: Target,
  registered: ReturnType<Devices['registered']>,
  first: Promise<DialogAnswer> | 'failed' | 'not tried',
  sentOn: string,
): readonly Target[] {
  if (first === 'not tried') return [target];
  const moved = registered !== undefined && flowUri(registered.flow) !== sentOn;
  const there = moved ? [{ ...target, flow: registered.key }] : [];
  if (first === 'failed') return moved ? there : [{ ...target, flow: undefined }];
  return [{ ...target, flow: moved ? along : (registered?.key ?? along) }, ...there];
}

/** Made up by the engine because nobody was reached. */
function isLost({ response, local }: DialogAnswer): boolean {
  return local && response.status !== 481 && response.status !== 400;
}

/** The engine has told the sender already. */
function cancelled(): DialogAnswer {
  return { response: aResponse(487, 'Request Terminated', Headers.empty()), local: true };
}

function unavailable(): DialogAnswer {
  const headers = Headers.of([['Retry-After', retryAfterSeconds]]);
  return { response: aResponse(500, 'Server Internal Error', headers), local: true };
}
