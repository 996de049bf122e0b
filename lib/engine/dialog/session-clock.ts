/** Runs session-timer.ts for one dialog (RFC 4028): reads what was agreed, owns the two timers. */
import { randomInt } from 'node:crypto';
import type { Headers } from '../../sip/headers.ts';
import type { Timer, TimerOwner, TimerWheel } from '../timer-wheel.ts';
import { noSessionTimer, type SessionTimer, type SessionTimerEvent, step } from './session-timer.ts';

export interface SessionUser {
  /** an INVITE of either side is unanswered */
  readonly busy: boolean;
  /** Sends a refresh and reports its end: a 2xx by `agreed`, anything else by `refused`. */
  refresh(seconds: number, minSe: number): void;
  hangUp(): void;
}

/** Seconds of Session-Expires or Min-SE and who refreshes; undefined when the header is missing or cannot be read. */
export function readSessionExpires(
  headers: Headers,
): { readonly seconds: number; readonly refresher: 'uac' | 'uas' | undefined } | undefined {
  const found = /^\s*(\d{1,9})\s*(;.*)?$/.exec(headers.get('session-expires') ?? '');
  if (found === null) return undefined;
  const refresher = /;\s*refresher\s*=\s*(ua[cs])/i.exec(found[2] ?? '')?.[1]?.toLowerCase();
  return { seconds: Number(found[1]), refresher: refresher === 'uac' || refresher === 'uas' ? refresher : undefined };
}

export class SessionClock implements TimerOwner<'refresh' | 'expired'> {
  readonly #user: SessionUser;
  readonly #wheel: TimerWheel;
  readonly #secondMs: number;
  /** whether we can refresh at all; when not, that is left to the app and no time runs */
  readonly #canRefresh: () => boolean;
  #state: SessionTimer = noSessionTimer;
  #refresh: Timer | undefined;
  #expired: Timer | undefined;

  constructor(
    user: SessionUser,
    canRefresh: () => boolean,
    { wheel, secondMs }: { readonly wheel: TimerWheel; readonly secondMs: number },
  ) {
    this.#user = user;
    this.#canRefresh = canRefresh;
    this.#wheel = wheel;
    this.#secondMs = secondMs;
  }

  /** A 2xx to an INVITE or UPDATE. `we`: the side we were on in that exchange. */
  agreed(answer: Headers, we: 'uac' | 'uas'): void {
    const found = readSessionExpires(answer);
    const refresher = found?.refresher === undefined ? 'nobody' : found.refresher === we ? 'us' : 'peer';
    this.#tell({
      is: 'agreed',
      seconds: found?.seconds ?? 0,
      refresher: refresher === 'us' && !this.#canRefresh() ? 'nobody' : refresher,
    });
  }

  /** The engine's own refresh was refused. `ownCallId`: the Call-ID is ours, which decides the wait after a 491 (RFC 3261 14.1). */
  refused(status: number, headers: Headers | undefined, ownCallId: boolean): void {
    const minSe = Number(/^\s*(\d{1,9})/.exec(headers?.get('min-se') ?? '')?.[1] ?? '0');
    const wait = status !== 491 ? 10 : ownCallId ? randomInt(2100, 4000) / 1000 : randomInt(0, 2000) / 1000;
    this.#tell({ is: 'refused', status, minSe, wait });
  }

  stop(): void {
    this.#tell({ is: 'dialog-over' });
  }

  onTimer(name: 'refresh' | 'expired'): void {
    this.#tell(name === 'refresh' ? { is: 'refresh-due', busy: this.#user.busy } : { is: 'expired' });
  }

  #tell(event: SessionTimerEvent): void {
    const [state, effects] = step(this.#state, event);
    this.#state = state;
    for (const effect of effects) {
      switch (effect.do) {
        case 'stop-timers':
          this.#wheel.cancel(this.#refresh);
          this.#wheel.cancel(this.#expired);
          break;
        case 'expire-in':
          this.#expired = this.#wheel.schedule(effect.seconds * this.#secondMs, this, 'expired');
          break;
        case 'refresh-in':
          this.#wheel.cancel(this.#refresh);
          this.#refresh = this.#wheel.schedule(effect.seconds * this.#secondMs, this, 'refresh');
          break;
        case 'refresh':
          this.#user.refresh(effect.seconds, effect.minSe);
          break;
        case 'hang-up':
          this.#user.hangUp();
          break;
        default:
          effect satisfies never;
      }
    }
  }
}
