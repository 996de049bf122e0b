/** The push lab as a process: starts the stand-ins, the virtual phones and the control API with its page, says how to reach them, ends on SIGTERM or SIGINT. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startApnsLab } from './apns-lab.ts';
import { type Args, help, readArgs } from './args.ts';
import { startControl } from './control.ts';
import { Feed } from './feed.ts';
import { keysIn, writeConfig, writeFiles } from './folder.ts';
import { httpRoutes } from './http-control.ts';
import { startHttpLab } from './http-lab.ts';
import { openPhones } from './open-phones.ts';
import { pageRoutes } from './page-routes.ts';
import { reportText, type VirtualPhones } from './phones.ts';
import { parseRule, type Rule } from './rules.ts';
import { type Labs, readScript, runScript, type Script } from './script.ts';
import { scriptRoutes } from './script-routes.ts';

async function main(): Promise<void> {
  const args = readArgs(process.argv.slice(2));
  if (args.help) {
    process.stdout.write(help);
    return;
  }
  // what may be wrong is read before anything listens
  const scripts = args.scripts.map(scriptIn);
  const rules = args.rules.map(ruleIn);
  const dir = resolve(args.dir ?? mkdtempSync(join(tmpdir(), 'push-lab-')));
  // a directory of our own making is of no use without us
  if (args.dir === undefined) process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  const keys = keysIn(dir, args.host, args.teamId, args.keyId);
  const { host, key } = args;
  const credentials =
    key === undefined ? keys.credentials : { ...keys.credentials, privateKey: readFileSync(key, 'utf8') };

  const feed = new Feed();
  const onSeen = feed.put.bind(feed);
  const apns = await startApnsLab({
    ...{ host, port: args.apnsPort, credentials, tls: keys.tls, onSeen },
    ...{ latencyMs: args.latencyMs, stallable: args.stallable },
    ...(args.topics === undefined ? {} : { topics: args.topics }),
  });
  for (const rule of rules) apns.rules.add(rule);
  const { accountKey, webhookSecret, tls, vapidKey } = keys;
  const http =
    args.httpPort === undefined
      ? undefined
      : await startHttpLab({
          ...{ host, port: args.httpPort, tls, accountKey, webhookSecret, onSeen, stallable: args.stallable },
        });
  const labs: Labs = { apns, http };
  const stops = scripts.map((script) => runScript(script, labs));

  const { teamId, keyId } = credentials;
  const phones = args.phones && (await openPhones(args.phones, teamId, (token, mark) => feed.mark(token, mark)));
  apns.onPush(({ token }) => phones?.pushed(token));
  http?.onPush(({ token }) => phones?.pushed(token));

  const control = await startControl(apns, host, args.controlPort, {
    ...pageRoutes(feed, phones && (() => phones.report())),
    ...scriptRoutes(labs),
    ...(http === undefined ? {} : httpRoutes(http)),
  });
  const files = writeFiles(dir, { ca: apns.ca, credentials, keyFile: key, http });
  const config = writeConfig(dir, apns.endpoint, credentials, files, vapidKey);

  const end = async (): Promise<void> => {
    for (const stop of stops) stop();
    const report = phones?.report();
    await Promise.all([phones?.close(), apns.close(), http?.close(), control.close()]);
    if (report === undefined) return process.exit(0);
    const text = args.json ? `${JSON.stringify({ phones: report })}\n` : reportText(report);
    process.stdout.write(text, () => process.exit(0));
  };
  const stop = (): void => void end();
  process.once('SIGTERM', stop).once('SIGINT', stop);

  const page = `http://${host.includes(':') ? `[${host}]` : host}:${control.port}`;
  const { http: others, ...paths } = files;
  const facts = {
    ...{ endpoint: apns.endpoint, apnsPort: apns.port, controlPort: control.port, control: page, page: `${page}/` },
    ...{ teamId, keyId, ...paths, config: join(dir, 'reveille-push.yaml'), topics: args.topics ?? [] },
    ...(others === undefined ? {} : { http: others }),
  };
  process.stdout.write(args.all && !args.json ? words(facts, config, args, phones) : `${JSON.stringify(facts)}\n`);
}

/** Throws with the name of the option. */
function ruleIn(text: string): Rule {
  try {
    return parseRule(JSON.parse(text));
  } catch (cause) {
    throw new Error(`--rule: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

/** Throws with the name of the file, and each mistake on a line of its own. */
function scriptIn(file: string): Script {
  try {
    return readScript(readFileSync(file, 'utf8'));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      why
        .split('\n')
        .map((line) => `${file}: ${line}`)
        .join('\n'),
    );
  }
}

function words(
  {
    page,
    config: file,
    endpoint,
    http,
  }: { page: string; config: string; endpoint: string; http?: { endpoint: string } },
  config: string,
  { phones: wanted }: Args,
  phones: VirtualPhones | undefined,
): string {
  const waiting =
    wanted === undefined || phones === undefined
      ? ''
      : `\n${wanted.count} phones (${wanted.behaviours.join(', ')}) register at ${wanted.edge} as soon as somebody is there.\n`;
  return `The push lab is up.

  page and control   ${page}
  APNs               ${endpoint}
  FCM, Web Push, webhook  ${http?.endpoint ?? 'not started'}

For reveille.yaml (also in ${file}; keep it to yourself):

${config.replace(/^(?=.)/gm, '  ')}${waiting}
Ctrl-C ends it.
`;
}

main().catch((cause: unknown) => {
  const text = cause instanceof Error ? cause.message : String(cause);
  for (const line of text.split('\n')) process.stderr.write(`push-lab: ${line}\n`);
  process.exit(1);
});
