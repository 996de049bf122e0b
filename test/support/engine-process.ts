/** The embedded engine as a process of its own (`npm run engine`), to which edges connect as to a drachtio-server. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environment, freePort } from '../../apps/demo/edge-process.ts';
import { listen, places } from './edge.ts';
import { Program } from './program.ts';

export interface EngineProcess {
  /** the section `engine` of an edge's config */
  readonly config: Readonly<Record<string, unknown>>;
  /** as a crash */
  kill(): Promise<void>;
  /** again, on the same ports */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function startEngineProcess(): Promise<EngineProcess> {
  const dir = mkdtempSync(join(tmpdir(), 'reveille-engine-'));
  const port = await freePort('127.0.0.1');
  const config = { kind: 'drachtio', drachtio: { host: '127.0.0.1', port, secret: 'an-engine-secret' } };
  const file = join(dir, 'engine.yaml');
  writeFileSync(file, JSON.stringify({ sip: listen(await freePort(places.edge)), engine: config }), { mode: 0o600 });
  const entry = fileURLToPath(new URL('../../dist/apps/engine/main.js', import.meta.url));
  const start = async (): Promise<Program> => {
    const started = new Program('node', ['--enable-source-maps', entry, '--config', file], { env: environment() });
    await started.prints(/edges connect to/);
    return started;
  };
  let program = await start();
  return {
    config,
    kill: () => program.stop('SIGKILL'),
    restart: async () => {
      program = await start();
    },
    stop: async () => {
      await program.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
