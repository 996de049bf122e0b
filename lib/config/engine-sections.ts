/** Keys about the SIP engine that the edge, with the engine inside, and the engine as a process of its own have in common. */
import { z } from 'zod';
import { fallback } from './keys.ts';
import { integer } from './kinds.ts';
import { mistake } from './mistake.ts';
import type { Camel } from './tree.ts';

const mebi = 1_048_576;

export const limitsSection = z.strictObject({
  connect_ms: fallback(integer(100, 60_000, 'milliseconds'), 4000, {
    doc: 'Longest a connection to a SIP peer may take to stand.',
  }),
  peer_backlog_octets: fallback(integer(65_536, 1024 * mebi, 'octets'), mebi, {
    doc: 'Octets a SIP peer has not read before its connection is closed.',
  }),
  waiting_requests: fallback(integer(1, 10_000_000), 100_000, {
    doc: 'Requests that wait for an answer of the edge; one more gets 503.',
  }),
  transactions: fallback(integer(1, 10_000_000), 200_000, {
    doc: 'Requests of any age the engine answers for, and as many of its own; one more gets 503.',
  }),
  transaction_octets: fallback(integer(mebi, 65_536 * mebi, 'octets'), 256 * mebi, {
    doc: 'Octets of all these requests; above it new ones get 503.',
  }),
  answer_octets: fallback(integer(mebi, 65_536 * mebi, 'octets'), 256 * mebi, {
    doc: 'Octets of answers kept for copies of their requests.',
  }),
});

export const timersSection = z
  .strictObject({
    t1_ms: fallback(integer(50, 5000, 'milliseconds'), 500, { doc: 'T1 of RFC 3261, the round trip estimate.' }),
    t2_ms: fallback(integer(500, 60_000, 'milliseconds'), 4000, {
      doc: 'T2: longest pause between two copies of a request that is no INVITE, or of a 2xx.',
    }),
    t4_ms: fallback(integer(500, 60_000, 'milliseconds'), 5000, {
      doc: 'T4: how long a message can stay in the network.',
    }),
  })
  .check((context) => {
    const { t1_ms: t1, t2_ms: t2 } = context.value;
    if (t1 > t2) mistake(context, ['t1_ms'], `no more than t2_ms (${t2})`, `${t1}`);
  });

export interface EngineSections {
  readonly limits: Camel<z.output<typeof limitsSection>>;
  readonly timers: Camel<z.output<typeof timersSection>>;
}

/** As lib/engine/options.ts names them. */
export function engineLimits(limits: EngineSections['limits']) {
  return {
    connectMs: limits.connectMs,
    peerBacklogBytes: limits.peerBacklogOctets,
    parked: limits.waitingRequests,
    transactions: limits.transactions,
    transactionBytes: limits.transactionOctets,
    answerBytes: limits.answerOctets,
  };
}

/** As lib/engine/options.ts names them. */
export function engineTimers({ t1Ms, t2Ms, t4Ms }: EngineSections['timers']) {
  return { t1Ms, t2Ms, t4Ms };
}
