/** What the UAS and UAC sides of one engine share. Built once by the engine; no decisions are made here. */
import type { Headers } from '../sip/headers.ts';
import type { AppLink, Peer } from './control/app-link.ts';
import type { Routes } from './control/routes.ts';
import type { Counters } from './counters.ts';
import type { Dialog } from './dialog/dialog.ts';
import type { Dialogs } from './dialog/dialogs.ts';
import type { Locator } from './locating/locator.ts';
import type { Settings } from './options.ts';
import type { RegistrationCache } from './registration-cache.ts';
import type { TimerWheel } from './timer-wheel.ts';
import { defaultPort, type Flow, protocolToken, uriTransport } from './transport/flow.ts';
import type { Transports } from './transport/transports.ts';

export interface Core {
  readonly settings: Settings;
  readonly counters: Counters;
  readonly wheel: TimerWheel;
  readonly transports: Transports;
  readonly locator: Locator;
  readonly routes: Routes<AppLink>;
  readonly dialogs: Dialogs;
  readonly registrations: RegistrationCache;
  /** A subscription was granted for so many seconds. */
  keepSubscription(dialog: Dialog, seconds: number): void;
  /** A 2xx to an INVITE or UPDATE of this dialog; `we`: the side we were on in this exchange. */
  agreeSession(dialog: Dialog, answer: Headers, we: 'uac' | 'uas'): void;
  /** Refuses the peer's INVITE of this dialog, if one waits, with 487: the dialog ends. */
  endInvite(dialog: Dialog): void;
  /** Ends a dialog with a BYE of the engine's own and tells the app (`unsolicited`). */
  endDialog(dialog: Dialog, reason: string): void;
}

/** The end of a flow that is ours, and whom it leads to; '' when there is nobody yet. */
type Ends = Pick<Flow, 'listener' | 'remoteAddress'>;

/** Contact the engine puts in for itself. */
export function ownContact(ends: Ends): string {
  const { transport } = ends.listener;
  return `<sip:${ownHostPort(ends)}${transport === 'udp' ? '' : `;transport=${uriTransport(transport)}`}>`;
}

/** `host:port` by which the peer reaches us. */
export function ownHostPort({ listener, remoteAddress }: Ends): string {
  return `${listener.hostTowards(remoteAddress)}:${listener.toldPort}`;
}

/** Via value for a request sent over this flow. The default port is left out; rport is asked for on UDP. */
export function ownVia({ listener, remoteAddress }: Ends, branch: string): string {
  const { transport, toldPort } = listener;
  const host = listener.hostTowards(remoteAddress);
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
    ? { protocol: 'udp', address: listener.hostTowards(flow.remoteAddress), port: listener.toldPort }
    : peerOf(flow);
}
