/** Both sides of the engine without sockets, on a clock that is moved by hand: one peer, one app, everything they were sent. */
import { Dialogs } from '../../lib/engine/dialog/dialogs.ts';
import { zeroCounters } from '../../lib/engine/counters.ts';
import type { AppLink } from '../../lib/engine/control/app-link.ts';
import { Routes } from '../../lib/engine/control/routes.ts';
import type { Locator } from '../../lib/engine/locating/locator.ts';
import { settle } from '../../lib/engine/options.ts';
import { read } from '../../lib/engine/reading.ts';
import { RegistrationCache } from '../../lib/engine/registration-cache.ts';
import { joinSides } from '../../lib/engine/sides.ts';
import { TimerWheel } from '../../lib/engine/timer-wheel.ts';
import type { Flow, Listener } from '../../lib/engine/transport/flow.ts';
import type { Target, Transports } from '../../lib/engine/transport/transports.ts';
import { headerOf } from './text-peer.ts';

/** What the app was told: `told` are messages, `ok` and `no` answers to its frames. */
export interface Told {
  readonly is: 'told' | 'ok' | 'no' | 'unsolicited';
  readonly text: string;
  readonly txn: string;
  readonly dialogId: string;
}

export class EngineSides {
  readonly counters = zeroCounters();
  readonly dialogs = new Dialogs(this.counters);
  /** on the wire to the peer, in order */
  readonly sent: string[] = [];
  readonly told: Told[] = [];
  /** next hops asked of the transport, in order */
  readonly hops: string[] = [];
  readonly app = {
    open: true,
    keepsUp: true,
    ok: () => {},
    notOk: (_to: string, text: string) => this.#tell('no', text, '', ''),
    requestSent: (_to: string, text: string, _bytes: number, _peer: unknown, txn: string) =>
      this.#tell('ok', text, txn, ''),
    responseSent: (_to: string, text: string, _peer: unknown, txn: string, dialogId: string) =>
      this.#tell('ok', text, txn, dialogId),
    newRequest: (text: string, _peer: unknown, txn: string) => this.#tell('told', text, txn, ''),
    received: (text: string, _bytes: number, _peer: unknown, txn: string, dialogId: string) =>
      this.#tell('told', text, txn, dialogId),
    unsolicited: (text: string, _peer: unknown, dialogId: string) => this.#tell('unsolicited', text, '', dialogId),
  } as unknown as AppLink;
  readonly flow: Flow;
  readonly uas;
  readonly uac;
  readonly #wheel: TimerWheel;
  #now = 0;
  #due: { readonly at: number; readonly fire: () => void } | undefined;

  /** `faults` of the wheel are thrown. */
  constructor(reliable = false) {
    const listener: Listener = {
      transport: reliable ? 'tcp' : 'udp',
      reliable,
      address: '127.0.0.1',
      port: 5060,
      host: '127.0.0.1',
      toldPort: 5060,
      hostTowards: () => '127.0.0.1',
    };
    this.flow = {
      listener,
      remoteAddress: '192.0.2.1',
      remotePort: 5060,
      open: true,
      send: (text) => {
        this.sent.push(text);
        return true;
      },
      end: () => {},
      watch: () => {},
      unwatch: () => {},
    };
    this.#wheel = new TimerWheel({
      clock: {
        now: () => this.#now,
        after: (ms, fire) => {
          const due = { at: this.#now + ms, fire };
          this.#due = due;
          return () => {
            if (this.#due === due) this.#due = undefined;
          };
        },
      },
      onFault: (fault) => {
        throw fault;
      },
    });
    const routes = new Routes<AppLink>();
    for (const method of ['INVITE', 'SUBSCRIBE', 'NOTIFY']) routes.add(method, this.app);
    const transports = {
      listeners: [listener],
      defaultTransport: listener.transport,
      isOwn: () => false,
      flowTo: ({ address, port }: Target) => {
        this.hops.push(`${address}:${port}`);
        return this.flow;
      },
      listenerFor: () => listener,
      noteSource: () => {},
      tcpInstead: () => undefined,
      connectionBeside: () => undefined,
    } as unknown as Transports;
    const settings = settle({
      listen: [],
      control: { port: 0, secret: '' },
      timers: { t1Ms: 50, t2Ms: 400, t4Ms: 500 },
      sessionSecondMs: 10,
    });
    const sides = joinSides({
      settings,
      counters: this.counters,
      wheel: this.#wheel,
      transports,
      locator: {} as Locator,
      routes,
      dialogs: this.dialogs,
      registrations: new RegistrationCache(false),
    });
    this.uas = sides.uas;
    this.uac = sides.uac;
  }

  /** The peer sends this. */
  receive(text: string): void {
    const found = read(text, this.flow, 256);
    if (found.is === 'request') this.uas.onRequest(found);
    else if (found.is === 'response') this.uac.onResponseRead(found);
    else throw new Error(`${found.is}: ${text}`);
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    while (this.#due !== undefined && this.#due.at <= end) {
      const due = this.#due;
      this.#due = undefined;
      this.#now = due.at;
      due.fire();
    }
    this.#now = end;
  }

  /** Timers that still run. */
  get timers(): number {
    return this.#wheel.size;
  }

  /** Answer of the peer to a request of ours. */
  answer(request: string, status: string, tag: string, extra = ''): void {
    const to = headerOf(request, 'To');
    this.receive(
      `SIP/2.0 ${status}\r\nVia: ${headerOf(request, 'Via')}\r\nFrom: ${headerOf(request, 'From')}\r\n` +
        `To: ${tag === '' || to.includes(';tag=') ? to : `${to};tag=${tag}`}\r\nCall-ID: ${headerOf(request, 'Call-ID')}\r\n` +
        `CSeq: ${headerOf(request, 'CSeq')}\r\nContact: <sip:${tag}@192.0.2.1>\r\n${extra}Content-Length: 0\r\n\r\n`,
    );
  }

  #tell(is: Told['is'], text: string, txn: string, dialogId: string): void {
    this.told.push({ is, text, txn, dialogId });
  }
}
