/**
 * Two dialogs tied together (a B2BUA, RFC 5853 names it; RFC 3261 14 and 15 rule each side): who may change the session now,
 * who is told when it ends, and when it is over. Pure; whoever runs it owns the dialogs.
 */

export type End = 'caller' | 'callee';

export type BridgeEvent =
  | { readonly is: 'bye'; readonly from: End }
  /** a re-INVITE came */
  | { readonly is: 'reinvite'; readonly from: End }
  /** the re-INVITE of this side was answered 2xx; its ACK is due */
  | { readonly is: 'reinvite-answered'; readonly from: End }
  | { readonly is: 'acked'; readonly from: End }
  /** refused, cancelled or without effect; no ACK is due */
  | { readonly is: 'reinvite-failed'; readonly from: End }
  /** this side answered 408 or 481 to a request of its dialog: there is nobody (RFC 3261 12.2.1.2) */
  | { readonly is: 'lost'; readonly side: End }
  /** the engine ended this side by itself */
  | { readonly is: 'ended'; readonly side: End }
  /** our BYE to this side is answered or given up */
  | { readonly is: 'bye-over'; readonly side: End }
  /** we end the call */
  | { readonly is: 'hang-up' };

export type ByeReason = 'other-hung-up' | 'other-lost' | 'lost' | 'stopping';

export type BridgeEffect =
  /** 200 to the BYE that came */
  | { readonly do: 'answer-bye'; readonly from: End }
  | { readonly do: 'send-bye'; readonly to: End; readonly because: ByeReason }
  | { readonly do: 'relay-reinvite'; readonly from: End }
  /** 491: the other side is changing the session; 500: this side has not finished its own change (RFC 3261 14.2); 481: too late */
  | { readonly do: 'refuse-reinvite'; readonly from: End; readonly status: 491 | 500 | 481 }
  /** the change of this side comes to nothing: CANCEL on the other side, 487 here, and an ACK that is still owed */
  | { readonly do: 'drop-reinvite'; readonly from: End }
  /** nothing more of this side */
  | { readonly do: 'close'; readonly side: End }
  /** exactly once, after both sides are closed */
  | { readonly do: 'over'; readonly because: Because };

/** Why the call ended. */
export type Because = 'caller-hung-up' | 'callee-hung-up' | 'caller-lost' | 'callee-lost' | 'stopped';

export type Bridge =
  | { readonly at: 'talking'; readonly changing: { readonly from: End; readonly answered: boolean } | undefined }
  /** `open`: sides that have not heard of the end for sure */
  | { readonly at: 'ending'; readonly open: readonly End[]; readonly because: Because }
  | { readonly at: 'over' };

export type BridgeStep = readonly [Bridge, readonly BridgeEffect[]];

export const talking: Bridge = { at: 'talking', changing: undefined };

export function otherEnd(end: End): End {
  return end === 'caller' ? 'callee' : 'caller';
}

export function step(bridge: Bridge, event: BridgeEvent): BridgeStep {
  switch (bridge.at) {
    case 'talking':
      return whileTalking(bridge, event);
    case 'ending':
      return whileEnding(bridge, event);
    case 'over':
      return [bridge, late(event)];
    default:
      return bridge satisfies never;
  }
}

type Talking = Extract<Bridge, { at: 'talking' }>;
type Ending = Extract<Bridge, { at: 'ending' }>;

function whileTalking(bridge: Talking, event: BridgeEvent): BridgeStep {
  const { changing } = bridge;
  switch (event.is) {
    case 'bye': {
      const to = otherEnd(event.from);
      return [
        { at: 'ending', open: [to], because: `${event.from}-hung-up` },
        [
          { do: 'answer-bye', from: event.from },
          ...drop(bridge),
          { do: 'close', side: event.from },
          { do: 'send-bye', to, because: 'other-hung-up' },
        ],
      ];
    }
    case 'reinvite':
      if (changing !== undefined) {
        return [
          bridge,
          [{ do: 'refuse-reinvite', from: event.from, status: changing.from === event.from ? 500 : 491 }],
        ];
      }
      return [
        { at: 'talking', changing: { from: event.from, answered: false } },
        [{ do: 'relay-reinvite', from: event.from }],
      ];
    case 'reinvite-answered':
      if (changing?.from !== event.from) return [bridge, []];
      return [{ at: 'talking', changing: { from: event.from, answered: true } }, []];
    case 'acked':
      return changing?.from === event.from && changing.answered ? [talking, []] : [bridge, []];
    case 'reinvite-failed':
      return changing?.from === event.from ? [talking, []] : [bridge, []];
    case 'lost': {
      const other = otherEnd(event.side);
      // the BYE to a side that is gone frees what the engine keeps of it
      return [
        { at: 'ending', open: [event.side, other], because: `${event.side}-lost` },
        [
          ...drop(bridge),
          { do: 'send-bye', to: event.side, because: 'lost' },
          { do: 'send-bye', to: other, because: 'other-lost' },
        ],
      ];
    }
    case 'ended': {
      const other = otherEnd(event.side);
      return [
        { at: 'ending', open: [other], because: `${event.side}-lost` },
        [...drop(bridge), { do: 'close', side: event.side }, { do: 'send-bye', to: other, because: 'other-lost' }],
      ];
    }
    case 'hang-up':
      return [
        { at: 'ending', open: ['caller', 'callee'], because: 'stopped' },
        [
          ...drop(bridge),
          { do: 'send-bye', to: 'caller', because: 'stopping' },
          { do: 'send-bye', to: 'callee', because: 'stopping' },
        ],
      ];
    case 'bye-over':
      return [bridge, []];
    default:
      return event satisfies never;
  }
}

function whileEnding(bridge: Ending, event: BridgeEvent): BridgeStep {
  switch (event.is) {
    // it crossed ours: both are answered, and ours closes the side
    case 'bye':
    case 'reinvite':
      return [bridge, late(event)];
    case 'ended':
    case 'bye-over': {
      if (!bridge.open.includes(event.side)) return [bridge, []];
      const open = bridge.open.filter((side) => side !== event.side);
      const close: BridgeEffect = { do: 'close', side: event.side };
      if (open.length > 0) return [{ ...bridge, open }, [close]];
      return [{ at: 'over' }, [close, { do: 'over', because: bridge.because }]];
    }
    case 'reinvite-answered':
    case 'acked':
    case 'reinvite-failed':
    case 'lost':
    case 'hang-up':
      return [bridge, []];
    default:
      return event satisfies never;
  }
}

/** Whatever comes when all is said still gets its answer. */
function late(event: BridgeEvent): readonly BridgeEffect[] {
  if (event.is === 'bye') return [{ do: 'answer-bye', from: event.from }];
  if (event.is === 'reinvite') return [{ do: 'refuse-reinvite', from: event.from, status: 481 }];
  return [];
}

function drop(bridge: Talking): readonly BridgeEffect[] {
  return bridge.changing === undefined ? [] : [{ do: 'drop-reinvite', from: bridge.changing.from }];
}
