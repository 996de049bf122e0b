/**
 * The keys that seal what the store keeps of secrets: those of the config, else one in a file beside the store that only the owner
 * of the process can read. The first key seals; the others open what was sealed before a change.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EdgeError } from '../errors.ts';
import type { Config } from './load.ts';

const octets = 32;

/** 32 octets as 64 hexadecimal digits or as base64; undefined for anything else. */
export function readKey(text: string): Buffer | undefined {
  const trimmed = text.trim();
  if (/^[0-9a-f]{64}$/i.test(trimmed)) return Buffer.from(trimmed, 'hex');
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return undefined;
  const key = Buffer.from(trimmed, 'base64url');
  return key.length === octets ? key : undefined;
}

/**
 * Makes the file `secret.key` beside an lmdb store when it is not there (mode 0600). Empty: no key is set and there is no place for
 * one (Redis). A memory store gets one that ends with the process. Throws EDGE_CONFIG_INVALID.
 */
export function openSecretKeys({ store, secretKeys }: Pick<Config, 'store' | 'secretKeys'>): readonly Buffer[] {
  const configured = [
    ...(secretKeys.key === undefined ? [] : [keyOf('store.secret_key', secretKeys.key.reveal())]),
    ...(secretKeys.file === undefined ? [] : [fileKey('store.secret_key_file', secretKeys.file)]),
    ...secretKeys.old.map((each, at) => keyOf(`store.old_secret_keys[${at}]`, each.reveal())),
  ];
  if (secretKeys.key !== undefined || secretKeys.file !== undefined) return configured;
  if (store.kind === 'redis') return configured;
  if (store.kind === 'memory') return [randomBytes(octets), ...configured];
  return [ownKey(store.path), ...configured];
}

function ownKey(folder: string): Buffer {
  const file = join(folder, 'secret.key');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, `${randomBytes(octets).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unreadable(file, error);
  }
  return fileKey(file, file);
}

function fileKey(at: string, file: string): Buffer {
  let text: string;
  let mode: number;
  try {
    text = readFileSync(file, 'utf8');
    mode = statSync(file).mode;
  } catch (error) {
    throw unreadable(at, error);
  }
  if ((mode & 0o077) !== 0) {
    const found = `mode ${(mode & 0o777).toString(8).padStart(4, '0')}`;
    throw wrong(at, `a file that only its owner can read (chmod 600 ${file})`, found);
  }
  return keyOf(at, text);
}

function keyOf(at: string, text: string): Buffer {
  const key = readKey(text);
  if (key === undefined)
    throw wrong(at, '32 octets as 64 hexadecimal digits or base64', `${text.trim().length} characters`);
  return key;
}

function unreadable(at: string, error: unknown): EdgeError {
  const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return new EdgeError('EDGE_CONFIG_INVALID', `${at}: expected a readable file with a key, found ${why}`, error);
}

function wrong(at: string, expected: string, found: string): EdgeError {
  return new EdgeError('EDGE_CONFIG_INVALID', `${at}: expected ${expected}, found ${found}`);
}
