/** A real drachtio-server, where DRACHTIO_BIN names its program; without it those figures are left out. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Place } from './place.ts';
import { answersTcp, startServer, type RunningServer } from './server.ts';

export const drachtioBinary = process.env['DRACHTIO_BIN'];

export async function startDrachtio(
  place: Place,
): Promise<{ readonly server: RunningServer; readonly secret: string }> {
  if (drachtioBinary === undefined) throw new Error('DRACHTIO_BIN does not name the drachtio program');
  const secret = randomBytes(12).toString('hex');
  const { folder, control } = place;
  const file = join(folder, 'drachtio.conf.xml');
  mkdirSync(join(folder, 'archive'), { recursive: true });
  // as little logging as it can do: at level info it writes every message out
  writeFileSync(
    file,
    `<drachtio>
  <admin port="${control.port}" secret="${secret}">${control.host}</admin>
  <sip><contacts><contact>sip:${place.server.host}:${place.server.port};transport=udp,tcp</contact></contacts></sip>
  <cdrs>false</cdrs>
  <logging>
    <file><name>${folder}/drachtio.log</name><archive>${folder}/archive</archive><size>100</size><maxFiles>2</maxFiles><auto-flush>false</auto-flush></file>
    <sofia-loglevel>0</sofia-loglevel>
    <loglevel>error</loglevel>
  </logging>
</drachtio>
`,
  );
  const server = await startServer({
    name: 'drachtio-server',
    command: drachtioBinary,
    args: ['-f', file],
    cwd: folder,
    logFile: join(folder, 'drachtio.out'),
    ready: () => answersTcp(control.host, control.port),
  });
  return { server, secret };
}
