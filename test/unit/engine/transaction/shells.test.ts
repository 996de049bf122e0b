/** The machines with their shells, timers and a wire, under every order of answers, copies, lost connections and passing time. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Request, Response } from '../../../../lib/engine/reading.ts';
import { TimerWheel } from '../../../../lib/engine/timer-wheel.ts';
import { type ClientHost, ClientTransaction } from '../../../../lib/engine/transaction/client-transaction.ts';
import { type ServerHost, ServerTransaction } from '../../../../lib/engine/transaction/server-transaction.ts';
import { timerLengths } from '../../../../lib/engine/transaction/timer-lengths.ts';
import type { Flow, FlowWatcher } from '../../../../lib/engine/transport/flow.ts';
import { Headers } from '../../../../lib/sip/headers.ts';

const timers = { t1Ms: 500, t2Ms: 4000, t4Ms: 5000 };
const tickMs = 10;
/** longer than any timer */
const everMs = 64 * timers.t1Ms + 1000;

/** Time moved by hand, a wire that remembers, and everything there is to know about what happened. */
class Stage {
  now = 0;
  #due: (() => void) | undefined;
  readonly faults: unknown[] = [];
  readonly wheel = new TimerWheel({
    tickMs,
    clock: {
      now: () => this.now,
      after: (_ms, fire) => {
        this.#due = fire;
        return () => {
          this.#due = undefined;
        };
      },
    },
    onFault: (fault) => this.faults.push(fault),
  });
  readonly sent: { readonly text: string; readonly at: number }[] = [];
  readonly watchers = new Set<FlowWatcher>();
  forgotten = 0;
  readonly flow: Flow;

  constructor(reliable: boolean) {
    const { sent, watchers } = this;
    const now = (): number => this.now;
    this.flow = {
      listener: {
        transport: reliable ? 'tcp' : 'udp',
        reliable,
        address: '127.0.0.1',
        port: 5060,
        host: '127.0.0.1',
        toldPort: 5060,
        hostTowards: () => '127.0.0.1',
      },
      remoteAddress: '127.0.0.2',
      remotePort: 5060,
      open: true,
      send: (text) => {
        sent.push({ text, at: now() });
        return true;
      },
      end: () => {},
      watch: (watcher) => void watchers.add(watcher),
      unwatch: (watcher) => void watchers.delete(watcher),
    };
  }

  pass(ms: number): void {
    for (const until = this.now + ms; this.now < until; ) {
      this.now += tickMs;
      const fire = this.#due;
      this.#due = undefined;
      fire?.();
    }
  }

  lose(): void {
    for (const watcher of [...this.watchers]) watcher.onFlowLost();
  }

  count(text: string): number {
    return this.sent.filter((each) => each.text === text).length;
  }
}

/** Microtasks stand for timers of 0 ms. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 4; turn++) await Promise.resolve();
};

interface ClientRun {
  readonly stage: Stage;
  readonly transaction: ClientTransaction<undefined>;
  /** the end as the app hears of it: a final status, or why there is none */
  readonly ends: string[];
  readonly cancels: number[];
  provisional: boolean;
  failures: number;
}

type ClientEvent = { readonly answer: number } | { readonly pass: number } | 'cancel' | 'lost';

async function runClient(method: string, reliable: boolean, events: readonly ClientEvent[]): Promise<ClientRun> {
  const stage = new Stage(reliable);
  const run: { -readonly [K in keyof ClientRun]: ClientRun[K] } = {
    stage,
    transaction: undefined as never,
    ends: [],
    cancels: [],
    provisional: false,
    failures: 0,
  };
  const host: ClientHost<undefined> = {
    wheel: stage.wheel,
    timers,
    user: {
      onResponse: (_transaction, { status }) => {
        if (status >= 300 || (status >= 200 && (method !== 'INVITE' || run.ends.length === 0)))
          run.ends.push(String(status));
      },
      onFailed: (_transaction, failure) => run.ends.push(failure),
      ackFor: () => 'ACK',
      onCancelDue: () => run.cancels.push(stage.now),
    },
    forget: () => stage.forgotten++,
  };
  const transaction = new ClientTransaction<undefined>(
    { branch: 'b', method, text: method, flow: stage.flow, sent: undefined },
    host,
  );
  run.transaction = transaction;
  transaction.start();
  let asked = false;
  for (const event of events) {
    if (event === 'lost') stage.lose();
    else if (event === 'cancel') {
      // the shell above asks once
      if (!asked) asked = transaction.cancel();
    } else if ('pass' in event) stage.pass(event.pass);
    else {
      if (event.answer < 200) run.provisional = true;
      if (event.answer >= 300) run.failures++;
      transaction.onResponse({ status: event.answer } as Response);
    }
    await settle();
  }
  return run;
}

const clientEvents = fc.array(
  fc.oneof(
    fc.record({ answer: fc.constantFrom(100, 180, 200, 302, 486, 503, 603) }),
    fc.record({ pass: fc.constantFrom(10, 400, 700, 4000, 20_000, 33_000) }),
    fc.constantFrom('cancel' as const, 'lost' as const),
  ),
  { maxLength: 14 },
);

describe.each([false, true])('client side, reliable transport: %s', (reliable) => {
  const runs = (method: string, check: (run: ClientRun) => void | Promise<void>): Promise<void> =>
    fc.assert(
      fc.asyncProperty(clientEvents, async (events) => {
        const run = await runClient(method, reliable, events);
        await check(run);
        expect(run.stage.faults).toEqual([]);
      }),
      { numRuns: 300 },
    );

  test('[EDGE-TXN-09] an INVITE is acknowledged for each refusal that came in time, and only then', () =>
    runs('INVITE', ({ stage, failures, ends }) => {
      const acks = stage.count('ACK');
      expect(acks).toBeLessThanOrEqual(failures);
      if (acks > 0) expect(ends.every((end) => Number(end) >= 300)).toBe(true);
    }));

  test('[EDGE-TXN-11] one CANCEL at most, and none before a provisional answer', () =>
    runs('INVITE', ({ cancels, provisional }) => {
      expect(cancels.length).toBeLessThanOrEqual(provisional ? 1 : 0);
    }));

  test('[EDGE-WS-06] copies stop with the first answer; over a connection there is none', () =>
    runs('INVITE', ({ stage }) => {
      // at 0, 1, 3, 7, 15, 31 and 63 T1
      expect(stage.sent.filter(({ text }) => text !== 'ACK').length).toBeLessThanOrEqual(reliable ? 1 : 7);
      for (const each of stage.sent.filter(({ text }) => text === 'INVITE'))
        expect(each.at).toBeLessThanOrEqual(64 * timers.t1Ms);
    }));

  test.each(['INVITE', 'MESSAGE'])('%s: one end is told, then nothing is sent and no timer is left', (method) =>
    runs(method, async ({ stage, transaction, ends }) => {
      expect(ends.length).toBeLessThanOrEqual(1);
      stage.pass(everMs);
      await settle();
      stage.pass(everMs);
      await settle();
      // an INVITE that rings has no end but the app's (Timer C is its business); a cancelled one has
      if (stage.forgotten === 0) expect([method, transaction.state]).toEqual(['INVITE', 'proceeding']);
      else {
        expect(stage.forgotten).toBe(1);
        expect(ends).toHaveLength(1);
        const { length } = stage.sent;
        transaction.onResponse({ status: 486 } as Response);
        stage.lose();
        stage.pass(everMs);
        await settle();
        expect(stage.sent).toHaveLength(length);
        expect(ends).toHaveLength(1);
      }
      expect(stage.wheel.size).toBe(0);
      expect(stage.watchers.size).toBe(stage.forgotten === 0 ? 1 : 0);
    }),
  );

  test('other requests are repeated every T1 doubling to T2, 11 times in all, and never after 64 T1', () =>
    runs('MESSAGE', ({ stage }) => {
      expect(stage.sent.length).toBeLessThanOrEqual(reliable ? 1 : 11);
      for (const { at } of stage.sent) expect(at).toBeLessThanOrEqual(64 * timers.t1Ms);
    }));
});

test('a silent peer: copies when the RFC has them, 408 after 64 T1', async () => {
  const times = (run: ClientRun): number[] => run.stage.sent.map(({ at }) => Math.round(at / timers.t1Ms));
  const invite = await runClient('INVITE', false, [{ pass: everMs }]);
  expect(times(invite)).toEqual([0, 1, 3, 7, 15, 31, 63]);
  const message = await runClient('MESSAGE', false, [{ pass: everMs }]);
  expect(times(message)).toEqual([0, 1, 3, 7, 15, 23, 31, 39, 47, 55, 63]);
  expect([invite.ends, message.ends]).toEqual([['timed-out'], ['timed-out']]);
});

// ---- server side ----

type ServerEvent = { readonly answer: number } | { readonly pass: number } | 'copy' | 'ack' | 'abandoned';

interface ServerRun {
  readonly stage: Stage;
  readonly transaction: ServerTransaction;
  readonly kept: string[];
  /** final answers that were taken */
  readonly finals: number[];
  copies: number;
  acknowledged: boolean;
}

function runServer(method: string, reliable: boolean, events: readonly ServerEvent[]): ServerRun {
  const stage = new Stage(reliable);
  const kept: string[] = [];
  const host: ServerHost = {
    wheel: stage.wheel,
    timers,
    forget: () => stage.forgotten++,
    keepAnswer: (_transaction, answer) => kept.push(answer),
    onParkOver: (transaction) => transaction.dispatch('abandoned'),
    onHeldTooLong: (transaction) => transaction.answer(480, '480'),
  };
  const request = {
    is: 'request',
    method,
    headers: Headers.empty(),
    flow: stage.flow,
    via: { transport: 'UDP', host: 'h', port: 5060, branch: 'b' },
    from: '<sip:a@b>;tag=1',
    fromTag: '1',
    to: '<sip:c@d>',
    toTag: '',
    callId: 'c',
    cseq: { number: 1, method },
    text: '',
    headBytes: 0,
    uri: 'sip:c@d',
    parsed: undefined,
  } satisfies Request;
  const transaction = new ServerTransaction(request, 'key', host);
  const run: ServerRun = { stage, transaction, kept, finals: [], copies: 0, acknowledged: false };
  transaction.park(64_000);
  for (const event of events) {
    if (event === 'copy') {
      run.copies++;
      transaction.dispatch('request-again');
    } else if (event === 'ack') {
      if (transaction.state === 'completed') run.acknowledged = true;
      transaction.dispatch('ack');
    } else if (event === 'abandoned') transaction.dispatch('abandoned');
    else if ('pass' in event) stage.pass(event.pass);
    else if (transaction.answer(event.answer, String(event.answer)) && event.answer >= 200)
      run.finals.push(event.answer);
  }
  return run;
}

const serverEvents = fc.array(
  fc.oneof(
    fc.record({ answer: fc.constantFrom(100, 180, 200, 302, 486, 603) }),
    fc.record({ pass: fc.constantFrom(10, 700, 3600, 20_000, 33_000, 65_000) }),
    fc.constantFrom('copy' as const, 'ack' as const, 'abandoned' as const),
  ),
  { maxLength: 14 },
);

describe.each([false, true])('server side, reliable transport: %s', (reliable) => {
  const runs = (method: string, check: (run: ServerRun) => void): void =>
    fc.assert(
      fc.property(serverEvents, (events) => {
        const run = runServer(method, reliable, events);
        check(run);
        expect(run.stage.faults).toEqual([]);
      }),
      { numRuns: 300 },
    );

  test('[EDGE-TXN-04] [EDGE-TXN-05] an INVITE has one refusal, or nothing but 2xx', () =>
    runs('INVITE', ({ finals }) => {
      const refusals = finals.filter((status) => status >= 300);
      expect(refusals.length).toBeLessThanOrEqual(1);
      if (refusals.length > 0) expect(finals).toHaveLength(1);
    }));

  test('[EDGE-TXN-04] [EDGE-TXN-05] the machine repeats refusals only, over UDP only; else only what a copy asks for', () =>
    runs('INVITE', ({ stage, finals, copies }) => {
      for (const status of finals) {
        const times = stage.count(String(status));
        if (status >= 300) expect(times).toBeLessThanOrEqual(1 + copies + (reliable ? 0 : 11));
        // a 2xx only as often as the dialog hands it in
        else expect(times).toBe(finals.filter((each) => each === status).length);
      }
    }));

  test('[EDGE-TXN-04] an acknowledged refusal is never sent again', () =>
    runs('INVITE', ({ stage, transaction, acknowledged }) => {
      if (!acknowledged) return;
      const { length } = stage.sent;
      transaction.dispatch('request-again');
      stage.pass(everMs);
      expect(stage.sent).toHaveLength(length);
    }));

  test('[EDGE-TXN-10] other requests have one final answer, kept for copies over UDP', () =>
    runs('MESSAGE', ({ finals, kept, stage }) => {
      expect(finals.length).toBeLessThanOrEqual(1);
      expect(kept).toEqual(reliable ? [] : finals.map(String));
      for (const status of finals) expect(stage.count(String(status))).toBe(1);
      if (finals.length > 0) expect(stage.forgotten).toBe(1);
    }));

  test.each(['INVITE', 'MESSAGE'])('%s: it ends once, and then is silent without a timer', (method) =>
    runs(method, ({ stage, transaction }) => {
      // a quarter of an hour is the longest an INVITE may ring
      stage.pass(16 * 60_000);
      stage.pass(everMs);
      expect(stage.forgotten).toBe(1);
      const { length } = stage.sent;
      for (const status of [180, 200, 486]) expect(transaction.answer(status, 'late')).toBe(false);
      transaction.dispatch('request-again');
      transaction.dispatch('ack');
      stage.pass(everMs);
      expect(stage.sent).toHaveLength(length);
      expect(stage.wheel.size).toBe(0);
      expect(stage.forgotten).toBe(1);
    }),
  );
});

test('a refusal nobody acknowledges: copies when the RFC has them, given up after 64 T1', () => {
  const { stage } = runServer('INVITE', false, [{ answer: 486 }, { pass: everMs }]);
  const times = stage.sent.map(({ at }) => Math.round(at / timers.t1Ms));
  expect(times).toEqual([0, 1, 3, 7, 15, 23, 31, 39, 47, 55, 63]);
  expect(stage.forgotten).toBe(1);
});

test('[EDGE-NIT-02] [EDGE-NIT-03] a slow app: 100 after 7 T1, once, and its answer still goes out', () => {
  const { stage, transaction } = runServer('MESSAGE', false, [{ pass: 20_000 }]);
  expect(stage.sent.map(({ text, at }) => `${text.slice(0, 11)} ${Math.round(at / timers.t1Ms)}`)).toEqual([
    'SIP/2.0 100 7',
  ]);
  expect(transaction.answer(200, '200')).toBe(true);
  expect(stage.count('200')).toBe(1);
});

test('every timer of the tables has a length, and what repeats messages is never started over a connection', () => {
  for (const [name, { doubles, overConnection }] of Object.entries(timerLengths))
    expect([name, overConnection === 'never']).toEqual([name, doubles !== undefined]);
});
