/**
 * A request of a phone outside any dialog (MESSAGE, OPTIONS, PUBLISH, INFO, NOTIFY) passed on to the PBX and its answer passed back.
 * REGISTER and SUBSCRIBE have use-cases of their own. REFER would begin a dialog on each side with one name, which no engine allows
 * (drachtio-protocol B.6).
 */
import { passAnswer, passStandalone } from '../core/pass-headers.ts';
import type { Domain } from '../core/domain.ts';
import { modes } from '../core/modes.ts';
import type { Client } from '../ports/client.ts';
import type { ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
import { stripPush } from '../sip/push-params.ts';

export interface StandaloneDeps {
  readonly client: Client;
  /** how long the PBX may take; below 32 s, or the sender has given up before (EDGE-NIT-06) */
  readonly timeoutMs: number;
}

const allow = 'INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, INFO, UPDATE, PRACK';

/** Answers exactly once, except where no answer is the right one: a 408 to a non-INVITE does harm (EDGE-NIT-04, RFC 4320). Never rejects. */
export async function relayStandalone(
  transaction: ServerTransaction,
  domain: Pick<Domain, 'upstream' | 'registration' | 'realm'>,
  deps: StandaloneDeps,
): Promise<void> {
  const { method, uri, headers, body } = transaction.request;
  if (method === 'REFER')
    return void (await transaction.respond({ status: 405, headers: Headers.of([['Allow', allow]]) }));
  if (Number(headers.get('max-forwards') ?? 70) === 0) return void (await transaction.respond({ status: 483 }));
  // credentials for the edge's own realm end here
  const realm = modes[domain.registration].acceptedBy === 'edge' ? domain.realm : undefined;
  const { response, local } = await deps.client.send({
    method,
    uri: stripPush(uri),
    nextHop: domain.upstream,
    headers: passStandalone(headers, { from: 'phone', towards: 'upstream', realm }),
    body,
    timeoutMs: deps.timeoutMs,
  });
  // the sender's own timer says the same, and a late 408 would be taken for an answer of the far end
  if (response.status === 408) return;
  if (local) {
    await transaction.respond({ status: 503, headers: Headers.of([['Retry-After', '5']]) });
    return;
  }
  await transaction.respond({
    status: response.status,
    reason: response.reason,
    headers: passAnswer(response.headers, response.status, { from: 'upstream', towards: 'phone' }),
    body: response.body,
  });
}
