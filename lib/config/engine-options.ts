/** The section `sip` in the words of the embedded engine: what an app that starts it passes on. */
import type { TlsTexts } from './certificates.ts';
import type { SipConfig } from './load.ts';

/** Fits EngineOptions. */
export function engineOptions(sip: SipConfig) {
  const { listen, externalAddress, dnsServers, tcpAboveBytes, tls, websocket, limits } = sip;
  const [name = '', ...value] = websocket.cookie?.reveal().split('=') ?? [];
  return {
    listen,
    ...(externalAddress === undefined ? {} : { externalAddress }),
    dns: { servers: dnsServers },
    tcpAboveBytes,
    tls: tlsMaterial(tls.texts, tls.minVersion),
    webSocket: {
      ...(websocket.origins === undefined ? {} : { origins: websocket.origins }),
      ...(websocket.cookie === undefined ? {} : { cookie: { name, value: value.join('=') } }),
      pingMs: websocket.pingSeconds * 1000,
    },
    limits: {
      messageBytes: limits.messageBytes,
      headers: limits.headers,
      connections: limits.connections,
      connectionsPerAddress: limits.connectionsPerAddress,
      handshakeMs: limits.handshakeSeconds * 1000,
      halfMessageMs: limits.messageSeconds * 1000,
      idleMs: limits.idleSeconds * 1000,
    },
  };
}

/** Fits TlsMaterial. */
export function tlsMaterial({ cert, key, ca }: TlsTexts, minVersion: SipConfig['tls']['minVersion']) {
  return {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key: key.reveal() }),
    ...(ca === undefined ? {} : { ca }),
    minVersion,
  };
}
