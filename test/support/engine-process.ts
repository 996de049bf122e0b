/** The embedded engine as a process of its own (`npm run engine`), to which edges connect as to a drachtio-server. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environment, freePort } from '../../apps/demo/edge-process.ts';
import { listen, places } from './edge.ts';
import { Program } from './program.ts';

export interface EngineProcessOptions {
  /** of its config, beside the usual ones or instead of them */
  readonly sections?: Readonly<Record<string, unknown>>;
  /** edges come over TLS */
  readonly tls?: { readonly key: string; readonly certificate: string; readonly ca: string };
  /** started from a drachtio.conf.xml */
  readonly asDrachtio?: boolean;
}

export interface EngineProcess {
  /** the section `engine` of an edge's config */
  readonly config: Readonly<Record<string, unknown>>;
  /** address:port of /metrics and /readyz */
  readonly http: string;
  /** what it has printed since its last start */
  readonly printed: string;
  /** SIGTERM; resolves with the exit code when it has ended */
  drain(): Promise<number>;
  /** as a crash */
  kill(): Promise<void>;
  /** again, on the same ports; `secret` instead of the one edges show */
  restart(secret?: string): Promise<void>;
  stop(): Promise<void>;
}

const usualSecret = 'an-engine-secret';

export async function startEngineProcess(options: EngineProcessOptions = {}): Promise<EngineProcess> {
  const dir = mkdtempSync(join(tmpdir(), 'reveille-engine-'));
  const port = await freePort('127.0.0.1');
  const tlsPort = await freePort('127.0.0.1');
  const http = `127.0.0.1:${await freePort('127.0.0.1')}`;
  const sipPort = await freePort(places.edge);
  const { tls } = options;
  if (tls !== undefined) {
    writeFileSync(join(dir, 'cert.pem'), tls.certificate);
    writeFileSync(join(dir, 'ca.pem'), tls.ca);
    writeFileSync(join(dir, 'key.pem'), tls.key, { mode: 0o600 });
  }
  const yaml = JSON.stringify({
    sip: listen(sipPort),
    control: {
      listen: `127.0.0.1:${port}`,
      ...(tls === undefined ? {} : { tls_port: tlsPort, cert_file: 'cert.pem', key_file: 'key.pem' }),
    },
    http: { listen: http },
    ...options.sections,
  });
  const xml = `<drachtio><admin port="${port}">127.0.0.1</admin>
    <request-handlers><request-handler sip-method="INVITE">http://127.0.0.1</request-handler></request-handlers>
    <sip><contacts><contact>sip:${places.edge}:${sipPort};transport=udp,tcp</contact></contacts></sip>
    <logging><loglevel>info</loglevel></logging>
    <monitoring><prometheus port="${http.split(':')[1]}">127.0.0.1</prometheus></monitoring></drachtio>`;
  const file = join(dir, options.asDrachtio === true ? 'drachtio.conf.xml' : 'engine.yaml');
  writeFileSync(file, options.asDrachtio === true ? xml : yaml, { mode: 0o600 });
  const words = [options.asDrachtio === true ? '--drachtio-conf' : '--config', file];
  const entry = fileURLToPath(new URL('../../dist/apps/engine/main.js', import.meta.url));
  const start = async (secret: string): Promise<Program> => {
    const env = { ...environment(), DRACHTIO_SECRET: secret };
    const started = new Program('node', ['--enable-source-maps', entry, ...words], { env });
    await started.prints(/SIP engine is up/);
    return started;
  };
  let program = await start(usualSecret);
  return {
    config: {
      kind: 'drachtio',
      drachtio: {
        host: '127.0.0.1',
        secret: usualSecret,
        ...(tls === undefined ? { port } : { port: tlsPort, transport: 'tls', ca_file: join(dir, 'ca.pem') }),
      },
    },
    http,
    get printed() {
      return program.printed;
    },
    drain: async () => {
      await program.stop('SIGTERM', 60_000);
      return program.ended;
    },
    kill: () => program.stop('SIGKILL'),
    restart: async (secret = usualSecret) => {
      program = await start(secret);
    },
    stop: async () => {
      await program.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
