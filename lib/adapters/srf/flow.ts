/** Which flow a request came on, from the first line of its frame (drachtio-protocol A.5). WS and WSS are reported there as tcp. */
import type { Flow, Transport } from '../../sip/flow.ts';
import type { Headers } from '../../sip/headers.ts';

/** Listener `address:port` to the transports it speaks, from the engine's list of `transport/address:port`. */
export type Listeners = ReadonlyMap<string, readonly Transport[]>;

export function readListeners(hostports: readonly string[]): Listeners {
  const found = new Map<string, Transport[]>();
  for (const hostport of hostports) {
    const slash = hostport.indexOf('/');
    const transport = transportOf(hostport.slice(0, slash));
    if (slash < 0 || transport === undefined) continue;
    const listener = hostport.slice(slash + 1);
    found.set(listener, [...(found.get(listener) ?? []), transport]);
  }
  return found;
}

export function readFlow(tokens: readonly string[], headers: Headers, listeners: Listeners, engine: string): Flow {
  const address = tokens[5] ?? '';
  const port = Number(tokens[6]);
  return {
    transport: readTransport(tokens, headers, listeners),
    address: address.startsWith('[') ? address.slice(1, -1) : address,
    port: Number.isInteger(port) && port > 0 ? port : 5060,
    engine,
  };
}

/** `address:port` of the listener; undefined inside a dialog, where the engine does not say it. */
export function readReceivedOn(tokens: readonly string[]): string | undefined {
  return tokens[10] && tokens[11] ? `${tokens[10]}:${tokens[11]}` : undefined;
}

function readTransport(tokens: readonly string[], headers: Headers, listeners: Listeners): Transport {
  const said = transportOf(tokens[4] ?? '');
  if (said === 'udp' || said === 'tls') return said;
  // the listener decides; the Via only where several transports share one address and port
  const spoken = (listeners.get(readReceivedOn(tokens) ?? '') ?? []).filter((transport) => transport !== 'udp');
  if (spoken.length === 1) return spoken[0] as Transport;
  const via = /^SIP\s*\/\s*2\.0\s*\/\s*(\w+)/i.exec(headers.get('via') ?? '')?.[1];
  const claimed = via === undefined ? undefined : transportOf(via);
  if (claimed === 'ws' || claimed === 'wss') return claimed;
  // inside a dialog `said` may be missing
  return said ?? claimed ?? 'udp';
}

function transportOf(text: string): Transport | undefined {
  const lower = text.toLowerCase();
  return lower === 'udp' || lower === 'tcp' || lower === 'tls' || lower === 'ws' || lower === 'wss' ? lower : undefined;
}
