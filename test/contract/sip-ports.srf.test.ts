/** The SIP ports on drachtio-srf: with the embedded engine always, with a real drachtio-server where DRACHTIO_HOST names one. */
import { connectSrf } from '../../lib/adapters/srf/connect.ts';
import { startEngine } from '../../lib/engine/engine.ts';
import { sipPortsContract } from './sip-ports.ts';

sipPortsContract('the embedded engine', async () => {
  const engine = await startEngine({
    listen: [
      { transport: 'udp', address: '127.0.20.1', port: 0 },
      { transport: 'tcp', address: '127.0.20.1', port: 0 },
    ],
    control: { port: 0, secret: 'x' },
    registrationCache: false,
  });
  return {
    connect: (onRequest) => connectSrf({ host: '127.0.0.1', port: engine.controlPort, secret: 'x', engineId: 'e', onRequest }),
    close: () => engine.close(),
  };
});

const { DRACHTIO_HOST: host, DRACHTIO_PORT: port = '9022', DRACHTIO_SECRET: secret = 'cymru' } = process.env;
if (host !== undefined) {
  sipPortsContract(`drachtio-server at ${host}:${port}`, async () => ({
    connect: (onRequest) => connectSrf({ host, port: Number(port), secret, engineId: 'e', onRequest }),
    close: async () => {},
  }));
}
