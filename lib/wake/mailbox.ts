/**
 * Store and forward of MESSAGE (RFC 3428 7): what a phone could not be given in time is taken over with 202 and delivered, in order,
 * after its next REGISTER. Where it lies is the port's business; how long and how many is decided here.
 */
import type { Aor, Binding } from '../core/binding.ts';
import { answersTo, liveBindings } from '../core/binding-set.ts';
import { passStandalone } from '../core/pass-headers.ts';
import { pushClassOf } from '../core/push-class.ts';
import { shortName } from '../core/short-name.ts';
import { expiresOf } from '../call/subscription.ts';
import type { Client } from '../ports/client.ts';
import type { Clock } from '../ports/clock.ts';
import type { LocationStore } from '../ports/location-store.ts';
import type { Log } from '../ports/log.ts';
import type { MailStore, StoredMessage } from '../ports/mail-store.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { Headers } from '../sip/headers.ts';
import { request as aRequest, type SipRequest } from '../sip/message.ts';
import type { Called } from './called.ts';
import { wayTo } from './way-to.ts';

export interface MailboxDeps {
  readonly mail: MailStore;
  readonly store: LocationStore;
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
}

export interface MailboxPolicy {
  /** longest life of a message, seconds; its own Expires may shorten it */
  readonly lifetime: number;
  readonly mostPerAor: number;
  /** of the body */
  readonly mostOctets: number;
  /** how long a phone may take to answer, ms */
  readonly answerMs: number;
}

/** A REGISTER so long before a message was kept may have looked for messages too early. */
const crossedMs = 2000;
const sweepEveryMs = 600_000;
const pageSize = 100;

export class Mailbox {
  readonly #deps: MailboxDeps;
  readonly #policy: MailboxPolicy;
  /** deliveries under way; true: another REGISTER has come meanwhile */
  readonly #busy = new Map<string, boolean>();
  #stopSweep: () => void;

  constructor(deps: MailboxDeps, policy: MailboxPolicy) {
    this.#deps = deps;
    this.#policy = policy;
    this.#stopSweep = deps.clock.after(sweepEveryMs, () => void this.#sweep());
  }

  /** Whether this request is one that may be taken over. */
  takes(request: SipRequest): boolean {
    return (
      request.method === 'MESSAGE' &&
      pushClassOf(request) !== undefined &&
      request.body.length <= this.#policy.mostOctets &&
      expiresOf(request.headers) !== 0
    );
  }

  /** Whether messages wait that must not be overtaken. Rejects with EDGE_STORE_UNAVAILABLE. */
  async hasMailFor({ aor, bindingId }: Called): Promise<boolean> {
    const now = this.#deps.clock.now();
    return (await this.#deps.mail.waiting(aor)).some(
      (one) =>
        one.expiresAt > now && (one.bindingId === undefined || bindingId === undefined || one.bindingId === bindingId),
    );
  }

  /** Takes a message over; false when there is no room or the store is not there. */
  async keep(request: SipRequest, { aor, bindingId, from }: Called): Promise<boolean> {
    const { clock, mail, log } = this.#deps;
    const now = clock.now();
    const life = Math.min(this.#policy.lifetime, expiresOf(request.headers) ?? this.#policy.lifetime);
    const { headers, uri, body } = request;
    const callId = headers.get('Call-ID') ?? '';
    const fields = [...headers.entries()].map(([name, value]) => [name, value] as const);
    const message: StoredMessage = {
      id: shortName([callId, headers.get('CSeq'), headers.get('From')], 24),
      aor,
      ...(bindingId === undefined ? {} : { bindingId }),
      uri,
      // who reads it tomorrow wants to know that it is of today (RFC 3428 9)
      headers: headers.has('Date') ? fields : [...fields, ['Date', new Date(now).toUTCString()]],
      body,
      from,
      storedAt: now,
      expiresAt: now + life * 1000,
    };
    try {
      let kept = await mail.keep(message, this.#policy.mostPerAor);
      if (kept === 'full' && (await this.#dropExpired(aor)) > 0)
        kept = await mail.keep(message, this.#policy.mostPerAor);
      this.#count(kept === 'full' ? 'full' : 'stored');
      if (kept === 'full') log.warn({ callId, aor, reason: 'too many messages wait already' }, 'message not stored');
      else log.info({ callId, aor, seconds: life }, 'message stored');
      return kept !== 'full';
    } catch (err) {
      log.warn({ callId, aor, err }, 'message not stored');
      return false;
    }
  }

  /** The phone has registered: everything for it goes out, one after the other, until one cannot be delivered. Never rejects. */
  async deliver(aor: Aor, bindingId: string): Promise<void> {
    const key = `${bindingId} ${aor}`;
    if (this.#busy.has(key)) {
      this.#busy.set(key, true);
      return;
    }
    try {
      do {
        this.#busy.set(key, false);
        await this.#deliverAll(aor, bindingId);
      } while (this.#busy.get(key) === true);
    } catch (err) {
      this.#deps.log.warn({ aor, bindingId, err }, 'stored messages not delivered');
    } finally {
      this.#busy.delete(key);
    }
  }

  /** For a message kept a moment ago: a REGISTER that crossed it has not seen it, and the next one may be an hour away. Never rejects. */
  async afterCrossing({ aor, bindingId }: Called): Promise<void> {
    const { store, clock, log } = this.#deps;
    const now = clock.now();
    try {
      const { bindings } = await store.read(aor);
      const fresh = liveBindings(bindings, now).filter(
        (binding) =>
          binding.registeredAt >= now - crossedMs && (bindingId === undefined || answersTo(binding, bindingId)),
      );
      await Promise.all(fresh.map(({ id }) => this.deliver(aor, id)));
    } catch (err) {
      log.warn({ aor, err }, 'stored messages not delivered');
    }
  }

  close(): void {
    this.#stopSweep();
  }

  async #deliverAll(aor: Aor, bindingId: string): Promise<void> {
    const { mail, store, clock } = this.#deps;
    const waiting = await mail.waiting(aor);
    if (waiting.length === 0) return;
    const live = liveBindings((await store.read(aor)).bindings, clock.now());
    const binding = live.find(({ id }) => id === bindingId);
    if (binding === undefined) return;
    for (const message of waiting) {
      if (!isFor(message, binding)) continue;
      if (message.expiresAt <= clock.now()) await this.#dropOne(message, 'expired');
      else if (!(await this.#send(message, binding))) return;
    }
  }

  /** False: it stays, and what is behind it too. */
  async #send(message: StoredMessage, binding: Binding): Promise<boolean> {
    const { client } = this.#deps;
    const request = aRequest('MESSAGE', message.uri, Headers.of(message.headers), message.body);
    const { along, named } = wayTo({ binding, flow: binding.flow }, request);
    const { response, local } = await client.send({
      method: 'MESSAGE',
      ...along,
      headers: passStandalone(request.headers, { from: message.from, towards: 'phone', ...named }),
      body: message.body,
      timeoutMs: this.#policy.answerMs,
    });
    const { status } = response;
    // 482: it has had a copy (RFC 3261 8.2.2.2). Asleep again, overloaded or unable just now: at its next REGISTER
    if (local || mayTakeItLater(status)) {
      this.#count('retried');
      return false;
    }
    await this.#dropOne(message, status < 300 || status === 482 ? 'delivered' : 'refused', status);
    return true;
  }

  async #dropOne(message: StoredMessage, outcome: 'delivered' | 'refused' | 'expired', status?: number): Promise<void> {
    const { mail, log, clock } = this.#deps;
    await mail.drop(message.aor, message.id);
    this.#count(outcome);
    const callId = message.headers.find(([name]) => /^call-id$|^i$/i.test(name))?.[1];
    const seconds = Math.round((clock.now() - message.storedAt) / 1000);
    log[outcome === 'delivered' ? 'info' : 'warn'](
      { callId, aor: message.aor, outcome, status, seconds },
      'stored message',
    );
  }

  async #dropExpired(aor: Aor): Promise<number> {
    const now = this.#deps.clock.now();
    const expired = (await this.#deps.mail.waiting(aor)).filter((one) => one.expiresAt <= now);
    for (const one of expired) await this.#dropOne(one, 'expired');
    return expired.length;
  }

  /** Messages of phones that never come back. */
  async #sweep(): Promise<void> {
    try {
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const page: Awaited<ReturnType<MailStore['scan']>> = await this.#deps.mail.scan(cursor, pageSize);
        for (const aor of page.aors) await this.#dropExpired(aor);
        cursor = page.next;
      }
    } catch (err) {
      this.#deps.log.warn({ err }, 'expired messages not looked for');
    }
    this.#stopSweep = this.#deps.clock.after(sweepEveryMs, () => void this.#sweep());
  }

  #count(outcome: 'stored' | 'full' | 'delivered' | 'refused' | 'expired' | 'retried'): void {
    this.#deps.telemetry.count('messages', { outcome });
  }
}

/** A phone that will never take a message must not keep those behind it waiting. */
function mayTakeItLater(status: number): boolean {
  const never = status === 501 || status === 505 || status === 513 || status === 555;
  return status === 408 || status === 430 || status === 480 || (status >= 500 && status < 600 && !never);
}

/** What is kept may name the phone by its instance (binding-set answersTo). */
function isFor({ bindingId }: StoredMessage, binding: Binding): boolean {
  return bindingId === undefined || answersTo(binding, bindingId);
}
