/**
 * A request other than INVITE, outside any dialog, for devices of ours (RFC 8599 5.6.2): goes to who is awake, is held for who
 * sleeps, well below the 32 s after which its sender has given up (PN-PROXY-13, EDGE-NIT-06).
 */
import {
  atListener,
  contactUri,
  type DialogKeys,
  isAnsweredWithPlace,
  ownHostTowards,
  saysWhere,
  uriForPhone,
  uriOfPhone,
} from '../call/dialog-contacts.ts';
import { shareOfPhone } from '../core/breadth.ts';
import { phoneName } from '../core/binding-set.ts';
import type { DialogNames } from '../core/dialog-names.ts';
import { pushClassOf } from '../core/push-class.ts';
import { passAnswer, type PassOptions, passStandalone } from '../core/pass-headers.ts';
import type { CallLedger } from '../call/ledger.ts';
import { RequestHold } from '../call/request-hold.ts';
import type { Client, ClientAnswer } from '../ports/client.ts';
import type { Answer, ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
import { tagOf } from '../sip/name-addr.ts';
import { response as aResponse } from '../sip/message.ts';
import { methodLabel } from '../telemetry/metrics.ts';
import type { Called } from './called.ts';
import { mergeKey } from './merge-key.ts';
import { Devices, type DevicesDeps, type KnownFlow } from './devices.ts';
import type { Mailbox } from './mailbox.ts';
import type { ReachPolicy } from './reach.ts';
import { wayTo } from './way-to.ts';

/** Everything is over by then: the sender's own 32 s began before the request reached us. */
export const longestHoldMs = 30_000;

export interface HoldRequestDeps extends DevicesDeps {
  /** takes over what cannot be delivered now; undefined: nothing is */
  readonly mailbox: Mailbox | undefined;
  readonly client: Client;
  readonly calls: CallLedger;
  readonly keys: DialogKeys;
  readonly dialogs: { translate(names: DialogNames): DialogNames | undefined };
  readonly policy: DevicesDeps['policy'] &
    ReachPolicy & {
      /** longest wait for a phone to wake, and for the answer of one that is awake, ms */
      readonly requestHoldMs: number;
      readonly silentMs: number;
    };
}

type Got = ClientAnswer & { readonly by?: KnownFlow };

/** Resolves when the request is held or answered; rejects with EDGE_STORE_UNAVAILABLE, then it is still to be answered. */
export async function holdRequest(
  transaction: ServerTransaction,
  called: Called,
  deps: HoldRequestDeps,
): Promise<void> {
  const { request } = transaction;
  const { method, headers, body } = request;
  const { mailbox } = deps;
  const takes = mailbox?.takes(request) === true;
  if (takes && (await mailbox.hasMailFor(called))) return keepBehind(transaction, called, mailbox, deps);
  await holdFor<Got>(
    transaction,
    called,
    {
      ...(takes
        ? {
            refused: async (status) => {
              if (status !== 480 || !(await mailbox.keep(request, called))) return undefined;
              void mailbox.afterCrossing(called);
              return accepted;
            },
          }
        : {}),
      send: async (known, timeoutMs) => {
        const { along, named } = wayTo(known, request);
        const translate = (names: DialogNames): DialogNames | undefined => deps.dialogs.translate(names);
        const passed = passStandalone(headers, { from: called.from, towards: 'phone', translate, ...named });
        passed.set('Max-Breadth', shareOfPhone);
        const contact = saysWhere(request) ? contactForPhone(request, called, known, deps) : undefined;
        if (contact !== undefined) passed.set('Contact', `<${contact}>`);
        const sent = { method, ...along, headers: passed, body, timeoutMs };
        return { ...(await deps.client.send(sent)), by: known };
      },
      answered: (got) => {
        const answer = passed(got, { from: 'phone', towards: called.from });
        const saysPlace = isAnsweredWithPlace(method) && got.response.status < 300;
        void transaction.respond(saysPlace ? placedBy(got, answer, transaction, called, deps) : answer);
      },
    },
    deps,
  );
}

/** What the phone is to call in the dialog that this request begins or refreshes. */
function contactForPhone(
  request: ServerTransaction['request'],
  { sender, edgeHost }: Called,
  { binding, flow }: KnownFlow,
  deps: HoldRequestDeps,
): string | undefined {
  const other =
    sender === undefined
      ? contactUri(request.headers)
      : uriOfPhone(deps.keys, { aor: sender.aor, bindingId: phoneName(sender) }, edgeHost);
  return other === undefined ? undefined : uriForPhone(deps.keys, binding.aor, other, ownHostTowards(flow));
}

/** The 2xx to a REFER or to a refresh: the tag of the phone makes the dialog, and the Contact leads to the phone through us. */
function placedBy(
  { response, by }: Got,
  answer: Answer & { readonly headers: Headers },
  { receivedOn, flow }: ServerTransaction,
  { sender, edgeHost }: Called,
  deps: HoldRequestDeps,
): Answer {
  const toTag = tagOf(response.headers.get('To') ?? '');
  if (toTag === undefined || by === undefined) return answer;
  const phone = uriOfPhone(deps.keys, { aor: by.binding.aor, bindingId: phoneName(by.binding) }, edgeHost);
  const at = receivedOn === undefined ? edgeHost : atListener(receivedOn, flow);
  const contact = sender === undefined ? phone : uriForPhone(deps.keys, sender.aor, phone, at);
  if (contact !== undefined) answer.headers.set('Contact', `<${contact}>`);
  return { ...answer, toTag };
}

const accepted: Answer = { status: 202 };

/** Others wait already: it takes its place behind them, and the phone is woken for all. */
async function keepBehind(
  transaction: ServerTransaction,
  called: Called,
  mailbox: Mailbox,
  deps: HoldRequestDeps,
): Promise<void> {
  const kept = await mailbox.keep(transaction.request, called);
  await transaction.respond(kept ? accepted : { status: 480 });
  if (!kept) return;
  const { request, flow, receivedOn } = transaction;
  const answered: ServerTransaction = { request, flow, receivedOn, respond: async () => 'gone' };
  const deliver = async ({ binding }: KnownFlow): Promise<ClientAnswer> => {
    await mailbox.deliver(binding.aor, binding.id);
    return { response: aResponse(200, 'OK', Headers.empty()), local: true };
  };
  await holdFor(answered, called, { send: deliver, answered: () => undefined }, deps);
}

/** What one kind of request does when it is released and answered. */
export interface Released<Got extends ClientAnswer> {
  /** Sends it to one device. Never rejects. */
  send(known: KnownFlow, timeoutMs: number): Promise<Got>;
  /** Exactly once unless the edge refuses: the answer that counts. Must not throw or reject. */
  answered(answer: Got): void | Promise<void>;
  /** What the sender is told in place of a status of the edge's own; undefined: that status. Must not reject. */
  refused?(status: number): Promise<Answer | undefined>;
  /** a 2xx that came too late */
  late?(answer: Got): void;
}

/** As holdRequest, for a request that says itself how it is sent and answered. */
export async function holdFor<Got extends ClientAnswer>(
  transaction: ServerTransaction,
  called: Called,
  released: Released<Got>,
  deps: HoldRequestDeps,
): Promise<void> {
  const { request } = transaction;
  const { aor, bindingId } = called;
  const { method } = request;
  const callId = request.headers.get('Call-ID') ?? '';
  const { requestHoldMs: holdMs, silentMs } = deps.policy;
  const wanted = { aor, bindingId, arrivedAt: called.arrivedAt, request, pushClass: pushClassOf(request), holdMs };
  const devices: Devices = new Devices(wanted, deps, (event) => held.tell(event));
  const targets = await devices.open();
  if (new Set(targets.map(({ device }) => device)).size > devices.breadth) {
    devices.close();
    deps.telemetry.count('heldRequests', { method: methodLabel(method), ending: 'refused' });
    await transaction.respond({ status: 440, reason: 'Max-Breadth Exceeded' });
    return;
  }
  const release = deps.calls.hold(
    targets.map(({ device }) => device),
    () => held.tell({ is: 'drain' }),
    mergeKey(request),
  );
  if (release === 'merged') {
    devices.close();
    deps.telemetry.count('heldRequests', { method: methodLabel(method), ending: 'refused' });
    await transaction.respond({ status: 482, reason: 'Merged Request' });
    return;
  }
  if (release === undefined) {
    devices.close();
    deps.telemetry.count('heldRequests', { method: methodLabel(method), ending: 'refused' });
    if (!deps.calls.closed) deps.log.warn({ callId, aor, method }, 'no room to hold another request');
    // what came just before the edge began to stop may go to another one
    await transaction.respond(refusal(deps.calls.closed ? 503 : 480));
    return;
  }
  const refuse = async (status: number): Promise<void> => {
    await transaction.respond((await released.refused?.(status)) ?? refusal(status));
  };
  const held: RequestHold<Got> = new RequestHold<Got>(
    {
      targets,
      policy: { admitNewDevices: bindingId === undefined, flowGone: called.flowGone },
      times: { holdMs, silentMs, limitMs: longestHoldMs },
      send: (device, flow) => {
        const known = devices.take(device, flow);
        return known && released.send(known, Math.max(0, Math.min(holdMs, longestHoldMs - devices.elapsed)));
      },
      push: (device, signal) => devices.push(device, signal),
      silentMs: (leg) => devices.silentMs(leg),
      answer: (answer) => void ('is' in answer ? refuse(answer.status) : released.answered(answer)),
      late: (answer) => released.late?.(answer),
      onOver: ({ ending, fault }, story) => {
        if (ending === 'unreachable') devices.noteUnanswered();
        devices.close();
        release();
        deps.telemetry.count('heldRequests', { method: methodLabel(method), ending });
        deps.log[ending === 'answered' ? 'info' : 'warn'](
          { callId, aor, method, ending, fault, ms: Math.round(devices.elapsed), story },
          'request for a phone over',
        );
      },
    },
    deps.clock,
    deps.gate,
  );
  held.start();
  devices.listen();
}

/** Never a 408 to a non-INVITE (RFC 4320 4.2, EDGE-NIT-04). */
function refusal(status: number): Answer {
  return status === 503 ? { status, headers: Headers.of([['Retry-After', '5']]) } : { status };
}

function passed({ response }: ClientAnswer, border: PassOptions): Answer & { readonly headers: Headers } {
  return {
    status: response.status,
    reason: response.reason,
    headers: passAnswer(response.headers, response.status, border),
    body: response.body,
  };
}
