/** An engine alone with a trivial app on its control port: our own (`npm run engine`), or a real drachtio-server. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { startDrachtio } from './drachtio.ts';
import { gcProbe } from './gc-pauses.ts';
import { projectRoot, type Place } from './place.ts';
import { answersTcp, startServer, type RunningServer } from './server.ts';

export interface EnginePlan {
  readonly engine: 'embedded' | 'drachtio';
  /** an app on drachtio-srf's objects, or on the edge's adapter */
  readonly app: 'srf' | 'link';
  /** see ServerPlan */
  readonly listen?: 'tcp' | 'tls' | 'wss';
  readonly nodeArgs: readonly string[];
}

/** The engine first. */
export async function startEngine(plan: EnginePlan, place: Place): Promise<readonly RunningServer[]> {
  const { server, secret } = plan.engine === 'drachtio' ? await startDrachtio(place) : await startOurs(plan, place);
  try {
    return [server, await startApp(plan, place, secret)];
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function startOurs(
  { nodeArgs, listen: only }: EnginePlan,
  place: Place,
): Promise<{ readonly server: RunningServer; readonly secret: string }> {
  const secret = randomBytes(12).toString('hex');
  const program = only === undefined ? withConfig(place, secret) : bare(only, place, secret);
  const { control } = place;
  const probe = gcProbe(place);
  const server = await startServer({
    name: 'engine',
    command: process.execPath,
    args: ['--single-threaded-gc', ...probe.args, ...nodeArgs, ...program],
    cwd: place.folder,
    env: probe.env,
    logFile: join(place.folder, 'engine.log'),
    ready: () => answersTcp(control.host, control.port),
  });
  return { server, secret };
}

function bare(only: string, place: Place, secret: string): readonly string[] {
  const { server, control } = place;
  const script = join(projectRoot, 'dist/bench/servers/bare-engine.js');
  return [script, only, server.host, String(server.port), control.host, String(control.port), secret];
}

/** As `npm run engine` does it. */
function withConfig(place: Place, secret: string): readonly string[] {
  const config = join(place.folder, 'engine.yaml');
  const { host, port } = place.server;
  const { control } = place;
  const listen = [`udp://${host}:${port}`, `tcp://${host}:${port}`];
  writeFileSync(
    config,
    stringify({
      sip: { listen },
      control: { listen: `${control.host}:${control.port}`, secret },
      http: { listen: `${control.host}:0` },
    }),
    { mode: 0o600 },
  );
  return [join(projectRoot, 'dist/apps/engine/main.js'), '--config', config];
}

function startApp({ app }: EnginePlan, place: Place, secret: string): Promise<RunningServer> {
  const { control, pbx } = place;
  const logFile = join(place.folder, 'app.log');
  const script = join(projectRoot, 'dist/bench/servers/trivial-app.js');
  return startServer({
    name: 'app',
    command: process.execPath,
    args: [
      '--single-threaded-gc',
      script,
      app,
      control.host,
      String(control.port),
      secret,
      `sip:bob@${pbx.host}:${pbx.port}`,
    ],
    cwd: place.folder,
    logFile,
    ready: async () => readFileSync(logFile, 'utf8').includes('connected'),
  });
}
