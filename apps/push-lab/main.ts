/** The push lab as a process: starts the APNs stand-in, on request the others, and the control API, prints one JSON line that says how to reach it, ends on SIGTERM or SIGINT. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeLabCredentials, startApnsLab } from './apns-lab.ts';
import { startControl } from './control.ts';
import { httpRoutes } from './http-control.ts';
import { type HttpLab, startHttpLab } from './http-lab.ts';
import { parseRule } from './rules.ts';

const help = `Stand-ins of push services for development and CI: APNs, and with --http-port FCM, Web Push and a webhook.

  --host ADDRESS        where to listen (127.0.0.1)
  --apns-port PORT      HTTP/2 over TLS (8443; 0: any)
  --http-port PORT      FCM with its token endpoint, Web Push and a webhook over HTTPS (not started; 0: any)
  --control-port PORT   control API, plain HTTP (8444; 0: any)
  --dir PATH            where to write ca.pem, the .p8 key, http-ca.pem and service-account.json (a new directory, removed at the end)
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
Of the others: /http/pushes, /http/events and /http/rules alike; POST /http/subscription, /http/expire-tokens.
`;

function numberOf(name: string, text: string, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > most)
    throw new Error(`--${name}: expected 0 to ${most}, found ${text}`);
  return value;
}

/** The files an edge needs to push to the lab, and what else it must know. */
function written(lab: HttpLab, dir: string): Readonly<Record<string, string>> {
  const ca = join(dir, 'http-ca.pem');
  const serviceAccount = join(dir, 'service-account.json');
  writeFileSync(ca, lab.ca);
  writeFileSync(serviceAccount, lab.serviceAccount, { mode: 0o600 });
  const { endpoint, webhookSecret } = lab;
  return { endpoint, ca, serviceAccount, webhook: `${endpoint}/hook`, webhookSecret };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      host: { type: 'string', default: '127.0.0.1' },
      'apns-port': { type: 'string', default: '8443' },
      'http-port': { type: 'string' },
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
  const httpPort = values['http-port'];
  const http =
    httpPort === undefined
      ? undefined
      : await startHttpLab({ host: values.host, port: numberOf('http-port', httpPort, 65_535) });
  const control = await startControl(
    lab,
    values.host,
    numberOf('control-port', values['control-port'], 65_535),
    http === undefined ? {} : httpRoutes(http),
  );

  const dir = values.dir ?? mkdtempSync(join(tmpdir(), 'push-lab-'));
  mkdirSync(dir, { recursive: true });
  const ca = join(dir, 'ca.pem');
  writeFileSync(ca, lab.ca);
  const key = values.key ?? join(dir, `AuthKey_${credentials.keyId}.p8`);
  if (values.key === undefined) writeFileSync(key, credentials.privateKey, { mode: 0o600 });
  const others = http === undefined ? {} : { http: written(http, dir) };

  const stop = (): void => {
    // a directory of our own making is of no use without us
    if (values.dir === undefined) rmSync(dir, { recursive: true, force: true });
    void Promise.all([lab.close(), http?.close(), control.close()]);
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
  const { teamId, keyId } = credentials;
  const { endpoint, port: apnsPort } = lab;
  process.stdout.write(
    `${JSON.stringify({ endpoint, apnsPort, controlPort: control.port, control: `http://${values.host}:${control.port}`, teamId, keyId, ca, key, topics: values.topic ?? [], ...others })}\n`,
  );
}

main().catch((cause: unknown) => {
  process.stderr.write(`push-lab: ${cause instanceof Error ? cause.message : String(cause)}\n`);
  process.exitCode = 1;
});
