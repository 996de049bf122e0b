/** What the UAS and UAC sides of one engine share. Built once by the engine; no decisions are made here. */
import type { Headers } from '../sip/headers.ts';
import type { AppLink, Peer } from './control/app-link.ts';
import type { Routes } from './control/routes.ts';
import type { Counters } from './counters.ts';
import type { Dialog } from './dialog/dialog.ts';
import type { Dialogs } from './dialog/dialogs.ts';
import type { Settings } from './options.ts';
import type { RegistrationCache } from './registration-cache.ts';
import type { TimerWheel } from './timer-wheel.ts';
import { defaultPort, type Flow, type Listener, protocolToken, uriTransport } from './transport/flow.ts';
import type { Transports } from './transport/transports.ts';

export interface Core {
  readonly settings: Settings;
  readonly counters: Counters;
  readonly wheel: TimerWheel;
  readonly transports: Transports;
  readonly routes: Routes<AppLink>;
  readonly dialogs: Dialogs;
  readonly registrations: RegistrationCache;
  /** A subscription was granted for so many seconds. */
  keepSubscription(dialog: Dialog, seconds: number): void;
  /** A 2xx to an INVITE or UPDATE of this dialog; `peer` is the side the other end was on in this exchange. */
  agreeSession(dialog: Dialog, answer: Headers, peer: 'uac' | 'uas'): void;
  /** Ends a dialog with a BYE of the engine's own and tells the app (`unsolicited`). */
  endDialog(dialog: Dialog, reason: string): void;
}

/** Contact the engine puts in for itself. */
export function ownContact(listener: Listener): string {
  const { transport, host, toldPort } = listener;
  return `<sip:${host}:${toldPort}${transport === 'udp' ? '' : `;transport=${uriTransport(transport)}`}>`;
}

/** Via value for a request sent over this listener. The default port is left out; rport is asked for on UDP. */
export function ownVia(listener: Listener, branch: string): string {
  const { transport, host, toldPort } = listener;
  const port = toldPort === defaultPort(transport) ? '' : `:${toldPort}`;
  return `SIP/2.0/${transport.toUpperCase()} ${host}${port}${transport === 'udp' ? ';rport' : ''};branch=${branch}`;
}

/** Where a message came from, as a meta line names it. */
export function peerOf(flow: Flow): Peer {
  return {
    protocol: protocolToken(flow.listener.transport),
    address: flow.remoteAddress,
    port: flow.remotePort,
  };
}

/** Peer named in the meta line of a request the engine sent: our own address on UDP, the peer's on a connection. */
export function sentPeer(flow: Flow): Peer {
  const { listener } = flow;
  return listener.transport === 'udp'
    ? { protocol: 'udp', address: listener.host, port: listener.toldPort }
    : peerOf(flow);
}
