/** What the engine counts. Plain numbers, cheap to raise; `snapshot` is what leaves the engine. */

export interface Counters {
  /** SIP messages read from the network, well formed or not */
  received: number;
  sent: number;
  /** refused with 400, 505 or by closing the connection */
  malformed: number;
  /** dropped without an answer: stray responses and ACKs, noise */
  dropped: number;
  /** copies of requests we have already seen */
  retransmissions: number;
  /** requests refused because too many wait for an app */
  overload: number;
  /** requests in or for a dialog that the engine refused by itself: 481, 491, 500 for their order, 422, 504 without PRACK */
  inDialogRefused: number;
  connectionsRefused: number;
  controlRefused: number;
  serverTransactions: number;
  clientTransactions: number;
  dialogs: number;
  connections: number;
  apps: number;
  /** faults inside the engine that were caught at a socket; must stay 0 */
  faults: number;
}

export function zeroCounters(): Counters {
  return {
    received: 0,
    sent: 0,
    malformed: 0,
    dropped: 0,
    retransmissions: 0,
    overload: 0,
    inDialogRefused: 0,
    connectionsRefused: 0,
    controlRefused: 0,
    serverTransactions: 0,
    clientTransactions: 0,
    dialogs: 0,
    connections: 0,
    apps: 0,
    faults: 0,
  };
}
