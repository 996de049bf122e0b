/** Keys of `store.redis`: how Redis is reached when it is more than one server, and by which certificates. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { keyInFile, readTls, tlsFileKeys, type TlsPaths, type TlsTexts } from './certificates.ts';
import { fallback, optional } from './keys.ts';
import { filePath, host, hostAndPort, listOf, secretText, text } from './kinds.ts';
import { type KeyPath, valueAt } from './tree.ts';

export const redisSection = z.strictObject({
  sentinels: fallback(listOf(hostAndPort, 'a list of host:port'), [], {
    doc: 'Redis Sentinel: where its processes are. User, password and database come from redis_url, whose host is not asked then.',
  }),
  primary_name: fallback(text('the name Sentinel knows the primary by', /^[!-~]{1,128}$/), 'mymaster', {
    doc: 'Redis Sentinel: name of the primary.',
  }),
  sentinel_password: optional(secretText('the password of the Sentinels'), {
    doc: 'Redis Sentinel: their own password.',
  }),
  cluster: fallback(listOf(hostAndPort, 'a list of host:port'), [], {
    doc: 'Redis Cluster (7.0 or newer): some of its nodes; the others are learnt. User and password come from redis_url, whose host is not asked then.',
  }),
  ca_file: optional(filePath, { doc: 'With rediss://: PEM certificates to trust instead of those Node knows.' }),
  cert_file: optional(filePath, { doc: 'With rediss://: certificate shown to Redis, when it wants one.' }),
  key_file: optional(filePath, { doc: 'With rediss://: private key of cert_file.' }),
  server_name: optional(host, { doc: 'With rediss://: name in the certificate of Redis, when it is not the host.' }),
});

/** The certificate files, read. */
export function readRedisFiles(
  tree: unknown,
  folder: string,
  tellAt: (path: KeyPath, expected: string, found: string) => void,
): TlsTexts {
  const section = ['store', 'redis'];
  const paths: { -readonly [K in keyof TlsPaths]: TlsPaths[K] } = {};
  for (const key of tlsFileKeys) {
    const path = valueAt(tree, [...section, keyInFile(key)]);
    if (key !== 'chainFile' && typeof path === 'string' && path !== '') paths[key] = resolve(folder, path);
  }
  return readTls(paths, (name) => (expected, found) => tellAt([...section, keyInFile(name)], expected, found));
}
