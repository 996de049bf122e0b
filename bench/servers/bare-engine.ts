/**
 * The engine with one listener and a certificate made at its start, for connections over TLS and WSS.
 * `node bare-engine.js TRANSPORT HOST PORT CONTROL_HOST CONTROL_PORT SECRET`
 */
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import { startEngine } from '../../lib/engine/engine.ts';
import type { TransportName } from '../../lib/engine/options.ts';

const [transport, address = '', port, controlHost = '', controlPort, secret = ''] = process.argv.slice(2);
const identity = makeServerIdentity({ hosts: ['bench.test'], addresses: [address] });
await startEngine({
  listen: [{ transport: transport as TransportName, address, port: Number(port) }],
  tls: { cert: identity.certificate, key: identity.key },
  // all of them come from one address
  limits: { connections: 100_000, connectionsPerAddress: 100_000 },
  control: { host: controlHost, port: Number(controlPort), secret },
});
process.on('SIGTERM', () => process.exit(0));
