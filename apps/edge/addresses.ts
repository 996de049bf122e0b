/** Where the PBX is and how it reaches us: names become addresses once and again, and our own address is the one the kernel would send from. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { SipPeer } from '../../lib/config/kinds.ts';
import { hostOf, type Transport } from '../../lib/sip/flow.ts';

export interface UpstreamAddress {
  readonly address: string;
  readonly port: number;
  readonly transport: Transport;
}

/** The addresses behind an upstream; rejects when its name has none. */
export async function resolveUpstream({ host, port, transport }: SipPeer): Promise<readonly UpstreamAddress[]> {
  if (isIP(host) !== 0) return [{ address: host, port, transport }];
  const found = await lookup(host, { all: true, verbatim: true });
  return found.map(({ address }) => ({ address, port, transport }));
}

/** The address this machine sends from towards `target`: asked of the kernel by connecting a UDP socket, which sends nothing. */
export async function localAddressTowards(target: string): Promise<string> {
  const socket = createSocket(isIP(target) === 6 ? 'udp6' : 'udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.connect(9, target, resolve);
    });
    return socket.address().address;
  } finally {
    socket.close();
  }
}

/**
 * What follows the `@` in the edge's own Contact: `host:port;transport=t`. The listener of this transport says it, unless it
 * listens on every address (then `local`, the one towards the PBX) or the operator knows better (`external`).
 */
export function edgeHost(
  hostports: readonly string[],
  transport: Transport,
  local: string | undefined,
  external: string | undefined,
): string {
  const listener = hostports.find((hostport) => hostport.startsWith(`${transport}/`)) ?? hostports[0] ?? '';
  const [, bound = '', port = '5060'] = /^\w+\/\[?([^\]]*)\]?:(\d+)$/.exec(listener) ?? [];
  const host = external ?? (bound === '' || bound === '0.0.0.0' || bound === '::' ? (local ?? '127.0.0.1') : bound);
  return `${hostOf(host)}:${port};transport=${transport}`;
}
