/** What the engine counts. Plain numbers, cheap to raise; `snapshot` is what leaves the engine. */

export interface Counters {
  /** SIP messages read from the network, well formed or not */
  received: number;
  sent: number;
  /** refused with 400, 505, 513 or by closing the connection */
  malformed: number;
  /** dropped without an answer: stray responses and ACKs, noise */
  dropped: number;
  /** copies of requests we have already seen */
  retransmissions: number;
  /** requests refused because too many wait for an app */
  overload: number;
  /** requests in or for a dialog that the engine refused by itself: 481, 491, 500 for their order, 422, 504 without PRACK */
  inDialogRefused: number;
  /** above the limit of all connections, or out of descriptors */
  connectionsRefused: number;
  /** above the limit of one remote address */
  addressLimitRefused: number;
  /** TLS handshakes that broke: junk, no common version, plain text; and WebSocket handshakes that were no HTTP */
  handshakesFailed: number;
  /** closed because the handshake took too long */
  handshakesLate: number;
  /** WebSocket handshakes without subprotocol `sip`, of a foreign Origin, without the cookie; and plain HTTP requests */
  upgradesRefused: number;
  /** closed because a message took too long to arrive */
  slowClosed: number;
  /** closed because nothing came for too long, or pings stayed without an answer */
  idleClosed: number;
  /** closed because the peer did not read what it was sent */
  backlogClosed: number;
  /** peers we connected to whose certificate was not good */
  certificatesRefused: number;
  /** connections and frames refused at the control port, wrong secrets among them */
  controlRefused: number;
  wrongSecrets: number;
  /** times an app did not read what it was given, so that others got the new requests */
  appsBehind: number;
  /** apps cut off because they stayed behind, or sent half a frame */
  appsClosed: number;
  serverTransactions: number;
  clientTransactions: number;
  dialogs: number;
  connections: number;
  apps: number;
  /** questions no DNS server answered */
  dnsFailures: number;
  /** requests that went to the next server after one failed */
  failovers: number;
  /** large requests tried over TCP instead of UDP, and those that came back to UDP */
  tcpForSize: number;
  tcpFallbacks: number;
  /** octets that apps have not read yet; set when it is asked for */
  appBacklog: number;
  /** calls and subscriptions that apps of other nodes have over our flows, also those that only ring; set when it is asked for */
  guestCalls: number;
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
    addressLimitRefused: 0,
    handshakesFailed: 0,
    handshakesLate: 0,
    upgradesRefused: 0,
    slowClosed: 0,
    idleClosed: 0,
    backlogClosed: 0,
    certificatesRefused: 0,
    controlRefused: 0,
    wrongSecrets: 0,
    appsBehind: 0,
    appsClosed: 0,
    serverTransactions: 0,
    clientTransactions: 0,
    dialogs: 0,
    connections: 0,
    apps: 0,
    dnsFailures: 0,
    failovers: 0,
    tcpForSize: 0,
    tcpFallbacks: 0,
    appBacklog: 0,
    guestCalls: 0,
    faults: 0,
  };
}
