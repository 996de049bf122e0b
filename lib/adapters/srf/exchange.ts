/**
 * Everything that is going on over one line: requests of ours that wait for responses, INVITEs that wait for an answer,
 * dialogs. It finds out whom a frame is for. When the line ends, everybody here hears it once.
 */
import type { ServerTransaction } from '../../ports/server-transaction.ts';
import type { Client } from '../../ports/client.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Legs } from '../../ports/leg.ts';
import { Headers } from '../../sip/headers.ts';
import { tagOf } from '../../sip/name-addr.ts';
import { parseMessage, type SipMessage, type SipRequest, type SipResponse } from '../../sip/message.ts';
import { composeResponse } from './compose.ts';
import type { SrfDialog } from './dialog.ts';
import { readFlow, readReceivedOn, type Listeners } from './flow.ts';
import { SrfInviteTransaction } from './invite-transaction.ts';
import type { Line, Reply } from './link.ts';
import { localResponse } from './local-response.ts';
import { SrfServerTransaction, SrfSubscribeTransaction } from './server-transaction.ts';

/** Who waits for the responses to one request of ours. */
export interface Outgoing {
  /** The engine has sent it under this transaction id; `reply` holds the request as sent. */
  sent(txn: string, reply: Reply): void;
  /** The engine would not send it; nothing else follows. */
  refused(why: string): void;
  /** Any response the engine reports (drachtio-server: none that is 100). After a final one nothing else follows. */
  response(response: SipResponse, local: boolean, dialogId: string): void;
}

/** Sends over the engines of other nodes. */
export interface Elsewhere {
  readonly client: Client;
  readonly legs: Legs;
}

export interface Surroundings {
  readonly clock: Clock;
  readonly engineId: string;
  /** largest frame the engine takes, in octets */
  readonly maxFrame: number;
  /** most octets of header fields the engine takes */
  readonly maxHead: number;
  /** see SrfOptions */
  readonly remembersConnections: boolean;
  /** see SrfOptions */
  readonly movesFlows: boolean;
  /** see SrfOptions */
  readonly takesRoutes: boolean;
  /** see SrfOptions */
  readonly elsewhere: () => Elsewhere | undefined;
  /** see SrfOptions */
  readonly sendsWithinMs: number | undefined;
  /** requests outside the dialogs we hold */
  readonly onRequest: (transaction: ServerTransaction) => void;
  readonly counts: Counts;
}

/** Since the start; plain numbers for whoever makes metrics of them. */
export interface Counts {
  requests: number;
  responses: number;
  /** frames and messages that could not be understood */
  malformed: number;
  /** responses nobody waited for */
  stray: number;
  /** frames of ours the engine refused */
  refused: number;
}

/** An INVITE the engine only parks is forgotten by it after 64 s; a 100 of ours lifts that limit (drachtio-protocol B.1). */
const parkedAtMost = 35_000;
const sweepEvery = 10_000;
const strayAtMost = 256;
/** NOTIFYs that wait for the 2xx to their SUBSCRIBE, of each subscription */
const earlyNotifiesAtMost = 4;

export class Exchange {
  readonly line: Line;
  readonly surroundings: Surroundings;
  readonly #listeners: Listeners;
  /** INVITEs without a final answer, by transaction id, oldest first */
  readonly invites = new Map<string, SrfInviteTransaction>();
  readonly dialogs = new Map<string, SrfDialog>();
  /** INVITEs and legs whose dialog is only early: what the peer sends inside it is answered here */
  readonly #early = new Map<string, Set<EarlyParty>>();
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #stray = new Map<string, { tokens: readonly string[]; text: string }[]>();
  /** our SUBSCRIBEs without a final answer, by Call-ID and our tag, with the NOTIFYs that came first (RFC 6665 4.1.2.4) */
  readonly #subscribing = new Map<string, ServerTransaction[]>();
  #stopSweep: (() => void) | undefined;

  constructor(line: Line, hostports: Listeners, surroundings: Surroundings) {
    this.line = line;
    this.#listeners = hostports;
    this.surroundings = surroundings;
  }

  get alive(): boolean {
    return this.line.alive;
  }

  get waiting(): number {
    return this.#outgoing.size;
  }

  /** Whether the engine takes a frame with this first line and message. */
  fits(meta: string, message: string): boolean {
    const { maxFrame, maxHead } = this.surroundings;
    if (meta.length + message.length + 50 > maxFrame) return false;
    if (message.length <= maxHead) return true;
    // the header fields: between the start line and the body
    const from = message.indexOf('\r\n') + 2;
    return message.indexOf('\r\n\r\n', from) + 2 - from <= maxHead;
  }

  /** Sends a request; `meta` is what stands between `sip|` and the message. */
  request(meta: string, message: string, outgoing: Outgoing): void {
    const first = `sip|${meta}`;
    if (!this.fits(first, message)) {
      queueMicrotask(() => outgoing.response(localResponse(513), true, ''));
      return;
    }
    this.line.send(first, message, (reply) => {
      const txn = reply.ok ? reply.fields[7] : undefined;
      if (txn === undefined) {
        if (this.alive) this.surroundings.counts.refused++;
        outgoing.refused(reply.fields[1] ?? 'refused');
        return;
      }
      this.#outgoing.set(txn, outgoing);
      outgoing.sent(txn, reply);
      // a response that overtook the news of its request
      const early = this.#stray.get(txn);
      if (early !== undefined) {
        this.#stray.delete(txn);
        for (const { tokens, text } of early) this.#response(tokens, text);
      }
    });
  }

  /** Sends a frame whose answer nobody needs (ACK, CANCEL). */
  tell(meta: string, message: string): void {
    const first = `sip|${meta}`;
    if (!this.fits(first, message)) return;
    this.line.send(first, message, (reply) => {
      if (!reply.ok && this.alive) this.surroundings.counts.refused++;
    });
  }

  /** Nobody waits for this transaction any more; late responses are dropped. */
  forget(txn: string): void {
    this.#outgoing.delete(txn);
  }

  enterEarly(dialogId: string, party: EarlyParty): void {
    const parties = this.#early.get(dialogId);
    if (parties === undefined) this.#early.set(dialogId, new Set([party]));
    else parties.add(party);
  }

  leaveEarly(dialogId: string, party: EarlyParty): void {
    const parties = this.#early.get(dialogId);
    if (parties?.delete(party) === true && parties.size === 0) this.#early.delete(dialogId);
  }

  enterInvite(invite: SrfInviteTransaction): void {
    this.invites.set(invite.txn, invite);
    this.#stopSweep ??= this.surroundings.clock.after(sweepEvery, this.#sweep);
  }

  leaveInvite(invite: SrfInviteTransaction): void {
    this.invites.delete(invite.txn);
    if (this.invites.size > 0) return;
    this.#stopSweep?.();
    this.#stopSweep = undefined;
  }

  /** From the SUBSCRIBE on its way until `subscribed`. */
  subscribing(callId: string, localTag: string): void {
    this.#subscribing.set(`${callId}\n${localTag}`, []);
  }

  /** The SUBSCRIBE has its answer: NOTIFYs that came before go to the dialog; without one they are refused. */
  subscribed(callId: string, localTag: string, dialog: SrfDialog | undefined): void {
    const key = `${callId}\n${localTag}`;
    const early = this.#subscribing.get(key) ?? [];
    this.#subscribing.delete(key);
    for (const notify of early) {
      const fits = dialog !== undefined && tagOf(notify.request.headers.get('from') ?? '') === dialog.remoteTag;
      if (fits) dialog.requested(notify);
      else void notify.respond({ status: 481 });
    }
  }

  /** True when the request is a NOTIFY that has overtaken the 2xx to our SUBSCRIBE; it is kept or refused then. */
  #isEarlyNotify(tokens: readonly string[], txn: string, message: SipRequest): boolean {
    if (message.method !== 'NOTIFY' || this.#subscribing.size === 0) return false;
    const tag = tagOf(message.headers.get('to') ?? '');
    const early = this.#subscribing.get(`${message.headers.get('call-id') ?? ''}\n${tag ?? ''}`);
    if (early === undefined) return false;
    if (early.length >= earlyNotifiesAtMost) this.#refuse(txn, 500, Headers.of([['Retry-After', '1']]));
    else early.push(this.#transaction(tokens, txn, message, undefined));
    return true;
  }

  /** One sweep for all held INVITEs: a timer and a frame for each would cost more than the few that live this long. */
  readonly #sweep = (): void => {
    this.#stopSweep = this.surroundings.clock.after(sweepEvery, this.#sweep);
    const limit = this.surroundings.clock.now() - parkedAtMost;
    for (const invite of this.invites.values()) {
      if (invite.since > limit) break;
      invite.unpark();
    }
  };

  /** Takes one `sip` frame. `parsed`: the message in `text`, where somebody has read it already and lets go of it. */
  take(tokens: readonly string[], text: string, parsed?: SipMessage): void {
    if (tokens[2] === 'application') {
      // a BYE the engine sent on its own: no ACK came, a session timer ended, a CANCEL crossed a 200
      const message = parseMessage(text);
      const why = message.kind === 'request' ? message.headers.get('reason') : undefined;
      this.dialogs.get(tokens[9] ?? '')?.ended(why ?? 'ended by the engine');
      return;
    }
    if (text.startsWith('SIP/')) this.#response(tokens, text, parsed);
    else this.#request(tokens, text, parsed);
  }

  /**
   * The line is gone: its transactions and dialogs cannot be reached any more. What comes back are the INVITEs without a final
   * answer, by transaction id: an engine that outlives the line still keeps their callers waiting.
   */
  end(): readonly string[] {
    this.#stopSweep?.();
    this.#stopSweep = undefined;
    this.#subscribing.clear();
    const outgoing = [...this.#outgoing.values()];
    const dialogs = [...this.dialogs.values()];
    const invites = [...this.invites.values()];
    this.#outgoing.clear();
    this.#stray.clear();
    this.#early.clear();
    this.dialogs.clear();
    this.invites.clear();
    for (const invite of invites) invite.lost();
    for (const one of outgoing) one.response(localResponse(503), true, '');
    for (const dialog of dialogs) dialog.ended('control connection lost');
    return invites.map(({ txn }) => txn);
  }

  /** Answers callers of another line: one of ours before this one. */
  dismiss(txns: readonly string[], status: 480 | 503): void {
    for (const txn of txns) this.#refuse(txn, status, Headers.of([['Retry-After', '1']]));
  }

  /** Answers INVITEs of an app that has died: how many the engine has taken; undefined when it has not said so of all. */
  async answerFor(txns: readonly string[]): Promise<number | undefined> {
    const headers = Headers.of([['Retry-After', '1']]);
    const replies = txns.map(
      (txn) =>
        new Promise<boolean>((resolve) => {
          this.line.send(`sip|${txn}|`, composeResponse(480, undefined, headers, ''), (reply) => resolve(reply.ok));
        }),
    );
    const taken = (await Promise.all(replies)).filter(Boolean).length;
    return this.alive ? taken : undefined;
  }

  /** Resolves when the engine has said of each caller whether he still waits; who does not has given up, as we hear it. */
  async confirm(): Promise<void> {
    await Promise.all([...this.invites.values()].map((invite) => invite.confirm()));
  }

  /** Resolves when the engine has been asked twice, so that it has read what had come for it before, and we have read that. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 2; turn++)
      await new Promise<void>((resolve) => this.line.send('ping', '', () => resolve()));
  }

  #response(tokens: readonly string[], text: string, parsed?: SipMessage): void {
    const txn = tokens[8] ?? '';
    const outgoing = this.#outgoing.get(txn);
    if (outgoing === undefined) {
      this.#keepStray(txn, tokens, text);
      return;
    }
    this.surroundings.counts.responses++;
    const local = tokens[5] === '' && Number(tokens[6]) === 0;
    let message = parsed ?? parseMessage(text);
    if (message.kind !== 'response') {
      // the engine took it for a response, so its transaction may be over: better an end than a wait for ever
      this.surroundings.counts.malformed++;
      message = localResponse(502);
    }
    if (message.status >= 200) this.#outgoing.delete(txn);
    outgoing.response(message, local, tokens[9] ?? '');
  }

  #keepStray(txn: string, tokens: readonly string[], text: string): void {
    this.surroundings.counts.stray++;
    if (this.line.unanswered === 0) {
      this.#stray.clear();
      return;
    }
    const kept = this.#stray.get(txn);
    if (kept !== undefined) kept.push({ tokens, text });
    else this.#stray.set(txn, [{ tokens, text }]);
    if (this.#stray.size > strayAtMost) this.#stray.delete(this.#stray.keys().next().value as string);
  }

  #request(tokens: readonly string[], text: string, parsed?: SipMessage): void {
    const { counts, onRequest } = this.surroundings;
    counts.requests++;
    const txn = tokens[8] ?? '';
    const dialogId = tokens[9] ?? '';
    const message = parsed ?? parseMessage(text);
    if (message.kind !== 'request') {
      counts.malformed++;
      if (!text.startsWith('ACK ') && !text.startsWith('CANCEL ')) this.#refuse(txn, 400);
      return;
    }
    if (message.method === 'ACK') {
      this.dialogs.get(dialogId)?.acknowledged(message);
      return;
    }
    if (message.method === 'CANCEL') {
      // by transaction: several INVITEs of one Call-ID may wait (a PBX that forks)
      this.invites.get(txn)?.cancelled(message);
      return;
    }
    if (dialogId === '') {
      // Both become part of dialog ids, which travel between `|`: one more of them would name somebody else's dialog
      if (!isSafeId(message.headers.get('call-id')) || !isSafeId(message.headers.get('from'))) {
        counts.malformed++;
        this.#refuse(txn, 400);
        return;
      }
      if (!this.#isEarlyNotify(tokens, txn, message)) onRequest(this.#transaction(tokens, txn, message, undefined));
      return;
    }
    const dialog = this.dialogs.get(dialogId);
    if (message.method === 'PRACK') {
      this.#prack(txn, dialogId, dialog !== undefined, message);
    } else if (dialog !== undefined) {
      dialog.requested(this.#transaction(tokens, txn, message, dialog));
    } else if (!this.#isEarlyNotify(tokens, txn, message)) {
      const parties = this.#early.get(dialogId);
      if (parties === undefined) this.#refuse(txn, 481);
      else this.#requestInEarlyDialog(tokens, message, parties);
    }
  }

  #transaction(
    tokens: readonly string[],
    txn: string,
    message: SipRequest,
    dialog: SrfDialog | undefined,
  ): ServerTransaction {
    const flow = readFlow(tokens, message.headers, this.#listeners, this.surroundings.engineId);
    if (message.method === 'INVITE')
      return new SrfInviteTransaction(this, txn, message, flow, readReceivedOn(tokens), dialog);
    const Kind =
      message.method === 'SUBSCRIBE' && dialog === undefined ? SrfSubscribeTransaction : SrfServerTransaction;
    return new Kind(this, txn, message, flow, readReceivedOn(tokens));
  }

  /** Reliable provisionals are acknowledged hop by hop (RFC 3262), so a PRACK never goes further than here. */
  #prack(txn: string, dialogId: string, known: boolean, prack: SipRequest): void {
    const parties = this.#early.get(dialogId);
    if (parties === undefined && !known) {
      this.#refuse(txn, 481);
      return;
    }
    this.#refuse(txn, 200);
    for (const party of [...(parties ?? [])]) party.acknowledged(prack);
  }

  /** Where no use-case listens, an UPDATE without an offer is harmless and the rest may come again. */
  #requestInEarlyDialog(tokens: readonly string[], message: SipRequest, parties: ReadonlySet<EarlyParty>): void {
    const txn = tokens[8] ?? '';
    if (message.method === 'BYE') {
      this.#refuse(txn, 200);
      for (const party of [...parties]) party.hungUp(message);
      return;
    }
    if (message.method !== 'INVITE') {
      const transaction = this.#transaction(tokens, txn, message, undefined);
      for (const party of parties) if (party.requested(tokens[9] ?? '', transaction)) return;
    }
    if (message.method === 'UPDATE' && message.body === '') this.#refuse(txn, 200);
    else this.#refuse(txn, 500, Headers.of([['Retry-After', '5']]));
  }

  #refuse(txn: string, status: number, headers?: Headers): void {
    this.line.send(`sip|${txn}|`, composeResponse(status, undefined, headers, ''), () => {
      // whether it was sent changes nothing
    });
  }
}

/** One side of an INVITE whose dialog is early. */
export interface EarlyParty {
  /** a PRACK of the peer */
  acknowledged(prack: SipRequest): void;
  /** a BYE of the peer */
  hungUp(bye: SipRequest): void;
  /** any other request of the peer; false when nobody wants it */
  requested(dialogId: string, transaction: ServerTransaction): boolean;
}

function isSafeId(value: string | undefined): boolean {
  // oxlint-disable-next-line no-control-regex
  if (value === undefined || /[\u0000-\u0008\u000a-\u001f\u007f]/.test(value)) return false;
  return !value.includes('|') || !(tagOf(value) ?? value).includes('|');
}
