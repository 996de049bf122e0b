import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { load, type Config } from '../../../lib/config/load.ts';
import { configKeys } from '../../../lib/config/schema.ts';
import { Secret } from '../../../lib/config/secret.ts';
import { EdgeError } from '../../../lib/errors.ts';
import { aSigningKey } from '../../support/a-key.ts';

const folder = mkdtempSync(join(tmpdir(), 'reveille-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function write(text: string): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, text);
  return path;
}

function loadText(text: string, env: Record<string, string> = {}): Config {
  return load({ file: write(text), env });
}

function mistakesOf(text: string, env: Record<string, string> = {}): string {
  try {
    loadText(text, env);
  } catch (error) {
    expect(error).toBeInstanceOf(EdgeError);
    expect((error as EdgeError).code).toBe('EDGE_CONFIG_INVALID');
    return (error as EdgeError).message;
  }
  throw new Error('the configuration was accepted');
}

const app = {
  name: 'ios',
  provider: 'apns',
  match: ['ABCDE12345.com.example.app'],
  team_id: 'ABCDE12345',
  key_id: 'KEY1234567',
};

describe('load', () => {
  it('starts without any file, as a mid-registrar for every domain', () => {
    const config = load({ env: {} });
    expect(config.domains).toEqual([
      {
        name: '*',
        registration: 'mid-registrar',
        withoutPath: 'accept',
        requirePath: true,
        pbxWithoutPath: 'refuse',
        proxies: [],
        serviceRoute: false,
        upstream: { uri: 'sip:127.0.0.1:5080;transport=udp', host: '127.0.0.1', port: 5080, transport: 'udp' },
        upstreams: [],
        availability: {
          probeTimeoutMs: 4000,
          probeAccept: 'any',
          downAfter: 3,
          upAfter: 2,
          tryMs: 4000,
          restSeconds: 30,
          ready: false,
        },
        trusted: [],
        users: [],
        accounts: [],
        algorithms: ['SHA-256', 'MD5'],
      },
    ]);
    expect(config.sip.listen).toEqual([
      { transport: 'udp', address: '0.0.0.0', port: 5060 },
      { transport: 'tcp', address: '0.0.0.0', port: 5060 },
    ]);
    expect(config.http.listen).toEqual({ address: '0.0.0.0', port: 9090 });
    expect(config.engine).toMatchObject({ kind: 'embedded', timers: { t1Ms: 500, t2Ms: 4000, t4Ms: 5000 } });
    expect(config.store).toEqual({ kind: 'lmdb', path: join(process.cwd(), 'data') });
    expect(config.push.apps).toEqual([]);
  });

  it('takes an empty file, and keys without a value, as left out', () => {
    const defaults = load({ env: {} });
    expect({ ...loadText(''), store: defaults.store, file: undefined }).toEqual(defaults);
    expect({ ...loadText('sip:\nwake:\n  hold_seconds:\n'), store: defaults.store, file: undefined }).toEqual(defaults);
  });

  it('wants the default expiry between the shortest and the longest', () => {
    expect(mistakesOf('registration: { default_expires: 300 }')).toContain(
      'registration.default_expires: expected from min_expires (600) to max_expires (604800), found 300',
    );
    expect(loadText('registration: { min_expires: 60, default_expires: 300 }').registration.defaultExpires).toBe(300);
  });

  it('freezes what it gives back, through and through', () => {
    const config = loadText('domains: [{ name: a.example, upstream: "sip:10.0.0.1", trusted: [10.0.0.0/8] }]');
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen));
    expect(frozen(config)).toBe(true);
  });

  it('tells all mistakes together, each with its key, what was expected and what was found', () => {
    const message = mistakesOf(`
sip: { listen: ['sctp://1.2.3.4:5061', 'udp://0.0.0.0:99999'] }
wake: { hold_seconds: 90 }
store: { kind: redis }
http: 7
domains: [{ name: example.com, upstream: 'sip:10.0.0.1' }, { name: other.example }]
`);
    expect(message.split('\n').slice(1)).toEqual([
      '  sip.listen[0]: expected transport://address:port[;advertise=host[:port]] such as udp://0.0.0.0:5060, the transport udp, tcp, tls, ws or wss, found "sctp://1.2.3.4:5061"',
      '  sip.listen[1]: expected transport://address:port[;advertise=host[:port]] such as udp://0.0.0.0:5060, the transport udp, tcp, tls, ws or wss, found "udp://0.0.0.0:99999"',
      '  http: expected a mapping of keys, found 7',
      '  store.redis_url: expected an address, because store.kind is redis, found nothing',
      '  domains[1].upstream: expected sip:host[:port][;transport=udp|tcp|tls] such as sip:10.0.0.5:5060;transport=udp or sip:pbx.example.com, or sips:host[:port], found nothing',
      '  wake.hold_seconds: expected a whole number of seconds, 5 to 60, found 90',
    ]);
  });

  it('stops at an unknown key, names those it knows, and does not show its value', () => {
    const message = mistakesOf('store: { redis_pasword: hunter2 }\nwakes: {}');
    expect(message).toContain(
      'store.redis_pasword: expected one of the keys kind, path, redis_url, redis, key_prefix, secret_key, secret_key_file, old_secret_keys, found an unknown key',
    );
    expect(message).toContain('wakes: expected one of the keys sip, engine, http, store, nodes, domains,');
    expect(message).not.toContain('hunter2');
  });

  it.each([
    ['[1, 2]', 'expected a mapping of keys, found a list of 2'],
    ['just words', 'expected a mapping of keys, found text'],
    ['a: b: c', 'expected well-formed YAML'],
    ['http: {listen: 1}\nhttp: {listen: 2}', 'duplicate key in line 2, column 1'],
    ['a: *hunter2', 'a value that begins with * needs quotes'],
  ])('says what is wrong with a file that is %j', (text, sentence) => {
    const message = mistakesOf(text);
    expect(message).toContain(sentence);
    expect(message).not.toContain('hunter2');
  });

  it('names a config file that is not there', () => {
    expect(() => load({ file: join(folder, 'none.yaml'), env: {} })).toThrow(/none\.yaml.*\n.*no such file/);
    expect(() => load({ env: { REVEILLE_CONFIG: folder } })).toThrow(/found a folder/);
  });

  it('refuses or accepts any YAML value under any key, and never breaks otherwise', () => {
    const key = fc.constantFrom(...configKeys.map((row) => row.path.replaceAll('[]', '').split('.')));
    fc.assert(
      fc.property(key, fc.jsonValue(), ([first = '', second, third], value) => {
        const inner = third === undefined ? value : { [third]: value };
        const tree = { [first]: second === undefined ? inner : { [second]: inner } };
        try {
          loadText(stringify(tree));
        } catch (error) {
          expect(error).toBeInstanceOf(EdgeError);
          expect((error as EdgeError).code).toBe('EDGE_CONFIG_INVALID');
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('environment', () => {
  it('wins over the file and is named when it is wrong', () => {
    expect(loadText('http: {listen: "127.0.0.1:1"}', { REVEILLE_HTTP_LISTEN: '[::1]:0' }).http.listen).toEqual({
      address: '::1',
      port: 0,
    });
    expect(mistakesOf('', { REVEILLE_HTTP_LISTEN: 'here' })).toContain(
      'http.listen (from REVEILLE_HTTP_LISTEN): expected address:port',
    );
    expect(mistakesOf('', { REVEILLE_HOLD_SECONDS: 'long' })).toContain(
      'wake.hold_seconds (from REVEILLE_HOLD_SECONDS): expected a whole number',
    );
  });

  it('reads lists with commas and numbers as numbers; an empty variable counts as none', () => {
    const env = {
      REVEILLE_SIP_LISTEN: 'udp://127.0.0.1:0, tcp://[::]:5060',
      REVEILLE_HOLD_SECONDS: '12',
      REVEILLE_STORE: '',
    };
    const config = load({ env });
    expect(config.sip.listen).toEqual([
      { transport: 'udp', address: '127.0.0.1', port: 0 },
      { transport: 'tcp', address: '::', port: 5060 },
    ]);
    expect(config.wake.holdSeconds).toBe(12);
    expect(config.store.kind).toBe('lmdb');
  });

  it('reads what a listener advertises, and refuses what is no host or port', () => {
    const listen = (value: string) => loadText(`sip: { listen: ["${value}"] }`).sip.listen[0];
    expect(listen('udp://0.0.0.0:5060;advertise=edge.example.com')).toMatchObject({
      advertise: { host: 'edge.example.com' },
    });
    expect(listen('tcp://[::]:5062;advertise=[2001:db8::1]:5060')).toEqual({
      transport: 'tcp',
      address: '::',
      port: 5062,
      advertise: { host: '2001:db8::1', port: 5060 },
    });
    for (const wrong of ['advertise=', 'advertise=a b', 'advertise=edge:0', 'advertise=2001:db8::1', 'told=edge', ''])
      expect(() => listen(`udp://0.0.0.0:5060;${wrong}`), wrong).toThrow(/sip.listen\[0\]/);
  });

  it('leaves to DNS what the name of an upstream does not say', () => {
    const upstream = (value: string) =>
      loadText(`domains: [{ name: a.example, upstream: "${value}" }]`).domains[0]?.upstream;
    expect(upstream('sip:pbx.example.com')).toEqual({ uri: 'sip:pbx.example.com', host: 'pbx.example.com' });
    expect(upstream('sip:pbx.example.com;transport=tcp')).toMatchObject({ transport: 'tcp' });
    expect(loadText('sip: { dns_servers: [10.0.0.53, "[::1]:5353"] }').sip.dnsServers).toEqual([
      '10.0.0.53',
      '[::1]:5353',
    ]);
    expect(() => loadText('sip: { dns_servers: [dns.example] }')).toThrow(/sip.dns_servers\[0\]/);
  });

  it('sets the upstream of the domain *, which it adds when the file lists others only', () => {
    const env = { REVEILLE_UPSTREAM: 'sip:[2001:db8::5]:5070;transport=tcp' };
    const upstream = { uri: env.REVEILLE_UPSTREAM, host: '2001:db8::5', port: 5070, transport: 'tcp' };
    expect(load({ env }).domains).toMatchObject([{ name: '*', upstream }]);
    const config = loadText('domains: [{ name: a.example, upstream: "sip:10.0.0.1" }]', env);
    expect(config.domains.map((domain) => [domain.name, domain.upstream?.host])).toEqual([
      ['a.example', '10.0.0.1'],
      ['*', '2001:db8::5'],
    ]);
  });

  it('names a drachtio-server', () => {
    const config = load({
      env: {
        REVEILLE_ENGINE: 'drachtio',
        DRACHTIO_HOST: 'sip.internal',
        DRACHTIO_PORT: '9099',
        DRACHTIO_SECRET: '12345',
      },
    });
    expect(config.engine).toMatchObject({ kind: 'drachtio', host: 'sip.internal', port: 9099 });
    expect(config.engine.kind === 'drachtio' && config.engine.secret.reveal()).toBe('12345');
    expect(mistakesOf('engine: {kind: drachtio}')).toContain(
      'engine.drachtio.secret: expected the secret, because engine.kind is drachtio, found nothing',
    );
  });
});

describe('domains', () => {
  it('reads trusted addresses and subnets for net.BlockList', () => {
    const config = loadText(
      'domains: [{ name: a.example, upstream: "sip:pbx", trusted: [10.0.0.7, "2001:db8::/32"] }]',
    );
    expect(config.domains[0]?.trusted).toEqual([
      { address: '10.0.0.7', prefix: 32, family: 'ipv4' },
      { address: '2001:db8::', prefix: 32, family: 'ipv6' },
    ]);
    expect(mistakesOf('domains: [{ name: a.example, upstream: "sip:pbx", trusted: [10.0.0.0/33] }]')).toContain(
      'domains[0].trusted[0]: expected an address or a subnet',
    );
  });

  it.each([
    'sip:10.0.0.300',
    'sip:pbx:0',
    'sip:pbx:70000',
    'sips:pbx;transport=udp',
    'sip:user@pbx',
    'sip:pbx;transport=wss',
    'sip:::1',
    '10.0.0.5',
  ])('refuses %s as an upstream', (upstream) => {
    expect(mistakesOf(stringify({ domains: [{ name: '*', upstream }] }))).toContain(
      'domains[0].upstream: expected sip:host',
    );
  });

  it('wants each domain and each user once', () => {
    const twice = [
      { name: 'A.example', upstream: 'sip:pbx' },
      { name: 'a.example', upstream: 'sip:pbx' },
    ];
    expect(mistakesOf(stringify({ domains: twice }))).toContain(
      'domains[1].name: expected each domain once, found "a.example" again',
    );
    const users = [
      { name: 'bob', password: 'x' },
      { name: 'bob', password: 'y' },
    ];
    expect(
      mistakesOf(stringify({ domains: [{ name: '*', upstream: 'sip:pbx', registration: 'registrar', users }] })),
    ).toContain('domains[0].users[1].name: expected a name no other user of this domain has');
  });

  it('wants a password or an HA1, not both and not none, and users in registrar mode only', () => {
    const domain = (user: object, registration = 'registrar') =>
      stringify({ domains: [{ name: '*', upstream: 'sip:pbx', registration, users: [{ name: 'bob', ...user }] }] });
    expect(mistakesOf(domain({}))).toContain(
      'domains[0].users[0]: expected either password, or ha1_md5 and/or ha1_sha256, found none of them',
    );
    expect(mistakesOf(domain({ password: 'a', ha1_md5: '0'.repeat(32) }))).toContain('found both');
    expect(mistakesOf(domain({ password: 'a' }, 'mid-registrar'))).toContain(
      'domains[0].users: expected no users but with registration registrar',
    );
    expect(
      loadText(
        domain({ ha1_md5: 'A'.repeat(32), ha1_sha256: '0'.repeat(64) }),
      ).domains[0]?.users[0]?.ha1Sha256?.reveal(),
    ).toBe('0'.repeat(64));
  });
});

describe('push apps', () => {
  it('reads the key and the certificates from files beside the config', () => {
    const key = aSigningKey();
    writeFileSync(join(folder, 'app.p8'), key);
    const config = loadText(stringify({ push: { apps: [{ ...app, key_file: 'app.p8', call_expiration: 0 }] } }));
    expect(config.push.apps[0]).toMatchObject({
      name: 'ios',
      environment: 'auto',
      profile: 'opaque',
      privacy: 'full',
      callExpiration: 0,
      teamId: 'ABCDE12345',
    });
    const [first] = config.push.apps;
    expect(first?.provider === 'apns' && first.key.reveal()).toBe(key);
    expect(config.push.apps[0]).not.toHaveProperty('ca');
  });

  it('names the key of a file that is missing or holds something else', () => {
    writeFileSync(join(folder, 'p384.p8'), aSigningKey('secp384r1'));
    writeFileSync(join(folder, 'words.pem'), 'hunter2');
    const apps = [
      { ...app, name: 'a', match: ['a'], key_file: 'none.p8' },
      { ...app, name: 'b', match: ['b'], key_file: 'p384.p8', ca_file: 'words.pem' },
      { ...app, name: 'c', match: ['c'], key: '-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----' },
      { ...app, name: 'd', match: ['d'], key_file: 'words.pem' },
    ];
    const message = mistakesOf(stringify({ push: { apps } }));
    expect(message.split('\n').slice(1)).toEqual([
      '  push.apps[0].key_file: expected a readable file, found no such file',
      '  push.apps[1].key_file: expected an EC P-256 private key in PEM, found a private key of kind secp384r1',
      '  push.apps[1].ca_file: expected PEM certificates, found none',
      '  push.apps[2].key: expected an EC P-256 private key in PEM, found PEM that is no usable private key',
      '  push.apps[3].key_file: expected an EC P-256 private key in PEM, found no PEM',
    ]);
  });

  it('wants one source of the key, each name once and each match in one app', () => {
    const key = aSigningKey();
    expect(mistakesOf(stringify({ push: { apps: [app] } }))).toContain(
      'push.apps[0]: expected either key_file or key, found neither',
    );
    const message = mistakesOf(
      stringify({
        push: {
          apps: [
            { ...app, key },
            { ...app, key },
          ],
        },
      }),
    );
    expect(message).toContain('push.apps[1].name: expected each app name once, found "ios" again');
    expect(message).toContain(
      'push.apps[1].match: expected each value in one app only, found "ABCDE12345.com.example.app" again',
    );
  });
});

describe('secrets', () => {
  it('never stand in a message, whatever is wrong with them or around them', () => {
    const message = mistakesOf(`
engine: { kind: drachtio, drachtio: { secret: [hunter2] } }
store: { kind: redis, redis_url: 'http://hunter2@host' }
domains: [{ name: '*', upstream: 'sip:me:hunter2@pbx', registration: registrar, users: [{ name: bob, ha1_md5: hunter2 }, { name: eve, password: 4711 }] }]
push: { apps: [{ name: ios, key: hunter2 }] }
`);
    for (const key of [
      'engine.drachtio.secret',
      'store.redis_url',
      'users[0].ha1_md5',
      'users[1].password',
      'push.apps[0].key',
    ])
      expect(message).toContain(key);
    expect(message).not.toMatch(/hunter2|4711/);
  });

  it('say [secret] in every way of printing them', () => {
    const config = load({ env: { REVEILLE_STORE: 'redis', REVEILLE_REDIS_URL: 'redis://:hunter2@host' } });
    const secret = new Secret('hunter2');
    const printed = [
      String(secret),
      JSON.stringify({ secret }),
      inspect(secret, { showHidden: true }),
      String(Object.values(secret)),
      inspect(config, { depth: 9 }),
      JSON.stringify(config),
    ];
    expect(printed.join()).not.toContain('hunter2');
    expect(secret.reveal()).toBe('hunter2');
  });
});
