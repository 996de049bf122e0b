/** What the edge is measured beside: a plain Node responder and Kamailio as a registrar. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot, type Place } from './place.ts';
import { answersTcp, pause, startServer, type RunningServer } from './server.ts';

export function startResponder(map: boolean, place: Place): Promise<RunningServer> {
  const { host, port } = place.server;
  let asked = 0;
  return startServer({
    name: 'responder',
    command: process.execPath,
    args: [join(projectRoot, 'dist/bench/baseline-responder.js'), host, String(port), ...(map ? ['map'] : [])],
    cwd: place.folder,
    logFile: join(place.folder, 'responder.log'),
    // it has nothing to ask; a lost first REGISTER would be repeated
    ready: async () => ++asked > 6,
  });
}

export const kamailioBinary = process.env['KAMAILIO_BIN'] ?? '/usr/sbin/kamailio';

export function hasKamailio(): boolean {
  return spawnSync(kamailioBinary, ['-v'], { stdio: 'ignore' }).status === 0;
}

export async function startKamailio(place: Place): Promise<RunningServer> {
  const { host, port } = place.server;
  const server = await startServer({
    name: 'kamailio',
    command: kamailioBinary,
    args: [
      '-f',
      join(projectRoot, 'bench/kamailio/registrar.cfg'),
      '-l',
      `udp:${host}:${port}`,
      '-l',
      `tcp:${host}:${port}`,
      '-DD',
      '-E',
      '-m',
      '256',
      '-M',
      '16',
      '-Y',
      place.folder,
      '-w',
      place.folder,
    ],
    cwd: place.folder,
    logFile: join(place.folder, 'kamailio.log'),
    ready: () => answersTcp(host, port),
  });
  await pause(300);
  return server;
}
