/**
 * What became of every call, as seen on the wire from both ends. It is told, with the time of each thing; it has no clock and opens
 * nothing. Times are ms since the run began; NaN: it has not happened.
 */

/** One INVITE of the PBX to one node. A call that is tried at another node is another attempt of the same call. */
export interface Attempt {
  readonly id: string;
  readonly node: number;
  readonly at: number;
  provisionalAt: number;
  /** final status; 0: none */
  status: number;
  /** value of Reason in the final response */
  reason: string;
  finalAt: number;
  /** the PBX did not wait any longer: it got nothing at all (`no-answer`), or no final response (`no-final`) */
  abandoned: '' | 'no-answer' | 'no-final';
  abandonedAt: number;
  /** of a call that was answered, as the PBX saw it */
  bye: '' | 'received' | 'confirmed' | 'refused' | 'lost';
  byeStatus: number;
  byeAt: number;
}

/** A REGISTER of the phone, told when it has an answer or was given up. */
export interface Registering {
  readonly node: number;
  readonly at: number;
  /** 0: no answer */
  readonly status: number;
}

/** An INVITE at the phone, one for each branch. */
export interface Leg {
  readonly attempt: string;
  readonly branch: string;
  readonly node: number;
  readonly at: number;
  answeredAt: number;
  ackedAt: number;
  end: '' | 'cancelled' | 'bye-received' | 'bye-confirmed' | 'bye-refused' | 'bye-lost' | 'never-acked';
  endedAt: number;
}

export interface Call {
  readonly n: number;
  readonly phone: number;
  readonly transport: 'udp' | 'tcp';
  readonly push: number;
  readonly at: number;
  readonly attempts: Attempt[];
  /** when a push for the phone was accepted by the push service */
  readonly pushes: number[];
  readonly registers: Registering[];
  readonly legs: Leg[];
  /** the PBX is done with it */
  overAt: number;
}

export class Ledger {
  readonly calls: Call[] = [];
  readonly #attempts = new Map<string, { readonly call: Call; readonly attempt: Attempt }>();
  readonly #latest = new Map<number, Call>();
  /** INVITEs at phones that belong to no call of ours */
  strangers = 0;

  begin(facts: Pick<Call, 'n' | 'phone' | 'transport' | 'push' | 'at'>): Call {
    const call: Call = { ...facts, attempts: [], pushes: [], registers: [], legs: [], overAt: Number.NaN };
    this.calls.push(call);
    this.#latest.set(call.phone, call);
    return call;
  }

  attempt(call: Call, node: number, at: number): Attempt {
    const attempt: Attempt = {
      id: `${call.n}.${call.attempts.length + 1}`,
      node,
      at,
      provisionalAt: Number.NaN,
      status: 0,
      reason: '',
      finalAt: Number.NaN,
      abandoned: '',
      abandonedAt: Number.NaN,
      bye: '',
      byeStatus: 0,
      byeAt: Number.NaN,
    };
    call.attempts.push(attempt);
    this.#attempts.set(attempt.id, { call, attempt });
    return attempt;
  }

  pushed(phone: number, at: number): void {
    this.#latest.get(phone)?.pushes.push(at);
  }

  registered(phone: number, registering: Registering): void {
    this.#latest.get(phone)?.registers.push(registering);
  }

  /** Undefined: the INVITE is none of ours. */
  invited(facts: Pick<Leg, 'attempt' | 'branch' | 'node' | 'at'>): Leg | undefined {
    const found = this.#attempts.get(facts.attempt);
    if (found === undefined) {
      this.strangers += 1;
      return undefined;
    }
    const leg: Leg = { ...facts, answeredAt: Number.NaN, ackedAt: Number.NaN, end: '', endedAt: Number.NaN };
    found.call.legs.push(leg);
    return leg;
  }
}
