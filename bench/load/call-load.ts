/**
 * Calls through a bridge: a caller and the callee it leads to, over UDP, so many calls at once, each answered at once and hung up by
 * the caller as soon as it stands. Counts whole calls.
 */
import { performance } from 'node:perf_hooks';
import { Samples, type Spread } from '../figures.ts';
import { answer, branchOf, field, methodOf, sdp, statusOf, uriIn } from './sip-text.ts';
import { openWire, type HostPort, type Wire } from './wire.ts';

export interface CallPlan {
  readonly server: HostPort;
  readonly callerHost: string;
  /** where the bridge sends the INVITE */
  readonly callee: HostPort;
  readonly inFlight: number;
  readonly seconds: number;
}

export interface CallFigures {
  /** whole calls a second: INVITE to the answer to the BYE */
  readonly rate: number;
  readonly completed: number;
  /** answered otherwise */
  readonly failed: number;
  readonly retransmissions: number;
  /** no progress for 8 s */
  readonly lost: number;
  /** INVITE to 200, ms */
  readonly answeredMs: Spread | null;
}

interface Call {
  readonly id: string;
  readonly startedAt: number;
  sentAt: number;
  interval: number;
  /** repeated until it is answered */
  text: string;
  acked: boolean;
}

const giveUpMs = 8000;

export class CallLoad {
  readonly #plan: CallPlan;
  readonly #calls = new Map<string, Call>();
  #caller!: Wire;
  #callee!: Wire;
  #serial = 0;
  #running = true;
  #sweeper: NodeJS.Timeout | undefined;
  #answered = new Samples();
  #counts = { completed: 0, failed: 0, retransmissions: 0, lost: 0 };

  private constructor(plan: CallPlan) {
    this.#plan = plan;
  }

  static async open(plan: CallPlan): Promise<CallLoad> {
    const load = new CallLoad(plan);
    load.#caller = await openWire('udp', plan.callerHost, plan.server, (text) => load.#atCaller(text));
    load.#callee = await openWire(
      'udp',
      plan.callee.host,
      plan.server,
      (text, wire) => atCallee(text, wire),
      plan.callee.port,
    );
    load.#sweeper = setInterval(() => load.#sweep(), 100);
    return load;
  }

  async run(warmUpSeconds: number, onWindow: (at: 'begin' | 'end') => void): Promise<CallFigures> {
    for (let n = 0; n < this.#plan.inFlight; n++) this.#start();
    await timeout(warmUpSeconds * 1000);
    this.#answered = new Samples();
    this.#counts = { completed: 0, failed: 0, retransmissions: 0, lost: 0 };
    onWindow('begin');
    const from = performance.now();
    await timeout(this.#plan.seconds * 1000);
    const seconds = (performance.now() - from) / 1000;
    onWindow('end');
    const figures = {
      ...this.#counts,
      rate: Math.round(this.#counts.completed / seconds),
      answeredMs: this.#answered.spread(),
    };
    this.#running = false;
    return figures;
  }

  close(): void {
    clearInterval(this.#sweeper);
    this.#caller.close();
    this.#callee.close();
  }

  #start(): void {
    if (!this.#running) return;
    const id = `c${++this.#serial}`;
    const { local } = this.#caller;
    const text = this.#request(
      id,
      'INVITE',
      1,
      'sip:bob@bench.test',
      '<sip:bob@bench.test>',
      `Contact: <sip:alice@${local}>\r\nContent-Type: application/sdp\r\n`,
      sdp,
    );
    const now = performance.now();
    this.#calls.set(id, { id, startedAt: now, sentAt: now, interval: 500, text, acked: false });
    this.#caller.send(text);
  }

  #request(id: string, method: string, cseq: number, uri: string, to: string, lines = '', body = ''): string {
    const { via, local } = this.#caller;
    return `${method} ${uri} SIP/2.0\r\nVia: ${via};rport;branch=z9hG4bK${id}.${method}\r\nMax-Forwards: 70\r\nFrom: <sip:alice@${local}>;tag=${id}\r\nTo: ${to}\r\nCall-ID: ${id}@caller\r\nCSeq: ${cseq} ${method}\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`;
  }

  #atCaller(text: string): void {
    const status = statusOf(text);
    if (status === 0) {
      this.#caller.send(answer(text, '200 OK', '', ''));
      return;
    }
    const [id = '', method] = branchOf(text).split('.');
    const call = this.#calls.get(id);
    if (call === undefined) return;
    if (status < 200) {
      call.interval = giveUpMs;
      return;
    }
    if (method === 'BYE') {
      this.#counts.completed += 1;
      this.#end(call);
    } else if (status < 300) this.#onAnswered(call, text);
    else {
      this.#caller.send(
        this.#request(id, 'ACK', 1, 'sip:bob@bench.test', field(text, 'To')).replace('.ACK', '.INVITE'),
      );
      this.#counts.failed += 1;
      this.#end(call);
    }
  }

  #onAnswered(call: Call, ok: string): void {
    const target = uriIn(field(ok, 'Contact'));
    const to = field(ok, 'To');
    this.#caller.send(this.#request(call.id, 'ACK', 1, target, to));
    if (call.acked) return;
    call.acked = true;
    this.#answered.add(performance.now() - call.startedAt);
    call.text = this.#request(call.id, 'BYE', 2, target, to);
    call.sentAt = performance.now();
    call.interval = 500;
    this.#caller.send(call.text);
  }

  #end(call: Call): void {
    this.#calls.delete(call.id);
    this.#start();
  }

  #sweep(): void {
    const now = performance.now();
    for (const call of this.#calls.values()) {
      if (now - call.startedAt > giveUpMs) {
        this.#counts.lost += 1;
        this.#end(call);
      } else if (now - call.sentAt > call.interval) {
        call.sentAt = now;
        call.interval *= 2;
        this.#counts.retransmissions += 1;
        this.#caller.send(call.text);
      }
    }
  }
}

/** Answers everything at once. */
function atCallee(text: string, wire: Wire): void {
  const method = methodOf(text);
  if (statusOf(text) !== 0 || method === 'ACK') return;
  if (method === 'INVITE')
    wire.send(
      answer(text, '200 OK', 'callee', `Contact: <sip:bob@${wire.local}>\r\nContent-Type: application/sdp\r\n`, sdp),
    );
  else wire.send(answer(text, '200 OK', '', ''));
}

function timeout(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
