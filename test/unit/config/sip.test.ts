/** The section `sip`: listeners, certificates and limits, and what is said when they are wrong. */
import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeServerIdentity } from '../../../apps/push-lab/certificate.ts';
import { followCertificates, type Following, type TlsTexts } from '../../../lib/config/certificates.ts';
import { engineOptions } from '../../../lib/config/engine-options.ts';
import { load, type Config } from '../../../lib/config/load.ts';
import { Secret } from '../../../lib/config/secret.ts';
import { settle, type EngineOptions } from '../../../lib/engine/options.ts';

const folder = mkdtempSync(join(tmpdir(), 'reveille-sip-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const one = makeServerIdentity({ hosts: ['edge.test'], addresses: [] });
const two = makeServerIdentity({ hosts: ['edge.test'], addresses: [] });

beforeAll(() => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const locked = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'x' });
  for (const [name, text] of Object.entries({
    'one.pem': one.certificate + one.ca,
    'one.key': one.key,
    'two.key': two.key,
    'ca.pem': one.ca,
    'junk.pem': 'hello',
    'locked.key': locked.toString(),
    'half.pem': '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n',
  }))
    writeFileSync(join(folder, name), text);
});

function loaded(sip: unknown, rest: object = {}): Config {
  const file = join(folder, 'config.yaml');
  writeFileSync(file, JSON.stringify({ sip, ...rest }));
  return load({ file, env: {} });
}

function mistakesOf(sip: unknown, rest: object = {}): string[] {
  try {
    loaded(sip, rest);
  } catch (error) {
    return (error as Error).message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  throw new Error('the configuration was accepted');
}

const certified = { cert_file: 'one.pem', key_file: 'one.key' };

describe('sip.listen', () => {
  it('takes every transport on IPv4 and IPv6, any number of them, and what peers are told instead', () => {
    const { sip } = loaded({
      listen: [
        'tls://0.0.0.0:5061',
        'tls://[::]:5061',
        'wss://192.0.2.1:443;advertise=edge.example.com:8443',
        'ws://[::1]:0;advertise=edge.example.com',
        'udp://10.0.0.1:5060;advertise=[2001:db8::1]:5070',
        'tcp://10.0.0.1:5060;advertise=203.0.113.9',
      ],
      tls: certified,
    });
    expect(sip.listen).toEqual([
      { transport: 'tls', address: '0.0.0.0', port: 5061 },
      { transport: 'tls', address: '::', port: 5061 },
      { transport: 'wss', address: '192.0.2.1', port: 443, advertise: { host: 'edge.example.com', port: 8443 } },
      { transport: 'ws', address: '::1', port: 0, advertise: { host: 'edge.example.com' } },
      { transport: 'udp', address: '10.0.0.1', port: 5060, advertise: { host: '2001:db8::1', port: 5070 } },
      { transport: 'tcp', address: '10.0.0.1', port: 5060, advertise: { host: '203.0.113.9' } },
    ]);
  });

  it.each([
    'sctp://10.0.0.1:5060',
    'tls://edge:5061',
    'tls://::1:5061',
    'udp://10.0.0.1:5060;advertise=a b',
    'udp://10.0.0.1:5060;advertise=x:0',
    'udp://10.0.0.1:5060;x=1',
  ])('refuses %s', (listen) => {
    expect(mistakesOf({ listen: [listen], tls: certified })).toEqual([
      expect.stringContaining('sip.listen[0]: expected transport://address:port'),
    ]);
  });

  it('[EDGE-WS-09] refuses ws:// in a public place unless it is asked for', () => {
    for (const address of ['0.0.0.0', '203.0.113.5', '[::]', '[2001:db8::1]'])
      expect(mistakesOf({ listen: [`ws://${address}:80`] })).toEqual([
        expect.stringMatching(
          /^sip\.listen\[0\]: expected wss, or ws at a loopback or private address .*, found ws at /,
        ),
      ]);
    for (const address of ['127.0.0.1', '10.1.2.3', '192.168.0.1', '[::1]', '[fd00::1]'])
      expect(loaded({ listen: [`ws://${address}:80`] }).sip.listen).toHaveLength(1);
    expect(loaded({ listen: ['ws://0.0.0.0:80'], websocket: { plain: 'anywhere' } }).sip.listen).toHaveLength(1);
  });
});

describe('two listeners', () => {
  it('have two places; UDP and TCP share a port, TLS and TCP do not, and 0 is any', () => {
    expect(mistakesOf({ listen: ['udp://127.0.0.1:5060', 'tcp://127.0.0.1:5060', 'ws://127.0.0.1:5060'] })).toEqual([
      'sip.listen[2]: expected a place of its own, found that of listen[1]',
    ]);
    const good = ['udp://127.0.0.1:5060', 'tcp://127.0.0.1:5060', 'udp://127.0.0.2:5060', 'udp://127.0.0.1:0'];
    expect(loaded({ listen: [...good, 'udp://127.0.0.1:0'] }).sip.listen).toHaveLength(5);
  });
});

describe('sip.tls', () => {
  it('is needed for tls and wss, both files of it', () => {
    for (const transport of ['tls', 'wss'])
      expect(mistakesOf({ listen: [`${transport}://127.0.0.1:1`] })).toEqual([
        `sip.tls.cert_file: expected a file, because listen has ${transport}, found nothing`,
        `sip.tls.key_file: expected a file, because listen has ${transport}, found nothing`,
      ]);
    expect(mistakesOf({ tls: { key_file: 'one.key' } })).toEqual([
      'sip.tls.cert_file: expected certificate and key together, found only the other',
    ]);
  });

  it.each([
    [{ ...certified, cert_file: 'none.pem' }, 'sip.tls.cert_file: expected a readable file, found no such file'],
    [{ ...certified, cert_file: 'junk.pem' }, 'sip.tls.cert_file: expected PEM certificates, found none'],
    [
      { ...certified, cert_file: 'half.pem' },
      'sip.tls.cert_file: expected PEM certificates, found one that cannot be read',
    ],
    [{ ...certified, key_file: '.' }, 'sip.tls.key_file: expected a readable file, found a folder'],
    [
      { ...certified, key_file: 'junk.pem' },
      'sip.tls.key_file: expected a private key in PEM without a passphrase, found no PEM',
    ],
    [
      { ...certified, key_file: 'locked.key' },
      'sip.tls.key_file: expected a private key in PEM without a passphrase, found one with a passphrase',
    ],
    [
      { ...certified, key_file: 'two.key' },
      'sip.tls.key_file: expected the private key of the first certificate in cert_file, found the key of another',
    ],
    [{ ...certified, ca_file: 'junk.pem' }, 'sip.tls.ca_file: expected PEM certificates, found none'],
    [{ ...certified, min_version: 'SSLv3' }, 'sip.tls.min_version: expected one of TLSv1.2, TLSv1.3, found "SSLv3"'],
  ])('says what is wrong with %j', (tls, mistake) => {
    expect(mistakesOf({ tls })).toEqual([mistake]);
  });

  it('an upstream over TLS needs a listener for its calls', () => {
    const domains = [{ name: '*', upstream: 'sips:pbx.example.com' }];
    expect(mistakesOf({}, { domains })).toEqual([
      'domains[0].upstream: expected a transport that sip.listen has as well, found tls',
    ]);
    const { domains: read } = loaded({ listen: ['tls://127.0.0.1:0'], tls: certified }, { domains });
    expect(read[0]?.upstream).toEqual({
      uri: 'sips:pbx.example.com',
      host: 'pbx.example.com',
      transport: 'tls',
    });
  });
});

describe('engineOptions', () => {
  it('says everything of the section to the engine', () => {
    const { sip, engine } = loaded({
      listen: ['wss://127.0.0.1:0'],
      external_address: 'edge.test',
      dns_servers: ['10.0.0.53'],
      tcp_above_bytes: 1000,
      tls: { ...certified, ca_file: 'ca.pem', min_version: 'TLSv1.3' },
      websocket: { origins: ['HTTPS://Phone.example.com'], cookie: 'session=a=b', ping_seconds: 7 },
      limits: {
        message_bytes: 9000,
        headers: 40,
        connections: 70,
        connections_per_address: 5,
        handshake_seconds: 2,
        message_seconds: 3,
        idle_seconds: 61,
      },
    });
    if (engine.kind !== 'embedded') throw new Error(engine.kind);
    const options: Omit<EngineOptions, 'control'> = engineOptions(sip, engine);
    expect(options).toMatchObject({
      listen: [{ transport: 'wss', address: '127.0.0.1', port: 0 }],
      externalAddress: 'edge.test',
      dns: { servers: ['10.0.0.53'] },
      tcpAboveBytes: 1000,
      tls: { cert: one.certificate + one.ca, key: one.key, ca: one.ca, minVersion: 'TLSv1.3' },
      webSocket: {
        origins: ['https://phone.example.com'],
        cookie: { name: 'session', value: 'a=b' },
        pingMs: 7000,
      },
      limits: {
        messageBytes: 9000,
        headers: 40,
        connections: 70,
        connectionsPerAddress: 5,
        handshakeMs: 2000,
        halfMessageMs: 3000,
        idleMs: 61_000,
      },
    });
  });

  it('has the same defaults as the engine itself', () => {
    const control = { port: 0, secret: 'x' };
    const bare = settle({ listen: [], control });
    const { sip, engine } = load({ env: {} });
    if (engine.kind !== 'embedded') throw new Error(engine.kind);
    expect(settle({ ...engineOptions(sip, engine), control })).toEqual(bare);
  });
});

describe('followCertificates', () => {
  const paths = { certFile: join(folder, 'live.pem'), keyFile: join(folder, 'live.key') };
  const put = (identity: typeof one): void => {
    writeFileSync(paths.certFile, identity.certificate);
    writeFileSync(paths.keyFile, identity.key);
  };
  interface Told {
    readonly outcome: string;
    readonly texts: TlsTexts;
    readonly why: string | undefined;
  }

  function following(apply: Following['apply'] = () => {}): {
    next(): Promise<Told>;
    follower: ReturnType<typeof followCertificates>;
  } {
    const said: Told[] = [];
    let wake = (): void => {};
    const follower = followCertificates({
      paths,
      texts: { cert: one.certificate, key: new Secret(one.key) },
      apply,
      told: (outcome, texts, why) => {
        said.push({ outcome, texts, why });
        wake();
      },
      everyMs: 30,
    });
    const next = async (): Promise<Told> => {
      while (said.length === 0)
        await new Promise<void>((done) => {
          wake = done;
        });
      return said.shift() as Told;
    };
    return { next, follower };
  }

  it('takes a changed pair into use without being told, and only when it is whole', async () => {
    put(one);
    const applied: (string | undefined)[] = [];
    const { next, follower } = following((texts) => void applied.push(texts.cert));
    try {
      put(two);
      expect((await next()).outcome).toBe('accepted');
      expect(applied).toEqual([two.certificate]);
      // touched and not changed: nobody needs to know
      utimesSync(paths.certFile, new Date(), new Date(statSync(paths.certFile).mtimeMs + 5000));
      await new Promise((done) => setTimeout(done, 150));
      put(one);
      utimesSync(paths.certFile, new Date(), new Date(statSync(paths.certFile).mtimeMs + 9000));
      expect((await next()).outcome).toBe('accepted');
      expect(applied).toEqual([two.certificate, one.certificate]);
    } finally {
      follower.stop();
    }
  });

  it('keeps the old ones when the new are missing, wrong or of no use, and says why without what is in them', async () => {
    put(one);
    const { next, follower } = following(() => {
      throw new Error('the engine does not want them');
    });
    try {
      await follower.reload();
      expect(await next()).toMatchObject({ outcome: 'refused', why: 'the engine does not want them' });
      writeFileSync(paths.keyFile, two.key);
      await follower.reload();
      expect((await next()).why).toBe(
        'key_file: expected the private key of the first certificate in cert_file, found the key of another',
      );
      rmSync(paths.certFile);
      await follower.reload();
      expect((await next()).why).toBe('cert_file: expected a readable file, found no such file');
    } finally {
      follower.stop();
    }
  });
});
