/** The token of the HTTP API: that of the config, else one in a file beside the store that only the owner of the process can read. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EdgeError } from '../errors.ts';
import type { Config } from './load.ts';
import { Secret } from './secret.ts';

/** For whoever asks a running edge; undefined when that edge has no API or has never run. */
export function readApiToken(config: Config): Secret | undefined {
  if (config.http.apiToken !== undefined) return config.http.apiToken;
  const file = fileOf(config);
  if (file === undefined) return undefined;
  try {
    const text = readFileSync(file, 'utf8').trim();
    return text === '' ? undefined : new Secret(text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new EdgeError('EDGE_CONFIG_INVALID', `${file}: expected a readable file, found ${String(error)}`, error);
  }
}

/** For the edge itself: makes the file when it is not there (mode 0600). Undefined: this edge has no API. */
export function ensureApiToken(config: Config): Secret | undefined {
  const known = readApiToken(config);
  const file = fileOf(config);
  if (known !== undefined || file === undefined || config.store.kind !== 'lmdb') return known;
  mkdirSync(config.store.path, { recursive: true });
  writeFileSync(file, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  return readApiToken(config);
}

function fileOf({ store }: Config): string | undefined {
  return store.kind === 'lmdb' ? join(store.path, 'api-token') : undefined;
}
