/**
 * A request outside any dialog (MESSAGE, OPTIONS, PUBLISH, INFO, NOTIFY) passed on to one next hop and its answer passed back.
 * REGISTER has its own use-case. SUBSCRIBE and REFER would begin a dialog on each side with one name, which no engine allows
 * (drachtio-protocol B.6), so they are refused here until subscriptions are bridged like calls.
 */
import { passAnswer, type PassOptions, passStandalone, type Side } from '../core/pass-headers.ts';
import type { Client } from '../ports/client.ts';
import type { ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
import { stripPush } from '../sip/push-params.ts';

export interface StandaloneDeps {
  readonly client: Client;
  /** how long the next hop may take; below 32 s, or the sender has given up before (EDGE-NIT-06) */
  readonly timeoutMs: number;
  /** how long a phone may take; shorter, because one that sleeps will never answer (PN-PROXY-13) */
  readonly phoneTimeoutMs: number;
}

export interface StandaloneTarget {
  readonly uri: string;
  /** `sip:address:port;transport=t` */
  readonly nextHop: string;
  /** To of the request; the sender's when left out */
  readonly to?: string;
  readonly from?: Side;
  readonly towards?: Side;
  /** the edge's own realm; credentials for it end here */
  readonly realm?: string | undefined;
}

const allow = 'INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, NOTIFY, PUBLISH, INFO, UPDATE, PRACK';

/** Answers exactly once, except where no answer is the right one: a 408 to a non-INVITE does harm (EDGE-NIT-04, RFC 4320). Never rejects. */
export async function relayStandalone(
  transaction: ServerTransaction,
  target: StandaloneTarget,
  deps: StandaloneDeps,
): Promise<void> {
  const { method, headers, body } = transaction.request;
  if (method === 'SUBSCRIBE') return void (await transaction.respond({ status: 489 }));
  if (method === 'REFER')
    return void (await transaction.respond({ status: 405, headers: Headers.of([['Allow', allow]]) }));
  if (Number(headers.get('max-forwards') ?? 70) === 0) return void (await transaction.respond({ status: 483 }));
  const { response, local } = await deps.client.send({
    method,
    uri: stripPush(target.uri),
    nextHop: target.nextHop,
    headers: passStandalone(headers, target),
    body,
    timeoutMs: target.towards === 'phone' ? deps.phoneTimeoutMs : deps.timeoutMs,
  });
  // the sender's own timer says the same, and a late 408 would be taken for an answer of the far end
  if (response.status === 408) {
    if (target.towards === 'phone') await transaction.respond({ status: 480 });
    return;
  }
  if (local) {
    await transaction.respond({ status: 503, headers: Headers.of([['Retry-After', '5']]) });
    return;
  }
  await transaction.respond({
    status: response.status,
    reason: response.reason,
    headers: passAnswer(response.headers, response.status, answerBorder(target)),
    body: response.body,
  });
}

/** The answer crosses the border of trust the other way. */
function answerBorder({ from, towards }: StandaloneTarget): PassOptions {
  return { ...(towards === undefined ? {} : { from: towards }), ...(from === undefined ? {} : { towards: from }) };
}
