/**
 * A request of a phone outside the dialogs we bridge (MESSAGE, OPTIONS, PUBLISH, INFO, REFER, any method) passed on to the PBX and its
 * answer passed back. REGISTER and a SUBSCRIBE that begins something have use-cases of their own. The subscription that a REFER begins is kept by its two
 * ends: its names pass unchanged, and its NOTIFYs come by themselves (call/dialog-contacts).
 */
import {
  atListener,
  contactUri,
  type DialogKeys,
  isAnsweredWithPlace,
  saysWhere,
  uriForPhone,
  uriOfPhone,
} from '../call/dialog-contacts.ts';
import type { Binding } from '../core/binding.ts';
import { phoneName } from '../core/binding-set.ts';
import type { DialogNames } from '../core/dialog-names.ts';
import { passAnswer, passStandalone } from '../core/pass-headers.ts';
import type { Domain } from '../core/domain.ts';
import { modes } from '../core/modes.ts';
import type { Client } from '../ports/client.ts';
import type { ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
import { tagOf } from '../sip/name-addr.ts';
import { stripPush } from '../sip/push-params.ts';

export interface StandaloneDeps {
  readonly client: Client;
  /** how long the PBX may take; below 32 s, or the sender has given up before (EDGE-NIT-06) */
  readonly timeoutMs: number;
  readonly keys: DialogKeys;
  readonly dialogs: { translate(names: DialogNames): DialogNames | undefined };
}

export interface StandaloneWay {
  /** the phone that sends it, where the PBX has to know that */
  readonly sender?: Binding | undefined;
  /** the request-URI; what the phone wrote when left out */
  readonly target?: string | undefined;
}

/** Answers exactly once, except where no answer is the right one: a 408 to a non-INVITE does harm (EDGE-NIT-04, RFC 4320). Never rejects. */
export async function relayStandalone(
  transaction: ServerTransaction,
  domain: Pick<Domain, 'upstream' | 'registration' | 'realm' | 'edgeHost'>,
  { sender, target }: StandaloneWay,
  deps: StandaloneDeps,
): Promise<void> {
  const { request } = transaction;
  const { method, uri, headers, body } = request;
  if (Number(headers.get('max-forwards') ?? 70) === 0) return void (await transaction.respond({ status: 483 }));
  // credentials for the edge's own realm end here
  const realm = modes[domain.registration].acceptedBy === 'edge' ? domain.realm : undefined;
  const passed = passStandalone(headers, {
    from: 'phone',
    towards: 'upstream',
    realm,
    translate: (names) => deps.dialogs.translate(names),
  });
  if (sender !== undefined && saysWhere(request))
    passed.set(
      'Contact',
      `<${uriOfPhone(deps.keys, { aor: sender.aor, bindingId: phoneName(sender) }, domain.edgeHost)}>`,
    );
  const { response, local } = await deps.client.send({
    method,
    uri: stripPush(target ?? uri),
    nextHop: domain.upstream,
    headers: passed,
    body,
    timeoutMs: deps.timeoutMs,
  });
  // the sender's own timer says the same, and a late 408 would be taken for an answer of the far end
  if (response.status === 408) return;
  if (local) {
    await transaction.respond({ status: 503, headers: Headers.of([['Retry-After', '5']]) });
    return;
  }
  const told = passAnswer(response.headers, response.status, { from: 'upstream', towards: 'phone' });
  const begun =
    isAnsweredWithPlace(method) && response.status < 300 ? tagOf(response.headers.get('To') ?? '') : undefined;
  const contact = contactUri(response.headers);
  if (begun !== undefined && contact !== undefined && sender !== undefined) {
    const at =
      transaction.receivedOn === undefined ? domain.edgeHost : atListener(transaction.receivedOn, transaction.flow);
    const name = uriForPhone(deps.keys, sender.aor, contact, at);
    if (name !== undefined) told.set('Contact', `<${name}>`);
  }
  await transaction.respond({
    status: response.status,
    reason: response.reason,
    headers: told,
    body: response.body,
    ...(begun === undefined ? {} : { toTag: begun }),
  });
}
