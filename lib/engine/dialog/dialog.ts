/**
 * One dialog (RFC 3261 12): what is needed to write requests in it and to recognise the peer's.
 * Data only; who sends what and when is decided by the UAS and UAC sides.
 */
import { type Headers, splitAtCommas } from '../../sip/headers.ts';
import { parseNameAddr } from '../../sip/name-addr.ts';
import { findParam, parseUri } from '../../sip/uri.ts';
import type { AppLink } from '../control/app-link.ts';
import { flat } from '../ids.ts';
import type { ServerTransaction } from '../transaction/server-transaction.ts';
import type { Flow } from '../transport/flow.ts';
import type { PendingAck } from './pending-ack.ts';
import type { ReliableProvisionals } from './reliable-provisionals.ts';
import type { SessionClock } from './session-clock.ts';

export interface DialogStart {
  readonly id: string;
  /** the method that began it */
  readonly begunBy: 'INVITE' | 'SUBSCRIBE';
  /** our request began it, so the Call-ID is ours (RFC 3261 14.1) */
  readonly ours: boolean;
  readonly callId: string;
  readonly owner: AppLink;
  /** From or To value of our side, tag included */
  readonly local: string;
  readonly localTag: string;
  readonly remote: string;
  readonly remoteTag: string;
  readonly localSeq: number;
  readonly remoteSeq: number;
  /** Contact URI of the peer */
  readonly target: string;
  /** Route values in the order they are sent */
  readonly routes: readonly string[];
  readonly flow: Flow;
  /** requests go back the way the peer's message came, whatever its Contact says */
  readonly alongFlow: boolean;
  readonly behindNat: boolean;
}

export class Dialog {
  /** changed by Dialogs only, when another dialog has it */
  id: string;
  readonly begunBy: 'INVITE' | 'SUBSCRIBE';
  readonly ours: boolean;
  readonly callId: string;
  readonly owner: AppLink;
  readonly local: string;
  readonly localTag: string;
  remote: string;
  remoteTag: string;
  localSeq: number;
  remoteSeq: number;
  target: string;
  routes: readonly string[];
  flow: Flow;
  alongFlow: boolean;
  /** the peer's messages do not come from where its Contact points: nothing but its flow leads there */
  behindNat: boolean;
  /** false until the 2xx */
  confirmed = false;
  over = false;
  /** the peer's INVITE that waits for its final answer, the first one or a later one */
  invite: ServerTransaction | undefined;
  /** reliable provisionals of the peer's last INVITE; outlives the INVITE, because a PRACK may come after a 2xx */
  reliable: ReliableProvisionals | undefined;
  /** our 2xx that waits for its ACK */
  pendingAck: PendingAck | undefined;
  /** INVITEs of ours inside this dialog that wait for their final answer */
  asking = 0;
  /** one of them is a refresh of the engine's own */
  refreshing = false;
  /** app's INVITEs that wait until one of the engine's own is answered */
  readonly waiting: (() => void)[] = [];
  /** RSeq of the peer's reliable provisional taken last, and of which INVITE of ours */
  taken: { readonly seq: number; readonly rseq: number } | undefined;
  /** CSeq number of our INVITE whose 2xx came; the ACK for it, once it was sent */
  invited = 0;
  ack: { readonly seq: number; readonly text: string; readonly flow: Flow } | undefined;
  /** the CANCEL lost its race: end the dialog as soon as the app's ACK is out */
  byeAfterAck = false;
  /** requests of the peer the app has not answered */
  readonly open = new Set<ServerTransaction>();
  /** session timer (RFC 4028) */
  session: SessionClock | undefined;
  /** our session description as the peer knows it, kept while a session timer may need it */
  localSdp = '';
  /** the peer's Allow names UPDATE */
  takesUpdate = false;
  /** ends the dialog of a subscription nobody renews */
  subscriptionEnd: { stop(): void } | undefined;

  constructor(start: DialogStart) {
    this.id = flat(start.id);
    this.begunBy = start.begunBy;
    this.ours = start.ours;
    this.callId = flat(start.callId);
    this.owner = start.owner;
    this.local = flat(start.local);
    this.localTag = flat(start.localTag);
    this.remote = flat(start.remote);
    this.remoteTag = flat(start.remoteTag);
    this.localSeq = start.localSeq;
    this.remoteSeq = start.remoteSeq;
    this.target = flat(start.target);
    this.routes = start.routes.map(flat);
    this.flow = start.flow;
    this.alongFlow = start.alongFlow;
    this.behindNat = start.behindNat;
  }

  /** An INVITE of ours waits for its final answer: one inside the dialog, or the one that begins it. */
  get weInvite(): boolean {
    return this.asking > 0 || (this.ours && this.begunBy === 'INVITE' && !this.confirmed);
  }

  get theyInvite(): boolean {
    return this.invite?.state === 'proceeding';
  }

  /** The peer is known to be there now, whatever its Contact says. */
  moveTo(flow: Flow): void {
    this.flow = flow;
    this.alongFlow = true;
    this.behindNat = true;
  }
}

/** Form that drachtio-srf relies on. The tag is that of the From of the request that began the dialog. */
export function dialogId(callId: string, fromTag: string): string {
  return `${callId};from-tag=${fromTag}`;
}

/** URI of the first Contact; undefined when there is none that can be read. */
export function contactUri(headers: Headers): string | undefined {
  const line = headers.get('contact');
  if (line === undefined) return undefined;
  const first = splitAtCommas(line)[0];
  return first === undefined ? undefined : parseNameAddr(first)?.uri;
}

/** True when the URI's host and port are the address this flow leads to. */
export function pointsAlong(uri: string, flow: Flow): boolean {
  const parsed = parseUri(uri);
  if (parsed === undefined) return false;
  const host = parsed.host.startsWith('[') ? parsed.host.slice(1, -1) : parsed.host;
  return host === flow.remoteAddress && (parsed.port ?? 5060) === flow.remotePort;
}

/** The URI of a Route value when it routes loosely; undefined for a strict router or an unreadable value. */
export function looseRoute(value: string): string | undefined {
  const addr = parseNameAddr(value);
  const uri = addr === undefined ? undefined : parseUri(addr.uri);
  return addr !== undefined && uri !== undefined && findParam(uri.params, 'lr') !== undefined ? addr.uri : undefined;
}
