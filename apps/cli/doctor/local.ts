/** Looks at the edge's own side: key files, certificates of the listeners, the store, and what the running edge says of itself. */
import { statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { redisAddress } from '../../../lib/adapters/redis/address.ts';
import { checkServer } from '../../../lib/adapters/redis/check-server.ts';
import { connectTo, endConnection } from '../../../lib/adapters/redis/connection.ts';
import { keysWith } from '../../../lib/adapters/redis/keys.ts';
import type { Config } from '../../../lib/config/load.ts';
import { yamlSource } from '../../../lib/config/tree.ts';
import type { Finding } from '../../../lib/doctor/finding.ts';
import { judgeCertificate, judgeMode } from '../../../lib/doctor/judge-local.ts';
import type { RunningEdge } from '../running-edge.ts';
import { complaint } from '../running-edge.ts';
import { messageOf, within } from './agent.ts';
import { certificateIn, shownCertificate } from './certificate.ts';

type Tell = (finding: Finding) => void;

/** Undefined: no edge runs with this config, which is told too. */
export async function lookForEdge(
  edge: () => RunningEdge,
  withinMs: number,
  tell: Tell,
): Promise<RunningEdge | undefined> {
  const about = 'edge';
  try {
    const running = edge();
    const answer = await within(running.ask({ path: '/status' }), withinMs, 'no answer in time');
    if (answer.status !== 200) {
      tell({
        check: 'running',
        about,
        result: 'warn',
        found: complaint(answer),
        fix: 'Compare http.api_token with that of the running edge.',
      });
      return undefined;
    }
    const told = answer.body as { readonly ready: boolean; readonly why?: string; readonly listens: string };
    tell(
      told.ready
        ? { check: 'running', about, result: 'ok', found: `ready at ${told.listens}` }
        : {
            ...{ check: 'running', about, result: 'fail', found: `not ready: ${told.why ?? 'no reason given'}` },
            fix: 'The log of the edge has the details.',
          },
    );
    return running;
  } catch (error) {
    tell({ check: 'running', about, result: 'skipped', found: messageOf(error) });
    return undefined;
  }
}

/** Keys in the config whose files hold secrets. */
const secretKey = /^(?:key_file|secret_key_file|service_account_file|vapid_key_file)$/;

/** Keys that are secrets themselves. */
const secretText = /^(?:password|sentinel_password|api_token|secret|key|team_key|cookie|redis_url|ha1_md5|ha1_sha256)$/;

export function lookAtFiles(config: Config, tell: Tell): void {
  const files = new Set<string>();
  const { tree, folder } = yamlSource(config.file);
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      const told = typeof inner === 'string' && inner !== '';
      if (told && secretKey.test(key)) files.add(resolve(folder, inner));
      else if (told && secretText.test(key) && config.file !== undefined) files.add(config.file);
      else walk(inner);
    }
  };
  walk(tree);
  const { keyFile } = config.sip.tls.paths;
  if (keyFile !== undefined) files.add(keyFile);
  if (config.store.kind === 'lmdb') files.add(join(config.store.path, 'api-token'));
  for (const file of files) {
    try {
      tell(judgeMode(file, statSync(file).mode));
    } catch (error) {
      // the config has been read, so only a token that no edge has made yet can be missing
      const { code } = error as NodeJS.ErrnoException;
      tell({
        check: 'permissions',
        about: file,
        result: 'skipped',
        found: code === 'ENOENT' ? 'not there yet' : `${code}`,
      });
    }
  }
}

export async function lookAtListeners(config: Config, running: boolean, withinMs: number, tell: Tell): Promise<void> {
  const { listen, tls, externalAddress } = config.sip;
  const { cert } = tls.texts;
  const secure = listen.filter(({ transport }) => transport === 'tls' || transport === 'wss');
  if (cert === undefined || secure.length === 0) {
    tell({ check: 'certificate', about: 'listeners', result: 'skipped', found: 'no listener with TLS' });
    return;
  }
  const fixes = {
    name: 'Phones compare this name: get a certificate for it, or correct sip.external_address or advertise.',
    trust: 'Put the whole chain into sip.tls.cert_file or chain_file.',
    end: 'Renew the certificate in sip.tls.cert_file; the edge takes it up by itself.',
  };
  const names = new Set(secure.map(({ advertise }) => advertise?.host ?? externalAddress));
  for (const name of names) {
    const about = `listeners${name === undefined ? '' : ` as ${name}`}`;
    tell(judgeCertificate(about, certificateIn(cert, name), Date.now(), config.push.expiryWarningDays, fixes));
  }
  if (!running) return;
  for (const { transport, address, port } of secure) {
    const about = `listener ${transport}/${address}:${port}`;
    const check = 'certificate shown';
    try {
      const anywhere = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
      const shown = await shownCertificate({ address: anywhere, port, name: anywhere }, undefined, withinMs);
      const same = shown.until === certificateIn(cert, undefined).until;
      tell(
        same
          ? { check, about, result: 'ok', found: 'the one of the config' }
          : { check, about, result: 'warn', found: 'not the one in the file', fix: 'Send SIGHUP to the edge.' },
      );
    } catch (error) {
      tell({ check, about, result: 'fail', found: messageOf(error), fix: 'Look at the log of the edge.' });
    }
  }
}

const leastFree = 64 * 1024 * 1024;

export async function lookAtStore({ store }: Config, withinMs: number, tell: Tell): Promise<void> {
  const about = `store (${store.kind})`;
  const check = 'health';
  switch (store.kind) {
    case 'memory':
      tell({
        ...{
          check,
          about,
          result: 'warn',
          found: 'bindings are forgotten at every restart',
          expected: 'lmdb or redis',
        },
        fix: 'Set store.kind to lmdb.',
      });
      return;
    case 'lmdb':
      try {
        const { mode } = statSync(store.path);
        const { bavail, bsize } = await statfs(store.path);
        const free = bavail * bsize;
        tell(
          free < 4 * leastFree
            ? {
                ...{ check, about, result: free < leastFree ? 'fail' : 'warn', found: `${mib(free)} MiB free` },
                ...{ expected: `${mib(4 * leastFree)} MiB`, fix: `Make room on the disk of ${store.path}.` },
              }
            : { check, about, result: 'ok', found: `${store.path}, ${mib(free)} MiB free` },
        );
        tell(
          (mode & 0o002) === 0
            ? { check: 'folder', about, result: 'ok', found: `mode ${(mode & 0o777).toString(8)}` }
            : {
                ...{ check: 'folder', about, result: 'fail', found: 'everybody may write to it' },
                fix: `chmod o-w ${store.path}`,
              },
        );
      } catch (error) {
        const absent = (error as NodeJS.ErrnoException).code === 'ENOENT';
        const found = absent ? `${store.path} is not there yet: the edge makes it` : messageOf(error);
        tell({
          check,
          about,
          result: absent ? 'skipped' : 'fail',
          found,
          ...(absent ? {} : { fix: 'Look at store.path and who owns it.' }),
        });
      }
      return;
    case 'redis':
      await lookAtRedis(store, about, withinMs, tell);
      return;
    default:
      return store satisfies never;
  }
}

function mib(octets: number): number {
  return Math.floor(octets / (1024 * 1024));
}

async function lookAtRedis(
  store: Extract<Config['store'], { readonly kind: 'redis' }>,
  about: string,
  withinMs: number,
  tell: Tell,
): Promise<void> {
  const check = 'health';
  try {
    const opening = connectTo(redisAddress(store));
    const connection = await within(opening, withinMs, 'no connection in time', (late) => endConnection(late.redis));
    try {
      const begun = performance.now();
      await within(connection.redis.ping(), withinMs, 'PING is not answered');
      const ms = performance.now() - begun;
      const unseen = await within(checkServer(connection, keysWith(store.keyPrefix)), withinMs, 'no answers in time');
      tell({ check, about, result: 'ok', found: `PING in ${ms.toFixed(1)} ms, every command works` });
      for (const found of unseen) tell({ check: 'settings', about, result: 'warn', found });
    } finally {
      await endConnection(connection.redis);
    }
  } catch (error) {
    const fix = 'Look at store.redis_url, whether Redis runs, and at docs/redis.md.';
    tell({ check, about, result: 'fail', found: messageOf(error), expected: 'a Redis fit for bindings', fix });
  }
}

interface AppTold {
  readonly app: string;
  readonly about: string;
  readonly result: { readonly is: string; readonly how?: string; readonly reason?: string; readonly fix?: string };
}

/** The dry run of `reveille push test`, by the running edge: no phone is woken. */
export async function lookAtPush(edge: RunningEdge | undefined, withinMs: number, tell: Tell): Promise<void> {
  const about = 'push';
  const check = 'credentials';
  if (edge === undefined) {
    tell({ check, about, result: 'skipped', found: 'the running edge makes the dry run, and none answers' });
    return;
  }
  try {
    const answer = await within(
      edge.ask({ method: 'POST', path: '/push/test', body: {} }),
      withinMs,
      'the push services do not answer in time',
    );
    if (answer.status !== 200) throw new Error(complaint(answer));
    const { apps } = answer.body as { readonly apps: readonly AppTold[] };
    if (apps.length === 0)
      tell({
        ...{ check, about, result: 'warn', found: 'no push service is configured', expected: 'one for each app' },
        fix: 'Without push.apps, push.webpush or push.webhooks no sleeping phone can be woken.',
      });
    for (const { app, about: what, result } of apps)
      tell({
        ...{
          check,
          about: `push ${app} (${what})`,
          result: result.is === 'good' ? 'ok' : result.is === 'bad' ? 'fail' : 'warn',
        },
        found: result.is === 'good' ? `accepted ${result.how ?? ''}`.trim() : (result.reason ?? result.is),
        ...(result.fix === undefined ? {} : { fix: result.fix }),
      });
    await lookAtProviderClocks(edge, withinMs, tell);
  } catch (error) {
    tell({ check, about, result: 'fail', found: messageOf(error), fix: 'Look at the log of the edge.' });
  }
}

/** The edge compares the Date of push services with its own clock whenever it hears from them. */
async function lookAtProviderClocks(edge: RunningEdge, withinMs: number, tell: Tell): Promise<void> {
  const text = await within(
    fetch(`${edge.url}/metrics`).then((response) => response.text()),
    withinMs,
    'no metrics in time',
  );
  const alarms = Number(/^reveille_push_clock_alarms_total (\d+)/m.exec(text)?.[1] ?? 0);
  const about = 'clock of this host';
  tell(
    alarms === 0
      ? { check: 'clock', about, result: 'ok', found: 'no push service has complained about it' }
      : {
          ...{ check: 'clock', about, result: 'fail', found: `push services found it wrong ${alarms} times` },
          ...{ expected: 'the time of the push services', fix: 'Let this host follow NTP.' },
        },
  );
}
