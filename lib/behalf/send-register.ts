/** Sends the REGISTERs of accounts, tells their outcome, and notices when a PBX has stopped answering and when it is back. */
import type { Aor } from '../core/binding.ts';
import type { OutboundEffect, OutboundEvent, OutboundRegistration } from '../core/outbound-registration.ts';
import type { Client } from '../ports/client.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ids } from '../ports/ids.ts';
import type { Log } from '../ports/log.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Account } from './accounts.ts';
import { readAnswer, registerRequest } from './register-request.ts';

export interface RegisterSenderDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** 0 to 1 */
  readonly chance: () => number;
  readonly wayOf: (aor: Aor) => { readonly nextHop: string } | undefined;
  readonly policy: { readonly answerMs: number };
}

export class RegisterSender {
  readonly #deps: RegisterSenderDeps;
  readonly #onBack: (nextHop: string) => void;
  /** by next hop: since when it does not answer */
  readonly #silentSince = new Map<string, number>();

  /** `onBack`: a PBX that was silent and answers again may have been restarted and know nobody any more. */
  constructor(deps: RegisterSenderDeps, onBack: (nextHop: string) => void) {
    this.#deps = deps;
    this.#onBack = onBack;
  }

  async send(
    aor: Aor,
    account: Account,
    one: OutboundRegistration,
    effect: Extract<OutboundEffect, { do: 'send' }>,
  ): Promise<OutboundEvent> {
    const { client, clock, chance, ids, wayOf, policy, log, telemetry } = this.#deps;
    const nextHop = wayOf(aor)?.nextHop ?? account.formerHop;
    const opened = account.open();
    const { cseq } = effect;
    const silent = (): OutboundEvent => ({ is: 'silent', now: clock.now(), chance: chance(), cseq });
    if (nextHop === undefined) return silent();
    if (opened.is === 'locked') {
      log.error({ aor, reason: opened.why }, 'account cannot be used');
      return { is: 'unusable', now: clock.now(), cseq, reason: opened.why };
    }
    const { response, local } = await client.send({
      ...registerRequest(account, one, effect, opened.password, ids.hex),
      nextHop,
      timeoutMs: policy.answerMs,
    });
    telemetry.count('outboundRegisters', { result: local ? 'none' : resultOf(response.status) });
    this.#heard(nextHop, !local);
    if (local) return silent();
    const answer = readAnswer(response, effect.contacts[0]?.uri ?? '', account.realm);
    return { is: 'answered', now: clock.now(), chance: chance(), cseq, answer };
  }

  #heard(nextHop: string, answered: boolean): void {
    const { clock, log } = this.#deps;
    const since = this.#silentSince.get(nextHop);
    if (!answered) {
      if (since === undefined) {
        this.#silentSince.set(nextHop, clock.now());
        log.warn({ remote: nextHop }, 'the PBX does not answer REGISTER');
      }
      return;
    }
    if (since === undefined) return;
    this.#silentSince.delete(nextHop);
    log.info({ remote: nextHop, ms: clock.now() - since }, 'the PBX answers REGISTER again');
    this.#onBack(nextHop);
  }
}

function resultOf(status: number): '2xx' | '3xx' | '4xx' | '5xx' | '6xx' | 'challenged' {
  if (status === 401 || status === 407) return 'challenged';
  return status < 300 ? '2xx' : status < 400 ? '3xx' : status < 500 ? '4xx' : status < 600 ? '5xx' : '6xx';
}
