/**
 * The registration state of one user as a document (RFC 3680 5, RFC 5628 5): always the whole of it, and what has just ended once more.
 * Push parameters are nobody's business and never in it (RFC 8599 13); a GRUU is told to the user himself only.
 */
import { stripPush } from '../sip/push-params.ts';
import type { Aor, Binding } from './binding.ts';
import { gruus } from './gruu.ts';

export interface RegInfo {
  readonly aor: Aor;
  /** of this document: 0 for the first one of a subscription, then one more each time */
  readonly version: number;
  /** those that are registered */
  readonly bindings: readonly Binding[];
  /** those that have ended since the last document, and how */
  readonly ended: readonly Ended[];
  /** ids of those that the last document named already */
  readonly known: ReadonlySet<string>;
}

export interface Ended {
  readonly binding: Binding;
  readonly event: 'expired' | 'unregistered';
}

/** `now`: ms since the epoch; `gruuKey`: of temporary GRUUs. */
export function printRegInfo({ aor, version, bindings, ended, known }: RegInfo, gruuKey: Buffer, now: number): string {
  const state = bindings.length > 0 ? 'active' : version === 0 || ended.length === 0 ? 'init' : 'terminated';
  const contacts = [
    ...bindings.map((one) => contact(one, 'active', known.has(one.id) ? 'refreshed' : 'registered', now, gruuKey)),
    ...ended.map(({ binding, event }) => contact(binding, 'terminated', event, now, gruuKey)),
  ];
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" xmlns:gr="urn:ietf:params:xml:ns:gruuinfo" version="${version}" state="full">`,
    `<registration aor="${escaped(`sip:${aor}`)}" id="r1" state="${state}">`,
    ...contacts,
    '</registration>',
    '</reginfo>',
    '',
  ].join('\r\n');
}

/** What of a set is worth a new document: who there is and where, not when he was heard last. */
export function regInfoKey(bindings: readonly Binding[]): string {
  return JSON.stringify(
    bindings
      .map(({ id, target, instanceId, callId, q }) => [id, target, instanceId ?? '', callId, q])
      .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
  );
}

function contact(binding: Binding, state: string, event: string, now: number, gruuKey: Buffer): string {
  const { id, aor, instanceId, callId, cseq, q, registeredAt, expiresAt } = binding;
  const left = Math.max(0, Math.round((expiresAt - now) / 1000));
  const since = Math.max(0, Math.round((now - registeredAt) / 1000));
  const attributes = [
    `id="c${escaped(id)}"`,
    `state="${state}"`,
    `event="${event}"`,
    `duration-registered="${since}"`,
    `expires="${left}"`,
    `callid="${escaped(callId)}"`,
    `cseq="${cseq}"`,
    ...(q === 1000 ? [] : [`q="${q / 1000}"`]),
  ];
  const lines = [`<contact ${attributes.join(' ')}>`, `<uri>${escaped(stripPush(binding.target))}</uri>`];
  if (instanceId !== undefined) {
    lines.push(`<unknown-param name="+sip.instance">${escaped(`"<${instanceId}>"`)}</unknown-param>`);
    if (state === 'active') {
      const { pub, temp } = gruus(gruuKey, { aor, instanceId, callId, cseq });
      lines.push(`<gr:pub-gruu uri="${escaped(pub)}"/>`, `<gr:temp-gruu uri="${escaped(temp)}" first-cseq="${cseq}"/>`);
    }
  }
  return [...lines, '</contact>'].join('\r\n');
}

/** XML 1.0: what is markup becomes an entity, what cannot stand in a document becomes a question mark. */
function escaped(text: string): string {
  return text.replace(/[&<>"'\u0000-\u001f\u007f-\u009f\ud800-\udfff\ufffe\uffff]/g, (c) => entities[c] ?? '?');
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};
