import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { load } from '../../../lib/config/load.ts';

const root = join(import.meta.dirname, '../../..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

interface Service {
  readonly image?: string;
  readonly network_mode?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
}
const compose = parse(read('docker-compose.yml')) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: object;
};
const { drachtio, redis, edge, prometheus } = compose.services;

/** Names of the elements in order, or the first fault. Enough XML for one file without entities or CDATA. */
function elements(xml: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  const bare = xml.replace(/<!--((?!--)[\s\S])*-->/g, '');
  for (const [, end, name = '', rest = ''] of bare.matchAll(/<(\/?)([\w-]+)([^<>]*)>/g)) {
    if (end === '/') expect(open.pop()).toBe(name);
    else {
      expect(rest).toMatch(/^(\s+[\w-]+="[^"<&]*")*\s*\/?$/);
      names.push([...open, name].join('/'));
      if (!rest.endsWith('/')) open.push(name);
    }
  }
  expect(open).toEqual([]);
  expect(bare.replace(/<[^<>]*>/g, '')).not.toMatch(/[<>]|--/);
  return names;
}

describe('docker-compose.yml', () => {
  it('runs the edge, a drachtio-server, Redis and Prometheus', () => {
    expect(Object.keys(compose.services)).toEqual(['drachtio', 'redis', 'edge', 'prometheus']);
    expect(drachtio?.image).toMatch(/^drachtio\/drachtio-server:0\.9\.\d+$/);
    expect(redis?.image).toMatch(/^redis:7/);
  });

  it('mounts files and volumes that exist', () => {
    for (const mount of Object.values(compose.services).flatMap((one) => one.volumes ?? [])) {
      const source = mount.split(':')[0] ?? '';
      if (source.startsWith('./')) expect(existsSync(join(root, source)), source).toBe(true);
      else expect(Object.keys(compose.volumes)).toContain(source);
    }
  });

  it('opens nothing but SIP to the network, and has no secret in it', () => {
    for (const port of redis?.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/);
    expect(prometheus?.command?.join()).toContain('--web.listen-address=127.0.0.1:');
    expect(redis?.command).toContain('noeviction');
    for (const text of [read('docker-compose.yml'), read('reveille.compose.yaml'), read('drachtio.conf.xml')]) {
      expect(text).not.toMatch(/(?:secret|password)["']?\s*[:=]\s*["']?(?!\$|set |["']?$)\w+/im);
    }
  });

  it('gives the edge a configuration it accepts', () => {
    const env = Object.fromEntries(
      Object.entries(edge?.environment ?? {}).map(([name, value]) => [
        name,
        value.replace(/\$\{(\w+):[^}]*\}/g, (_, variable: string) =>
          variable === 'REVEILLE_UPSTREAM' ? 'sip:10.0.0.5;transport=tcp' : 'a-secret',
        ),
      ]),
    );
    const config = load({ file: join(root, 'reveille.compose.yaml'), env });
    expect(config.engine).toMatchObject({ kind: 'drachtio', host: '127.0.0.1', port: 9022 });
    expect(config.store).toMatchObject({ kind: 'redis' });
    expect(config.domains).toMatchObject([{ name: '*', upstream: { host: '10.0.0.5', transport: 'tcp' } }]);
    const scrape = parse(read('prometheus.yml')) as { scrape_configs: { static_configs: { targets: string[] }[] }[] };
    const { address, port } = config.http.listen;
    expect(scrape.scrape_configs[0]?.static_configs[0]?.targets).toEqual([`${address}:${port}`]);
  });
});

describe('drachtio.conf.xml', () => {
  const xml = read('drachtio.conf.xml');

  it('is well formed and has the parts the server reads', () => {
    expect(elements(xml)).toEqual([
      'drachtio',
      'drachtio/admin',
      'drachtio/sip',
      'drachtio/sip/contacts',
      'drachtio/sip/contacts/contact',
      'drachtio/cdrs',
      'drachtio/logging',
      'drachtio/logging/sofia-loglevel',
      'drachtio/logging/loglevel',
    ]);
  });

  it('takes apps from this machine only, speaks UDP and TCP, and does not log messages', () => {
    expect(xml).toMatch(/<admin port="9022">127\.0\.0\.1<\/admin>/);
    expect(xml).toMatch(/<contact>[^<]*;transport=udp,tcp<\/contact>/);
    expect(xml).toMatch(/<loglevel>(warning|error)<\/loglevel>/);
  });
});

describe('Dockerfile', () => {
  it('runs as nobody special, what tsc makes, and copies what exists', () => {
    const text = read('Dockerfile');
    expect(text).toMatch(/^USER node$/m);
    expect(text).toContain('dist/apps/edge/main.js');
    for (const [, sources = ''] of text.matchAll(/^COPY (?!--from)(.*) \S+$/gm)) {
      for (const source of sources.split(' ')) expect(existsSync(join(root, source)), source).toBe(true);
    }
  });
});

describe('.ci/run', () => {
  it('can be run and runs the tests', () => {
    expect(statSync(join(root, '.ci/run')).mode & 0o111).not.toBe(0);
    expect(read('.ci/run')).toMatch(/^exec npm test$/m);
  });
});
