/**
 * A request other than INVITE, outside any dialog, for devices of ours (RFC 8599 5.6.2): goes to who is awake, is held for who
 * sleeps, well below the 32 s after which its sender has given up (PN-PROXY-13, EDGE-NIT-06).
 */
import { pushClassOf } from '../core/push-class.ts';
import { passAnswer, type PassOptions, passStandalone } from '../core/pass-headers.ts';
import type { CallLedger } from '../call/ledger.ts';
import { RequestHold } from '../call/request-hold.ts';
import type { Client, ClientAnswer } from '../ports/client.ts';
import type { Answer, ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
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
  readonly policy: DevicesDeps['policy'] &
    ReachPolicy & {
      /** longest wait for a phone to wake, and for the answer of one that is awake, ms */
      readonly requestHoldMs: number;
      readonly silentMs: number;
    };
}

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
  await holdFor<ClientAnswer>(
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
      send: (known, timeoutMs) => {
        const { uri, nextHop, engine, ...to } = wayTo(known, request);
        const passed = passStandalone(headers, { from: called.from, towards: 'phone', ...to });
        return deps.client.send({ method, uri, nextHop, engine, headers: passed, body, timeoutMs });
      },
      answered: (answer) => void transaction.respond(passed(answer, { from: 'phone', towards: called.from })),
    },
    deps,
  );
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
  const wanted = { aor, bindingId, request, pushClass: pushClassOf(request), holdMs };
  const devices: Devices = new Devices(wanted, deps, (event) => held.tell(event));
  const targets = await devices.open();
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
    deps.log.warn({ callId, aor, method }, 'no room to hold another request');
    await transaction.respond({ status: 480 });
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
      answer: (answer) => void ('is' in answer ? refuse(answer.status) : released.answered(answer)),
      late: (answer) => released.late?.(answer),
      onOver: ({ ending, fault }, story) => {
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
  );
  held.start();
  devices.listen();
}

/** Never a 408 to a non-INVITE (RFC 4320 4.2, EDGE-NIT-04). */
function refusal(status: number): Answer {
  return status === 503 ? { status, headers: Headers.of([['Retry-After', '5']]) } : { status };
}

function passed({ response }: ClientAnswer, border: PassOptions): Answer {
  return {
    status: response.status,
    reason: response.reason,
    headers: passAnswer(response.headers, response.status, border),
    body: response.body,
  };
}
