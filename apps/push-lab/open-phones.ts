/** Virtual phones as the command line wants them: where the edge is, where they are themselves, and the tokens they have. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import type { PushIdentity } from '../demo/phone.ts';
import { remoteOf } from '../demo/ua.ts';
import type { Remote } from '../demo/wire.ts';
import type { PhoneArgs } from './args.ts';
import { fcmProject, labBundle } from './folder.ts';
import { aDeviceToken, type PhonesOptions, VirtualPhones } from './phones.ts';

/** Throws when `--edge` is no address or no way leads there. */
export async function openPhones(
  args: PhoneArgs,
  teamId: string,
  onChange: NonNullable<PhonesOptions['onChange']>,
): Promise<VirtualPhones> {
  const edge = await edgeOf(args);
  const identity = (): PushIdentity =>
    args.provider === 'apns'
      ? { provider: 'apns', param: `${teamId}.${labBundle}.voip`, prid: aDeviceToken() }
      : { provider: 'fcm', param: fcmProject, prid: randomBytes(60).toString('base64url') };
  const { count, domain, userPrefix, password, behaviours, lateMs, ringMs, awakeMs } = args;
  return new VirtualPhones({
    ...{ count, domain, userPrefix, behaviours, lateMs, ringMs, awakeMs, edge, identity, onChange },
    ...(password === undefined ? {} : { password }),
    address: args.address ?? (await addressTowards(edge)),
  });
}

async function edgeOf({ edge, edgeCa }: PhoneArgs): Promise<Remote> {
  const uri = /^sips?:/i.test(edge) ? edge : `sip:${edge}`;
  let remote: Remote;
  try {
    remote = remoteOf(uri);
  } catch {
    throw new Error(`--edge: expected sip:ADDRESS:PORT;transport=udp|tcp|tls, found ${edge}`);
  }
  const { address } = await lookup(remote.address).catch(() => {
    throw new Error(`--edge: there is no address for ${remote.address}`);
  });
  // over TLS the name stays, for the certificate is made out to it
  const at = remote.transport === 'tls' ? remote : { ...remote, address };
  return edgeCa === undefined ? at : { ...at, ca: readFileSync(edgeCa, 'utf8') };
}

/** The address of ours from which packets to this one leave. Nothing is sent. */
async function addressTowards({ address, port }: Remote): Promise<string> {
  const found = await lookup(address);
  const socket = createSocket(found.family === 6 ? 'udp6' : 'udp4');
  try {
    socket.connect(port, found.address);
    await once(socket, 'connect');
    return socket.address().address;
  } finally {
    socket.close();
  }
}
