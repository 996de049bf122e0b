/** What is drawn in the ladder: one arrow for each message that crossed the wire, told in a few words. */
import { readFeatureCaps } from '../../lib/sip/feature-caps.ts';
import type { SipMessage } from '../../lib/sip/message.ts';
import { cseqOf } from './transactions.ts';

export const columns = ['PBX', 'edge', 'phone', 'APNs'] as const;
export type Column = (typeof columns)[number];

export type RungKind = 'request' | 'progress' | 'success' | 'failure' | 'push' | 'voice' | 'note';

export interface Rung {
  /** ms since the story began */
  readonly atMs: number;
  readonly from: Column;
  /** the same as `from`: something that happened there */
  readonly to: Column;
  readonly what: string;
  readonly kind: RungKind;
}

/** A headline between rungs. */
export interface Chapter {
  readonly atMs: number;
  readonly title: string;
}

export function describe(message: SipMessage): { readonly what: string; readonly kind: RungKind } {
  if (message.kind === 'request') {
    const wants =
      message.method === 'REGISTER' && /;pn-prid=/i.test(message.headers.get('Contact') ?? '') ? ' + pn-prid' : '';
    return { what: `${message.method}${wants}`, kind: 'request' };
  }
  const { status, reason, headers } = message;
  const pns = readFeatureCaps(headers)[0]?.pns;
  const what = `${status} ${short(reason)} (${cseqOf(message).method})${pns === undefined ? '' : ` pns=${pns}`}`;
  return { what, kind: status < 200 ? 'progress' : status < 300 ? 'success' : 'failure' };
}

function short(reason: string): string {
  return reason === 'Proxy Authentication Required' ? 'Auth Required' : reason;
}
