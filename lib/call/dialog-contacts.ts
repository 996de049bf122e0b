/**
 * The implicit subscription of a REFER outside dialogs (RFC 3515 2.4.4, RFC 6665 4.1) is not bridged: no engine makes a dialog of a
 * REFER, so its names (Call-ID, tags, CSeq) pass unchanged, and only the Contacts are exchanged for ones that lead back here.
 */
import type { Aor } from '../core/binding.ts';
import { type DeviceName, sealContact } from '../core/contact-token.ts';
import { sealTarget } from '../core/dialog-target.ts';
import type { Flow } from '../sip/flow.ts';
import type { SipRequest } from '../sip/message.ts';
import { parseNameAddr, tagOf } from '../sip/name-addr.ts';
import { stripPush } from '../sip/push-params.ts';
import type { Headers } from '../sip/headers.ts';

const usage = new Set(['NOTIFY', 'SUBSCRIBE']);

export interface DialogKeys {
  readonly contactKey: Buffer;
  readonly targetKey: Buffer;
}

/** A REFER, or a NOTIFY or SUBSCRIBE of the subscription it began: all say where the other side is to send to. */
export function saysWhere({ method, headers }: SipRequest): boolean {
  return method === 'REFER' || (usage.has(method) && tagOf(headers.get('To') ?? '') !== undefined);
}

/** Methods whose 2xx says where its sender is to be reached from now on. */
export function isAnsweredWithPlace(method: string): boolean {
  return method === 'REFER' || method === 'SUBSCRIBE';
}

/** What the other side calls to reach one phone of ours. `edgeHost`: as Domain has it. */
export function uriOfPhone(keys: DialogKeys, name: DeviceName, edgeHost: string): string {
  return `sip:${sealContact(keys.contactKey, name)}@${edgeHost}`;
}

/** What a phone of `aor` calls to reach `target`; undefined when that is too long to be carried. */
export function uriForPhone(keys: DialogKeys, aor: Aor, target: string, at: string): string | undefined {
  const user = sealTarget(keys.targetKey, { aor, target });
  return user === undefined ? undefined : `sip:${user}@${at}`;
}

/** `localhost` is whichever of its addresses the engine sends from (drachtio-protocol B.5). */
export function ownHostTowards({ transport }: Pick<Flow, 'transport'>): string {
  if (transport === 'udp') return 'localhost';
  return `localhost;transport=${transport === 'wss' ? 'ws' : transport}`;
}

/** The listener that a request came to, as what follows the `@` of a URI. */
export function atListener(receivedOn: string, flow: Pick<Flow, 'transport'>): string {
  return `${receivedOn}${ownHostTowards(flow).slice('localhost'.length)}`;
}

/** The URI of the Contact of a message. */
export function contactUri(headers: Headers): string | undefined {
  const uri = parseNameAddr(headers.list('Contact')[0] ?? '')?.uri;
  return uri === undefined ? undefined : stripPush(uri);
}
