import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { engineConfigKeys, loadEngineConfig } from '../../../lib/config/engine-config.ts';
import type { KeyRow } from '../../../lib/config/keys.ts';
import { load } from '../../../lib/config/load.ts';
import { configKeys } from '../../../lib/config/schema.ts';
import { yamlSource } from '../../../lib/config/tree.ts';
import { makeServerIdentity } from '../../../apps/push-lab/certificate.ts';
import { aSigningKey } from '../../support/a-key.ts';
import { certificate } from '../../support/a-certificate.ts';

const root = join(import.meta.dirname, '../../..');
const textOf = (name: string): string => readFileSync(join(root, name), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'reveille-example-'));

beforeAll(() => {
  mkdirSync(join(folder, 'keys'));
  writeFileSync(join(folder, 'keys/AuthKey_KEY1234567.p8'), aSigningKey());
  writeFileSync(join(folder, 'keys/AuthKey_KEY2345678.p8'), aSigningKey());
  writeFileSync(join(folder, 'keys/vapid.pem'), aSigningKey());
  writeFileSync(join(folder, 'keys/my-app-1a2b.json'), aServiceAccount());
  writeFileSync(join(folder, 'keys/stand-in-ca.pem'), certificate);
  for (const name of ['edge', 'engine']) {
    const { certificate: cert, key, ca } = makeServerIdentity({ hosts: [`${name}.example.com`], addresses: [] });
    writeFileSync(join(folder, `keys/${name}-cert.pem`), cert);
    writeFileSync(join(folder, `keys/${name}-key.pem`), key);
    writeFileSync(join(folder, `keys/${name}-chain.pem`), ca);
  }
  writeFileSync(join(folder, 'keys/pbx-ca.pem'), certificate);
  for (const name of ['reveille.example.yaml', 'engine.example.yaml']) writeFileSync(join(folder, name), textOf(name));
});
afterAll(() => rmSync(folder, { recursive: true }));

function aServiceAccount(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  return JSON.stringify({ project_id: 'my-app-1a2b', client_email: 'a@example.com', private_key: key });
}

/** Every path in a tree, lists as `[]`. */
function paths(value: unknown, prefix = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((one) => paths(one, `${prefix}[]`));
  if (typeof value !== 'object' || value === null) return [prefix.replace(/\[\]$/, '')];
  return Object.entries(value).flatMap(([key, one]) => paths(one, prefix === '' ? key : `${prefix}.${key}`));
}

it('reveille.example.yaml is accepted as it stands', () => {
  const config = load({ file: join(folder, 'reveille.example.yaml'), env: {} });
  expect(config.push.apps[0]?.ca).toBe(certificate);
  expect(config.store).toEqual({ kind: 'lmdb', path: join(folder, 'data') });
});

it('engine.example.yaml is accepted as it stands', () => {
  const config = loadEngineConfig(yamlSource(join(folder, 'engine.example.yaml')), {});
  expect(config.control.tls?.files.texts.cert?.split('BEGIN CERTIFICATE')).toHaveLength(3);
  expect(config.warnings).toEqual([]);
});

const examples: readonly (readonly [string, readonly KeyRow[]])[] = [
  ['reveille.example.yaml', configKeys],
  ['engine.example.yaml', engineConfigKeys],
];

describe.each(examples)('%s', (name, keys) => {
  const text = textOf(name);

  it('names every key there is, and shows the default of each that has one', () => {
    const tree: unknown = parse(text);
    // only as comments: the key as text, beside key_file; a token, which somebody would use as it stands here; files nobody has
    const commented: readonly (readonly [string, string])[] = [
      ['# key: |', 'push.apps[].key'],
      ['# api_token:', 'http.api_token'],
      ['# secret_key:', 'store.secret_key'],
      // a proxy nobody has
      ...['url', 'user', 'password', 'except'].map((name) => [`  #   ${name}:`, `push.proxy.${name}`] as const),
      ['# team_key: |', 'push.apns_keys[].key'],
      // what is below it belongs to the app
      ['template:', 'push.apps[].template'],
      ['template:', 'push.webhooks[].template'],
      ...['cluster', 'sentinel_password', 'ca_file', 'cert_file', 'key_file', 'server_name'].map(
        (name) => [`    # ${name}:`, `store.redis.${name}`] as const,
      ),
    ];
    const named = new Set([
      ...paths(tree),
      ...commented.flatMap(([line, path]) => (text.includes(line) ? [path] : [])),
    ]);
    expect(keys.map((row) => row.path).filter((path) => !named.has(path))).toEqual([]);
    // shown by an example, because their default is an empty list
    const lists = [
      'media.rtpengine',
      'store.redis.sentinels',
      'store.redis.cluster',
      'push.webpush.allow_ports',
      'push.proxy.except',
      'push.unifiedpush.allow_ports',
      'push.apns_keys[].topics',
      'push.webhooks[].match',
      'sip.dns_servers',
      'domains[].trusted',
      'domains[].proxies',
      'domains[].registration',
      'domains[].trunk.auth',
      'domains[].trunk.users',
      'domains[].trunk.routes[].prefix',
      'domains[].trunk.routes[].strip',
      'domains[].trunk.routes[].add',
      'store.old_secret_keys',
    ];
    for (const { path, fallback } of keys.filter((row) => row.presence === 'default' && !lists.includes(row.path))) {
      const value = path.split('.').reduce<unknown>((at, step, index, steps) => {
        const next = (at as Record<string, unknown>)[step.replace('[]', '')];
        return Array.isArray(next) && step.endsWith('[]')
          ? (next.find((one) => (steps[index + 1] as string).replace('[]', '') in one) ?? next[0])
          : next;
      }, tree);
      expect([path, value]).toEqual([path, fallback]);
    }
  });

  it('names every environment variable', () => {
    for (const { env } of keys) if (env !== undefined) expect(text).toContain(env);
  });
});
