/** The SIP ports as values: what was answered and sent can be read, and the other side is played by the test. */
import type { Dialog } from '../../lib/ports/dialog.ts';
import type { Leg, LegEvents, LegRequest, Legs } from '../../lib/ports/leg.ts';
import type { Answer, InviteTransaction } from '../../lib/ports/server-transaction.ts';
import type { Flow } from '../../lib/sip/flow.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { request, response, type SipRequest } from '../../lib/sip/message.ts';
import { FakeDialog } from './fake-dialog.ts';

export const pbxFlow: Flow = { transport: 'udp', address: '192.0.2.10', port: 5060, engine: 'e1' };

/** An INVITE from the PBX that remembers how it was answered. */
export class FakeInvite implements InviteTransaction {
  readonly request: SipRequest;
  readonly early = new FakeDialog('early');
  readonly flow = pbxFlow;
  readonly receivedOn = '192.0.2.1:5060';
  readonly answers: Answer[] = [];
  #cancel: ((cancel: SipRequest) => void) | undefined;
  #cancelled = false;

  constructor(uri = 'sip:1001@192.0.2.1', callId = 'call-1', body = 'v=0\r\n') {
    this.request = request(
      'INVITE',
      uri,
      Headers.of([
        ['From', '<sip:bob@example.com>;tag=b'],
        ['To', `<${uri}>`],
        ['Call-ID', callId],
        ['CSeq', '1 INVITE'],
        ['Max-Forwards', '70'],
        ['Content-Type', 'application/sdp'],
      ]),
      body,
    );
  }

  get finals(): readonly number[] {
    return this.answers.map(({ status }) => status).filter((status) => status >= 200);
  }

  respond(answer: Answer): Promise<'sent' | 'gone'> {
    if (this.#cancelled || this.finals.length > 0) return Promise.resolve('gone');
    this.answers.push(answer);
    return Promise.resolve('sent');
  }

  async accept(answer: Answer): Promise<Dialog | undefined> {
    return (await this.respond(answer)) === 'sent' ? new FakeDialog('caller') : undefined;
  }

  onCancel(listener: (cancel: SipRequest) => void): void {
    this.#cancel = listener;
    if (this.#cancelled) this.cancel();
  }

  /** The caller gives up: from now on nothing can be answered. */
  cancel(): void {
    this.#cancelled = true;
    const listener = this.#cancel;
    this.#cancel = undefined;
    listener?.(request('CANCEL', this.request.uri, Headers.empty()));
  }
}

export class FakeLeg implements Leg {
  readonly callId = undefined;
  readonly request: LegRequest;
  readonly events: LegEvents;
  readonly dialog = new FakeDialog('callee');
  cancelled = 0;
  /** next hops it was told of */
  readonly moves: string[] = [];
  acks = 0;

  constructor(asked: LegRequest, events: LegEvents) {
    this.request = asked;
    this.events = events;
  }

  cancel(): void {
    this.cancelled++;
  }

  move(nextHop: string): void {
    this.moves.push(nextHop);
  }

  ring(): void {
    this.events.progress(response(180, 'Ringing', Headers.empty()), false, undefined);
  }

  answer(): void {
    this.events.answered(response(200, 'OK', Headers.empty(), 'v=0\r\n'), this.dialog, () => this.acks++);
  }

  fail(status: number, local = false): void {
    this.events.failed(response(status, 'No', Headers.empty()), local);
  }
}

export class FakeLegs implements Legs {
  readonly started: FakeLeg[] = [];
  start(asked: LegRequest, events: LegEvents): Leg {
    const leg = new FakeLeg(asked, events);
    this.started.push(leg);
    return leg;
  }
}
