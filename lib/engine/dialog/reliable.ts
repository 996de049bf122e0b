/**
 * The reliable provisionals of one INVITE at the side that answers (RFC 3262 3): one at a time, each until its PRACK, and no 2xx
 * past one that carries a session description. Pure: the shell (reliable-provisionals.ts) has the messages and the timers.
 */

/** An answer that waits for the PRACK of the one before it. */
interface InLine {
  readonly id: number;
  readonly final: boolean;
  readonly described: boolean;
}

export interface Reliable {
  /** RSeq of the one sent last */
  readonly rseq: number;
  /** whether that one waits for its PRACK, and whether a 2xx may overtake it */
  readonly waiting: 'no' | 'plain' | 'described';
  readonly line: readonly InLine[];
  /** a final answer is out, or none will come: no answer is taken any more, a PRACK still is */
  readonly over: boolean;
}

export type ReliableEvent =
  /** the app answers; `described`: with a session description */
  | { readonly is: 'provisional'; readonly id: number; readonly described: boolean }
  | { readonly is: 'success'; readonly id: number }
  /** a final refusal is out, the caller gave up, or the dialog ended */
  | { readonly is: 'ended' }
  | { readonly is: 'prack'; readonly rseq: number }
  | { readonly is: 'copy-due' }
  /** 64 T1 without a PRACK */
  | { readonly is: 'give-up' };

export type ReliableEffect =
  /** put this provisional on the wire with this RSeq, repeat it, and give up in time */
  | { readonly do: 'send'; readonly id: number; readonly rseq: number }
  | { readonly do: 'send-success'; readonly id: number }
  /** this answer will never be sent */
  | { readonly do: 'drop'; readonly id: number }
  | { readonly do: 'repeat' }
  | { readonly do: 'stop-timers' }
  | { readonly do: 'take-prack' }
  /** 481: it names nothing that waits */
  | { readonly do: 'refuse-prack' }
  /** refuse the INVITE with a 5xx */
  | { readonly do: 'reject' };

export type ReliableStep = readonly [Reliable, readonly ReliableEffect[]];

/** More than this many unacknowledged answers of an app are a fault of it. */
const longestLine = 16;

/** `rseq`: one below that of the first provisional, 0 to 2^31 - 2. */
export function noReliable(rseq: number): Reliable {
  return { rseq, waiting: 'no', line: [], over: false };
}

export function step(state: Reliable, event: ReliableEvent): ReliableStep {
  switch (event.is) {
    case 'provisional': {
      const { id, described } = event;
      if (state.over || state.line.length >= longestLine || state.line.some(({ final }) => final))
        return [state, [{ do: 'drop', id }]];
      if (state.waiting !== 'no') return [{ ...state, line: [...state.line, { id, final: false, described }] }, []];
      return sent(state, id, described);
    }
    case 'success': {
      const { id } = event;
      if (state.over || state.line.some(({ final }) => final)) return [state, [{ do: 'drop', id }]];
      const mustWait = state.waiting === 'described' || state.line.some(({ described }) => described);
      if (mustWait) return [{ ...state, line: [...state.line, { id, final: true, described: false }] }, []];
      // what only rings has been overtaken
      return [
        { ...state, line: [], over: true },
        [...dropped(state.line), ...stopped(state), { do: 'send-success', id }],
      ];
    }
    case 'ended':
      if (state.over && state.line.length === 0) return [state, []];
      return [{ ...state, line: [], over: true }, [...stopped(state), ...dropped(state.line)]];
    case 'prack': {
      if (state.waiting === 'no' || event.rseq !== state.rseq) return [state, [{ do: 'refuse-prack' }]];
      const [next, ...line] = state.line;
      const taken: readonly ReliableEffect[] = [...stopped(state), { do: 'take-prack' }];
      const free: Reliable = { ...state, waiting: 'no', line };
      if (next === undefined) return [free, taken];
      if (next.final) return [{ ...free, over: true }, [...taken, { do: 'send-success', id: next.id }]];
      const [after, effects] = sent(free, next.id, next.described);
      return [after, [...taken, ...effects]];
    }
    case 'copy-due':
      return [state, state.waiting === 'no' || state.over ? [] : [{ do: 'repeat' }]];
    case 'give-up':
      if (state.waiting === 'no' || state.over) return [state, []];
      return [{ ...state, line: [], over: true }, [{ do: 'stop-timers' }, ...dropped(state.line), { do: 'reject' }]];
    default:
      return event satisfies never;
  }
}

function sent(state: Reliable, id: number, described: boolean): ReliableStep {
  const rseq = state.rseq + 1;
  return [{ ...state, rseq, waiting: described ? 'described' : 'plain' }, [{ do: 'send', id, rseq }]];
}

function stopped(state: Reliable): readonly ReliableEffect[] {
  return state.waiting === 'no' || state.over ? [] : [{ do: 'stop-timers' }];
}

function dropped(line: readonly InLine[]): readonly ReliableEffect[] {
  return line.map(({ id }) => ({ do: 'drop', id }));
}
