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
    }
  /** no answer, ever */
  | { readonly do: 'hang' }
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
  readonly fault: Fault;
}

type Fields = Readonly<Record<string, unknown>>;

function number(fields: Fields, key: string): number | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
    throw new Error(`${key}: expected a number, found ${JSON.stringify(value)}`);
  return value;
}

function text(fields: Fields, key: string): string | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'string') throw new Error(`${key}: expected text, found ${JSON.stringify(value)}`);
  return value;
}

function oneOf<T extends string>(fields: Fields, key: string, allowed: readonly T[], fallback: T): T {
  const value = text(fields, key) ?? fallback;
  const found = allowed.find((word) => word === value);
  if (found === undefined)
    throw new Error(`${key}: expected one of ${allowed.join(', ')}, found ${JSON.stringify(value)}`);
  return found;
}

function faultOf(fields: Fields): Fault {
  const kind = oneOf(fields, 'do', ['answer', 'hang', 'slow', 'reset', 'goaway', 'drop', 'stall', ''], '');
  switch (kind) {
    case 'answer': {
      const status = number(fields, 'status') ?? 500;
      if (status < 200 || status > 599 || !Number.isInteger(status))
        throw new Error(`status: expected 200 to 599, found ${status}`);
      const reason = text(fields, 'reason');
      const timestamp = number(fields, 'timestamp');
      const retryAfter = number(fields, 'retryAfter');
      return {
        do: 'answer',
        status,
        ...(reason === undefined ? {} : { reason }),
        ...(timestamp === undefined ? {} : { timestamp }),
        ...(retryAfter === undefined ? {} : { retryAfter }),
        ...(fields['html'] === true ? { html: true } : {}),
      };
    }
    case 'slow':
      return { do: 'slow', ms: number(fields, 'ms') ?? 1000 };
    case 'reset':
      return { do: 'reset', code: oneOf(fields, 'code', Object.keys(resetCodes) as ResetCode[], 'CANCEL') };
    case 'goaway':
      return { do: 'goaway', mode: oneOf(fields, 'mode', goawayModes, 'graceful') };
    case 'drop':
      return { do: 'drop', when: oneOf(fields, 'when', ['before', 'after'], 'before') };
    case 'hang':
    case 'stall':
      return { do: kind };
    case '':
      throw new Error('do: expected one of answer, hang, slow, reset, goaway, drop, stall');
    default:
      return kind satisfies never;
  }
}

export function fieldsOf(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('expected a JSON object');
  return value as Fields;
}

/** Reads `{token?, topic?, times?, do, ...}`. Throws with the key, what was expected and what was found. */
export function parseRule(value: unknown): Rule {
  const fields = fieldsOf(value);
  const token = text(fields, 'token');
  const topic = text(fields, 'topic');
  const times = number(fields, 'times');
  return {
    ...(token === undefined ? {} : { token: token.toLowerCase() }),
    ...(topic === undefined ? {} : { topic }),
    ...(times === undefined ? {} : { times }),
    fault: faultOf(fields),
  };
}

/** Rules in the order in which they were added; the first that matches is taken, and used up after its `times`. */
export class RuleBook {
  #rules: { readonly rule: Rule; left: number }[] = [];

  get size(): number {
    return this.#rules.length;
  }

  add(rule: Rule): void {
    this.#rules.push({ rule, left: rule.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#rules = [];
  }

  list(): readonly Rule[] {
    return this.#rules.map(({ rule, left }) => (Number.isFinite(left) ? { ...rule, times: left } : rule));
  }

  take(token: string, topic: string): Fault | undefined {
    if (this.#rules.length === 0) return undefined;
    const hit = this.#rules.find(
      ({ rule }) =>
        token.toLowerCase().startsWith(rule.token ?? '') && (rule.topic === undefined || rule.topic === topic),
    );
    if (hit === undefined) return undefined;
    hit.left -= 1;
    if (hit.left <= 0) this.#rules = this.#rules.filter((entry) => entry !== hit);
    return hit.rule.fault;
  }
}
