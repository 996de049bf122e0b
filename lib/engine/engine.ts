/** The shell of the embedded SIP engine: wires transports, transactions, dialogs and the control port, in the caller's thread. */
import type { AppLink } from './control/app-link.ts';
import type { SipFrames } from './control/commands.ts';
import type { MemorySocket } from './control/memory-socket.ts';
import { Routes } from './control/routes.ts';
import { ControlServer } from './control/server.ts';
import { type Counters, zeroCounters } from './counters.ts';
import { Dialogs } from './dialog/dialogs.ts';
import { Locator } from './locating/locator.ts';
import { type EngineOptions, settle, type TlsMaterial, type TransportName } from './options.ts';
import { read } from './reading.ts';
import { RegistrationCache } from './registration-cache.ts';
import { TimerWheel } from './timer-wheel.ts';
import type { Flow, Receiver } from './transport/flow.ts';
import { Transports } from './transport/transports.ts';
import { joinSides } from './sides.ts';
import type { Uac } from './uac.ts';
import type { Uas } from './uas.ts';

/** How long the dialogs of a lost app are kept, so that their requests are not taken for new ones. */
const lostDialogsMs = 10 * 60_000;

export interface ListeningAt {
  readonly transport: TransportName;
  readonly address: string;
  readonly port: number;
}

export interface Engine {
  readonly controlPort: number;
  /** where it really listens, in the order of the options */
  readonly listeners: readonly ListeningAt[];
  /** undefined when apps cannot connect over TLS */
  readonly controlTlsPort: number | undefined;
  /** undefined when apps on other machines cannot connect by a pre-shared key */
  readonly controlRemotePort: number | undefined;
  counters(): Counters;
  /** A new connection to the control protocol from within this thread. */
  connect(): MemorySocket;
  /** From now on what would begin a call or a subscription is refused with 503; everything else goes on. */
  drain(): void;
  /** Calls, subscriptions and requests without a final answer that an app still takes care of. */
  readonly busy: number;
  /** Ends every call: BYE for those that stand, 503 for those that do not. */
  hangUp(): void;
  /** New certificates for connections made from now on. Throws, and goes on with the old, when they cannot be used. */
  useTls(material: TlsMaterial): void;
  /** The same for the TLS port of the apps; certificate chain and private key in PEM. */
  useControlTls(cert: string, key: string): void;
  /** 503 for what no app has answered, and for what comes from now on. */
  refuseWaiting(): void;
  /** Stops at once: no BYE, no answers. */
  close(): Promise<void>;
}

/** Opens every port, SIP last; rejects with transport, address and port of the one that could not be opened. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const settings = settle(options);
  const counters = zeroCounters();
  const wheel = new TimerWheel({
    onFault: () => {
      counters.faults++;
    },
  });
  const dialogs = new Dialogs(counters);
  const registrations = new RegistrationCache(settings.registrationCache);
  const routes = new Routes<AppLink>();
  let uas: Uas | undefined;
  let uac: Uac | undefined;

  const receiver: Receiver = {
    onMessage(text, flow) {
      counters.received++;
      if (text.length > settings.limits.messageBytes) {
        counters.malformed++;
        return;
      }
      take(text, flow);
    },
    onBadFrame(head, flow) {
      counters.received++;
      counters.malformed++;
      if (head === '') return;
      const found = read(head, flow, settings.limits.headers);
      if (found.is === 'refused') uas?.refuse(found, flow);
      else if (found.is === 'request') {
        const { headers, method } = found;
        uas?.refuse({ is: 'refused', status: 400, reason: 'Bad Request', method, headers }, flow);
      }
    },
  };

  function take(text: string, flow: Flow): void {
    const found = read(text, flow, settings.limits.headers);
    switch (found.is) {
      case 'request':
        if (found.headBytes > settings.limits.headBytes) {
          counters.malformed++;
          const { method, headers } = found;
          uas?.refuse({ is: 'refused', status: 513, reason: 'Message Too Large', method, headers }, flow);
          return;
        }
        transports.noteSource(flow);
        uas?.onRequest(found);
        return;
      case 'response':
        uac?.onResponseRead(found);
        return;
      case 'refused':
        counters.malformed++;
        uas?.refuse(found, flow);
        // as the original: who talks nonsense over a connection has to make a new one
        if (found.status === 400) flow.end();
        return;
      case 'unreadable':
        counters.malformed++;
        flow.end();
        return;
      default:
        found satisfies never;
    }
  }

  const transports = await Transports.open(options, settings.limits, receiver, counters);
  const locator = new Locator(
    { transports: transports.outgoing, sourceOf: (transport, address) => transports.sourceOf(transport, address) },
    {
      ...options.dns,
      onFailure: () => {
        counters.dnsFailures++;
      },
    },
  );
  const { uas: serverSide, uac: clientSide } = joinSides({
    settings,
    counters,
    wheel,
    transports,
    locator,
    routes,
    dialogs,
    registrations,
  });
  const frames: SipFrames = {
    onResponse: (app, msgId, txn, message) => serverSide.onResponse(app, msgId, txn, message),
    onCancel: (app, msgId, txn, message) => clientSide.onCancel(app, msgId, txn, message),
    onMove: (app, msgId, txn, nextHop) => clientSide.onMove(app, msgId, txn, nextHop),
    onInDialog: (app, msgId, dialogId, message, nextHop) =>
      clientSide.onInDialog(app, msgId, dialogId, message, nextHop),
    onRequest: (app, msgId, nextHop, message, routed) => clientSide.onRequest(app, msgId, nextHop, message, routed),
    knowsTransaction: (txn) => serverSide.knows(txn),
    onAppGone: (app) => {
      wheel.schedule(lostDialogsMs, { onTimer: () => dialogs.removeOwnedBy(app) }, 'lost');
    },
  };
  let control: ControlServer;
  try {
    control = await ControlServer.open({
      at: options.control,
      limits: settings.limits,
      counters,
      routes,
      hostports: () => ({ told: transports.hostports('told'), bound: transports.hostports('bound') }),
      frames,
    });
  } catch (error) {
    locator.close();
    await transports.close();
    throw error;
  }
  uas = serverSide;
  uac = clientSide;

  return {
    controlPort: control.port,
    controlTlsPort: control.tlsPort,
    controlRemotePort: control.remotePort,
    listeners: transports.listeners.map(({ transport, address, port }) => ({ transport, address, port })),
    counters: () => ({
      ...counters,
      appBacklog: control.backlog,
      guestCalls: dialogs.ofGuests + clientSide.ringingForGuests,
    }),
    connect: () => control.connect(),
    drain: () => serverSide.drain(),
    get busy() {
      return serverSide.waiting + dialogs.owned;
    },
    refuseWaiting: () => {
      serverSide.drain();
      serverSide.giveUp();
    },
    hangUp: () => {
      serverSide.giveUp();
      for (const dialog of dialogs.all()) if (dialog.confirmed) clientSide.own.endDialog(dialog, 'Shutdown');
    },
    useTls: (material) => transports.useTls(material),
    useControlTls: (cert, key) => control.useTls(cert, key),
    close: async () => {
      uas = undefined;
      uac = undefined;
      await Promise.all([control.close(), transports.close()]);
      serverSide.close();
      clientSide.close();
      dialogs.close();
      locator.close();
      wheel.close();
    },
  };
}
