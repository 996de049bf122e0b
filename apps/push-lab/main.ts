/** The push lab as a process: starts the APNs stand-in and its control API, prints one JSON line that says how to reach it, ends on SIGTERM or SIGINT. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeLabCredentials, startApnsLab } from './apns-lab.ts';
import { startControl } from './control.ts';
import { parseRule } from './rules.ts';

const help = `An APNs stand-in for development and CI.

  --host ADDRESS        where to listen (127.0.0.1)
  --apns-port PORT      HTTP/2 over TLS (8443; 0: any)
  --control-port PORT   control API, plain HTTP (8444; 0: any)
  --dir PATH            where to write ca.pem and the .p8 key (a new directory, removed at the end)
  --key PATH            use this .p8 key instead of a new one
  --key-id ID           its id (made up)
  --team-id ID          its team (LABTEAM001)
  --topic TOPIC         an allowed apns-topic; repeat it; any topic when absent
  --rule JSON           a fault rule as for POST /rules; repeat it
  --latency MS          time to each answer (0)
  --stallable           let connections go silent (POST /stall)
  --help

Control API: GET and DELETE /pushes, GET /events (a JSON line for each push), GET /stats, GET, POST and DELETE /rules,
POST /goaway {mode, reason}, /drop {when}, /stall, /outage {ms}, /stream-limit {limit}, /expire-tokens.
`;

function numberOf(name: string, text: string, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > most)
    throw new Error(`--${name}: expected 0 to ${most}, found ${text}`);
  return value;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      host: { type: 'string', default: '127.0.0.1' },
      'apns-port': { type: 'string', default: '8443' },
      'control-port': { type: 'string', default: '8444' },
      dir: { type: 'string' },
      key: { type: 'string' },
      'key-id': { type: 'string' },
      'team-id': { type: 'string' },
      topic: { type: 'string', multiple: true },
      rule: { type: 'string', multiple: true, default: [] },
      latency: { type: 'string', default: '0' },
      stallable: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return;
  }
  const made = makeLabCredentials(values['team-id'], values['key-id']);
  const credentials = values.key === undefined ? made : { ...made, privateKey: readFileSync(values.key, 'utf8') };
  const lab = await startApnsLab({
    host: values.host,
    port: numberOf('apns-port', values['apns-port'], 65_535),
    credentials,
    latencyMs: numberOf('latency', values.latency, 600_000),
    stallable: values.stallable,
    ...(values.topic === undefined ? {} : { topics: values.topic }),
  });
  for (const text of values.rule) lab.rules.add(parseRule(JSON.parse(text)));
  const control = await startControl(lab, values.host, numberOf('control-port', values['control-port'], 65_535));

  const dir = values.dir ?? mkdtempSync(join(tmpdir(), 'push-lab-'));
  mkdirSync(dir, { recursive: true });
  const ca = join(dir, 'ca.pem');
  writeFileSync(ca, lab.ca);
  const key = values.key ?? join(dir, `AuthKey_${credentials.keyId}.p8`);
  if (values.key === undefined) writeFileSync(key, credentials.privateKey, { mode: 0o600 });

  const stop = (): void => {
    // a directory of our own making is of no use without us
    if (values.dir === undefined) rmSync(dir, { recursive: true, force: true });
    void Promise.all([lab.close(), control.close()]);
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
  const { teamId, keyId } = credentials;
  const { endpoint, port: apnsPort } = lab;
  process.stdout.write(
    `${JSON.stringify({ endpoint, apnsPort, controlPort: control.port, control: `http://${values.host}:${control.port}`, teamId, keyId, ca, key, topics: values.topic ?? [] })}\n`,
  );
}

main().catch((cause: unknown) => {
  process.stderr.write(`push-lab: ${cause instanceof Error ? cause.message : String(cause)}\n`);
  process.exitCode = 1;
});
