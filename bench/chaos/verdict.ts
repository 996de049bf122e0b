/**
 * Whether a call ended as it must: with exactly one end that is good, or that a fault in force at that moment explains; rung once by
 * each of its INVITEs; and no phone left ringing or talking alone. Pure: what was seen and which faults there were, nothing else.
 */
import type { Fault } from './fault.ts';
import type { Attempt, Call, Leg } from './ledger.ts';
import { explaining, type Scene } from './rules.ts';

export interface Verdict {
  /** answered, cut (answered, but not hung up on both sides), a status, no-answer (of any node), no-final, open */
  readonly end: string;
  /** ids of the faults that explain it; empty for a call that needs no explanation */
  readonly because: readonly number[];
  /** what is wrong with it; empty: nothing */
  readonly wrong: readonly string[];
}

/** `mayFail`: an end that a fault explains is good enough; else every call has to be answered. */
export function judge(call: Call, faults: readonly Fault[], mayFail = true): Verdict {
  const end = endOf(call);
  const because = new Set<number>();
  const wrong: string[] = [];
  const account = (scenes: readonly Scene[], otherwise: string): void => {
    for (const scene of scenes) {
      const found = explaining(scene, faults);
      for (const { id } of found) because.add(id);
      if (found.length === 0 && !wrong.includes(otherwise)) wrong.push(otherwise);
    }
  };
  if (end === 'open') wrong.push('no end');
  else if (end !== 'answered' && !mayFail) wrong.push(`${end} in a rolling restart`);
  else if (end !== 'answered') account(scenesOf(call, end), `unexplained ${end}`);
  for (const attempt of call.attempts) {
    const legs = call.legs.filter((leg) => leg.attempt === attempt.id);
    for (const [n, leg] of legs.entries()) {
      const first = legs[n - 1];
      // the phone was rung anew because the first one had lost its way
      if (first !== undefined)
        account([{ ...about(call, attempt), is: 'second', leg: first, until: leg.at }], 'two INVITEs at one phone');
    }
    for (const leg of legs)
      if (!wasTold(leg, call, attempt))
        account([{ ...about(call, attempt), is: 'leg', leg }], 'phone not told of the end');
  }
  return { end, because: [...because].sort((a, b) => a - b), wrong };
}

export function endOf(call: Call): string {
  if (Number.isNaN(call.overAt)) return 'open';
  const answered = call.attempts.find(({ status, abandoned }) => status >= 200 && status < 300 && abandoned === '');
  if (answered !== undefined) return wholeTalk(call, answered) ? 'answered' : 'cut';
  const last = call.attempts.at(-1);
  if (last === undefined) return 'open';
  return last.abandoned === '' ? String(last.status) : last.abandoned;
}

/** Hung up, and both sides know. */
function wholeTalk(call: Call, attempt: Attempt): boolean {
  const atPbx = attempt.bye === 'received' || attempt.bye === 'confirmed';
  const atPhone = call.legs.some(
    ({ attempt: id, ackedAt, end }) =>
      id === attempt.id && !Number.isNaN(ackedAt) && (end === 'bye-received' || end === 'bye-confirmed'),
  );
  return atPbx && atPhone;
}

function about(call: Call, attempt: Attempt): Omit<Extract<Scene, { is: 'attempt' }>, 'is'> {
  return { call, attempt };
}

/** What has to be explained, each by itself. */
function scenesOf(call: Call, end: string): readonly Scene[] {
  const last = call.attempts.at(-1);
  if (last === undefined) return [];
  if (end === 'cut')
    return call.attempts.filter(({ status }) => status === 200).map((one) => ({ ...about(call, one), is: 'cut' }));
  // one node alone would not have ended it
  return call.attempts.map((one) => ({ ...about(call, one), is: 'attempt' }));
}

/** Ended by a word from the edge, or by the phone's own BYE that the edge took. */
function wasTold(leg: Leg, call: Call, attempt: Attempt): boolean {
  if (leg.end === 'cancelled' || leg.end === 'bye-received') return true;
  if (leg.end !== 'bye-confirmed') return false;
  // the PBX hangs up even calls: the phone that had to do it itself had talked to nobody
  return call.n % 2 === 1 || attempt.bye === 'received';
}
