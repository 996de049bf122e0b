/**
 * A log in which sentences that strangers can bring about do not fill the disk: in each interval some of them are written in full,
 * not many about one address, and all further ones become one line with their number and reasons. Nothing is held back at level debug.
 */
import type { Log } from '../../ports/log.ts';
import type { LogFields } from '../../telemetry/log-fields.ts';

export interface CalmOptions {
  /** the sentences this is about; all others pass */
  readonly sentences: readonly string[];
  readonly intervalMs: number;
  /** lines of one sentence in full in one interval */
  readonly full: number;
  /** of them about one remote address: a flood must not take the place of what others wonder about */
  readonly fullOfOne: number;
}

export interface CalmLog extends Log {
  /** Writes what is still counted. */
  close(): void;
}

type Level = 'error' | 'warn' | 'info';

/** Different reasons told in one line; further ones are told together. */
const mostReasons = 12;

class Sentence {
  written = 0;
  suppressed = 0;
  readonly #of = new Map<string, number>();
  readonly #reasons = new Map<string, number>();

  /** True when this line is to be written in full. */
  admits(remote: string | undefined, { full, fullOfOne }: CalmOptions): boolean {
    if (this.written >= full) return false;
    if (remote !== undefined) {
      const ofThis = this.#of.get(remote) ?? 0;
      if (ofThis >= fullOfOne) return false;
      this.#of.set(remote, ofThis + 1);
    }
    this.written++;
    return true;
  }

  suppress({ status, reason, outcome, method }: LogFields): void {
    this.suppressed++;
    const why = [status, reason ?? outcome ?? method].filter((part) => part !== undefined).join(' ');
    const known = this.#reasons.has(why) || this.#reasons.size < mostReasons;
    const key = known ? why : 'others';
    this.#reasons.set(key, (this.#reasons.get(key) ?? 0) + 1);
  }

  /** What was held back, most frequent reason first. */
  summary(): string {
    const byCount = [...this.#reasons].toSorted(([, one], [, other]) => other - one);
    return byCount.map(([why, count]) => `${count} x ${why}`).join(', ');
  }
}

export function calmLog(log: Log, options: CalmOptions): CalmLog {
  const calm = new Set(options.sentences);
  const sentences = new Map<string, Sentence>();
  let timer: NodeJS.Timeout | undefined;

  const tell = (): void => {
    timer = undefined;
    const seconds = options.intervalMs / 1000;
    for (const [message, sentence] of sentences) {
      const count = sentence.suppressed;
      if (count > 0) log.info({ count, seconds, reason: sentence.summary() }, `${message}: more of them`);
    }
    sentences.clear();
  };

  const write = (target: Log, level: Level, fields: LogFields, message: string): void => {
    if (log.debugging || !calm.has(message)) {
      target[level](fields, message);
      return;
    }
    timer ??= setTimeout(tell, options.intervalMs).unref();
    let sentence = sentences.get(message);
    if (sentence === undefined) sentences.set(message, (sentence = new Sentence()));
    if (sentence.admits(fields.remote, options)) target[level](fields, message);
    else sentence.suppress(fields);
  };

  const around = (target: Log): Log => ({
    error: (fields, message) => write(target, 'error', fields, message),
    warn: (fields, message) => write(target, 'warn', fields, message),
    info: (fields, message) => write(target, 'info', fields, message),
    debug: (fields, message) => target.debug(fields, message),
    debugging: target.debugging,
    child: (fields) => around(target.child(fields)),
  });
  return {
    ...around(log),
    close: () => {
      clearTimeout(timer);
      tell();
    },
  };
}
