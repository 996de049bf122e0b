/** The fault script of the lab: what to do instead of accepting a push, for whom and how often. */

/** How a session is ended by GOAWAY (RFC 9113 6.8): all open streams end well; cut at once; only the older half of the open streams ends well. */
export const goawayModes = ['graceful', 'immediate', 'low'] as const;
export type GoawayMode = (typeof goawayModes)[number];

export const resetCodes = {
  CANCEL: 8,
  INTERNAL_ERROR: 2,
  PROTOCOL_ERROR: 1,
  ENHANCE_YOUR_CALM: 11,
  REFUSED_STREAM: 7,
} as const;
export type ResetCode = keyof typeof resetCodes;

export type Fault =
  /** this status and reason; with `html` the body is a page of some middlebox */
  | {
      readonly do: 'answer';
      readonly status: number;
      readonly reason?: string;
      /** ms since the epoch, for 410 */
      readonly timestamp?: number;
      /** seconds */
      readonly retryAfter?: number;
      readonly html?: boolean;
      /** ms until it is given */
      readonly delay?: number;
    }
  /** no answer, ever */
  | { readonly do: 'hang' }
  /** the phone gets it twice, as services that deliver at least once do; answered well */
  | { readonly do: 'duplicate' }
  /** a good answer after this time */
  | { readonly do: 'slow'; readonly ms: number }
  /** RST_STREAM; REFUSED_STREAM says that nothing was processed */
  | { readonly do: 'reset'; readonly code: ResetCode }
  | { readonly do: 'goaway'; readonly mode: GoawayMode }
  /** the connection is cut, before or after the push was taken over */
  | { readonly do: 'drop'; readonly when: 'before' | 'after' }
  /** the connection goes silent: nothing is read any more, PING stays unanswered */
  | { readonly do: 'stall' };

export interface Rule {
  /** the device token starts with this; all tokens when absent */
  readonly token?: string;
  readonly topic?: string;
  /** how many pushes it hits; without end when absent */
  readonly times?: number;
  /** so many pushes that match are left alone first */
  readonly skip?: number;
  /** seconds after it was added from which on it holds; at once when absent */
  readonly from?: number;
  /** seconds after it was added until which it holds; without end when absent */
  readonly until?: number;
  readonly fault: Fault;
}

export type Fields = Readonly<Record<string, unknown>>;

export function number(fields: Fields, key: string): number | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
    throw new Error(`${key}: expected a number, found ${JSON.stringify(value)}`);
  return value;
}

/** A time that a timer can wait for. */
export function milliseconds(fields: Fields, key: string): number | undefined {
  const value = number(fields, key);
  if (value !== undefined && value > 600_000) throw new Error(`${key}: expected 0 to 600000 ms, found ${value}`);
  return value;
}

export function text(fields: Fields, key: string): string | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'string') throw new Error(`${key}: expected text, found ${JSON.stringify(value)}`);
  return value;
}

export function oneOf<T extends string>(fields: Fields, key: string, allowed: readonly T[], fallback: T): T {
  const value = text(fields, key) ?? fallback;
  const found = allowed.find((word) => word === value);
  if (found === undefined)
    throw new Error(`${key}: expected one of ${allowed.join(', ')}, found ${JSON.stringify(value)}`);
  return found;
}

const kinds = ['answer', 'hang', 'slow', 'delay', 'duplicate', 'reset', 'goaway', 'drop', 'stall'] as const;

/** What each kind may say beside whom it is for. */
const keysOf: Readonly<Record<(typeof kinds)[number], readonly string[]>> = {
  answer: ['status', 'reason', 'timestamp', 'retryAfter', 'html', 'delay'],
  hang: [],
  slow: ['ms'],
  delay: ['ms'],
  duplicate: [],
  reset: ['code'],
  goaway: ['mode'],
  drop: ['when'],
  stall: [],
};
const forWhom = ['token', 'topic', 'times', 'skip', 'from', 'until', 'do'] as const;

function faultOf(fields: Fields): Fault {
  if (fields['do'] === undefined) throw new Error(`do: expected one of ${kinds.join(', ')}, found nothing`);
  const kind = oneOf(fields, 'do', kinds, 'answer');
  onlyKeys(fields, [...forWhom, ...keysOf[kind]], `with do: ${kind}`);
  switch (kind) {
    case 'answer': {
      const status = fields['status'];
      if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 599)
        throw new Error(`status: expected 200 to 599, found ${JSON.stringify(status)}`);
      const reason = text(fields, 'reason');
      const timestamp = number(fields, 'timestamp');
      const retryAfter = number(fields, 'retryAfter');
      const delay = milliseconds(fields, 'delay');
      const { html } = fields;
      if (html !== undefined && typeof html !== 'boolean')
        throw new Error(`html: expected true or false, found ${JSON.stringify(html)}`);
      return {
        do: 'answer',
        status,
        ...(reason === undefined ? {} : { reason }),
        ...(timestamp === undefined ? {} : { timestamp }),
        ...(retryAfter === undefined ? {} : { retryAfter }),
        ...(html === true ? { html } : {}),
        ...(delay === undefined ? {} : { delay }),
      };
    }
    case 'slow':
    case 'delay':
      return { do: 'slow', ms: milliseconds(fields, 'ms') ?? 1000 };
    case 'reset':
      return { do: 'reset', code: oneOf(fields, 'code', Object.keys(resetCodes) as ResetCode[], 'CANCEL') };
    case 'goaway':
      return { do: 'goaway', mode: oneOf(fields, 'mode', goawayModes, 'graceful') };
    case 'drop':
      return { do: 'drop', when: oneOf(fields, 'when', ['before', 'after'], 'before') };
    case 'hang':
    case 'duplicate':
    case 'stall':
      return { do: kind };
    default:
      return kind satisfies never;
  }
}

/** Throws with the first key that nobody knows, so that a slip of the pen is not a rule without effect. */
export function onlyKeys(fields: Fields, known: readonly string[], where: string): void {
  const stranger = Object.keys(fields).find((key) => !known.includes(key));
  if (stranger !== undefined) throw new Error(`${stranger}: no such key ${where}; expected one of ${known.join(', ')}`);
}

export function fieldsOf(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('expected a JSON object');
  return value as Fields;
}

/** Reads `{token?, topic?, times?, skip?, from?, until?, do, ...}`. Throws with the key, what was expected and what was found. */
export function parseRule(value: unknown): Rule {
  const fields = fieldsOf(value);
  const fault = faultOf(fields);
  const token = text(fields, 'token');
  const topic = text(fields, 'topic');
  const times = whole(fields, 'times', 1);
  const skip = whole(fields, 'skip', 0);
  const from = number(fields, 'from');
  const until = number(fields, 'until');
  if (until !== undefined && until <= (from ?? 0)) throw new Error(`until: expected more than from, found ${until}`);
  return {
    ...(token === undefined ? {} : { token: token.toLowerCase() }),
    ...(topic === undefined ? {} : { topic }),
    ...(times === undefined ? {} : { times }),
    ...(skip === undefined ? {} : { skip }),
    ...(from === undefined ? {} : { from }),
    ...(until === undefined ? {} : { until }),
    fault,
  };
}

function whole(fields: Fields, key: string, least: number): number | undefined {
  const value = number(fields, key);
  if (value !== undefined && (!Number.isInteger(value) || value < least))
    throw new Error(`${key}: expected a whole number from ${least}, found ${value}`);
  return value;
}

/** What a rule book may hold; whoever writes more has a loop. */
const mostRules = 10_000;

interface Entry {
  readonly rule: Rule;
  readonly addedAt: number;
  left: number;
  skip: number;
}

/** Rules in the order in which they were added; the first that matches and holds now is taken, and used up after its `times`. */
export class RuleBook {
  readonly #now: () => number;
  #rules: Entry[] = [];

  /** `now`: ms since the epoch */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  get size(): number {
    return this.#rules.length;
  }

  /** Throws when there are too many. */
  add(rule: Rule): void {
    if (this.#rules.length >= mostRules) throw new Error(`expected at most ${mostRules} rules`);
    const { times = Number.POSITIVE_INFINITY, skip = 0 } = rule;
    this.#rules.push({ rule, left: times, skip, addedAt: this.#now() });
  }

  clear(): void {
    this.#rules = [];
  }

  list(): readonly Rule[] {
    return this.#rules.map(({ rule, left }) => (Number.isFinite(left) ? { ...rule, times: left } : rule));
  }

  take(token: string, topic: string): Fault | undefined {
    if (this.#rules.length === 0) return undefined;
    const now = this.#now();
    const low = token.toLowerCase();
    const past = new Set<Entry>();
    let hit: Entry | undefined;
    for (const entry of this.#rules) {
      const { rule } = entry;
      const seconds = (now - entry.addedAt) / 1000;
      if (seconds >= (rule.until ?? Number.POSITIVE_INFINITY)) past.add(entry);
      else if (seconds >= (rule.from ?? 0) && low.startsWith(rule.token ?? '') && (rule.topic ?? topic) === topic) {
        if (entry.skip === 0) {
          hit = entry;
          break;
        }
        entry.skip -= 1;
      }
    }
    if (hit !== undefined) {
      hit.left -= 1;
      if (hit.left <= 0) past.add(hit);
    }
    if (past.size > 0) this.#rules = this.#rules.filter((entry) => !past.has(entry));
    return hit?.rule.fault;
  }
}
