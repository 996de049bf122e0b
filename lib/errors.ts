/** Surprises are exceptions, with a closed set of codes; one table answers every question about them. Only the door turns one into a SIP status. */

interface Row {
  /** SIP status for the request that met it; null when no request is involved */
  readonly sip: number | null;
  readonly retry: 'never' | 'later';
  readonly log: 'error' | 'warn' | 'info';
  readonly means: string;
}

export const errorTable = {
  EDGE_CONFIG_INVALID: {
    sip: null,
    retry: 'never',
    log: 'error',
    means: 'The configuration has unknown keys or wrong values.',
  },
  EDGE_ENGINE_UNAVAILABLE: {
    sip: null,
    retry: 'later',
    log: 'error',
    means: 'The SIP engine cannot be started or reached.',
  },
  EDGE_STORE_UNAVAILABLE: { sip: 503, retry: 'later', log: 'error', means: 'The location store does not answer.' },
  EDGE_STORE_CONTENDED: {
    sip: 503,
    retry: 'later',
    log: 'warn',
    means: 'One AOR was changed by others again and again.',
  },
  EDGE_NOT_REACHED: {
    sip: null,
    retry: 'later',
    log: 'error',
    means: 'A command found no running edge to ask.',
  },
  EDGE_INTERNAL: { sip: 500, retry: 'never', log: 'error', means: 'A branch nobody thought of; please report it.' },
} as const satisfies Record<`EDGE_${string}`, Row>;

export type EdgeErrorCode = keyof typeof errorTable;

export class EdgeError extends Error {
  readonly code: EdgeErrorCode;

  constructor(code: EdgeErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'EdgeError';
    this.code = code;
  }
}
