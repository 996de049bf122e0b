/** The SIP ports on drachtio-srf: with the embedded engine always, with a real drachtio-server where DRACHTIO_HOST names one. */
import { connectSrf } from '../../lib/adapters/srf/connect.ts';
import { startEngine } from '../../lib/engine/engine.ts';
import { engineInThread } from '../../lib/engine/spawn.ts';
import { bridgedCallContract } from './bridged-call.ts';
import { type Engine, sipPortsContract } from './sip-ports.ts';

const embedded = async (): Promise<Engine> => {
  const engine = await startEngine({
    listen: [
      { transport: 'udp', address: '127.0.20.1', port: 0 },
      { transport: 'tcp', address: '127.0.20.1', port: 0 },
    ],
    control: { port: 0, secret: 'x' },
    registrationCache: false,
  });
  return {
    connect: (onRequest) =>
      connectSrf({ host: '127.0.0.1', port: engine.controlPort, secret: 'x', engineId: 'e', onRequest }),
    close: () => engine.close(),
  };
};

/** As an edge on one core has it: no control port at all. */
const inThisThread = async (): Promise<Engine> => {
  const engine = await engineInThread({
    listen: [
      { transport: 'udp', address: '127.0.20.1', port: 0 },
      { transport: 'tcp', address: '127.0.20.1', port: 0 },
    ],
    control: { secret: 'x' },
    registrationCache: false,
  });
  return {
    connect: (onRequest) =>
      connectSrf({
        host: '',
        port: engine.controlPort,
        ...(engine.connect === undefined ? {} : { inMemory: engine.connect }),
        secret: 'x',
        engineId: 'e',
        onRequest,
      }),
    close: () => engine.close(),
  };
};

if (process.env['REVEILLE_TEST_ENGINE'] !== 'drachtio') {
  sipPortsContract('the embedded engine in the same thread', inThisThread, {});
  bridgedCallContract('the embedded engine in the same thread', inThisThread);
  sipPortsContract('the embedded engine', embedded, {});
  bridgedCallContract('the embedded engine', embedded);
}

const { DRACHTIO_HOST: host, DRACHTIO_PORT: port = '9022', DRACHTIO_SECRET: secret = 'cymru' } = process.env;
if (host !== undefined) {
  const server = async (): Promise<Engine> => ({
    connect: (onRequest) => connectSrf({ host, port: Number(port), secret, engineId: 'e', onRequest }),
    close: async () => {},
  });
  bridgedCallContract(`drachtio-server at ${host}:${port}`, server);
  sipPortsContract(`drachtio-server at ${host}:${port}`, server, {
    'a body may hold NUL': 'it refuses such requests with 400 and ends such answers at the NUL',
    'two INVITEs of one Call-ID: only': 'it finds the INVITE of a CANCEL by Call-ID alone',
    'a re-INVITE is cancelled by the caller': 'it answers CANCEL and re-INVITE but does not tell the app',
    'a re-INVITE of ours is cancelled': 'it cannot cancel inside a dialog',
  });
}
