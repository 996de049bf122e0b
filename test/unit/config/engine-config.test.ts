import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { contactListeners, drachtioConf } from '../../../lib/config/drachtio-conf.ts';
import { readEngineArguments } from '../../../lib/config/engine-arguments.ts';
import { type EngineProcessConfig, loadEngineConfig } from '../../../lib/config/engine-config.ts';
import type { Environment } from '../../../lib/config/tree.ts';
import { makeServerIdentity } from '../../../apps/push-lab/certificate.ts';

const folder = mkdtempSync(join(tmpdir(), 'reveille-engine-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
const long = 'a-secret-of-some-length';

function written(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

function run(
  words: readonly string[],
  env: Environment = {},
): { config: EngineProcessConfig; left: readonly string[] } {
  const asked = readEngineArguments(words, env);
  if (asked.is !== 'run') throw new Error(asked.is);
  return asked;
}

const ofXml = (body: string, env: Environment = {}): EngineProcessConfig =>
  loadEngineConfig(drachtioConf(`<drachtio>${body}</drachtio>`, 'conf.xml'), env);

describe('the config of the engine process', () => {
  it('needs nothing but a secret', () => {
    const { config } = run([], { DRACHTIO_SECRET: long });
    expect(config.control).toMatchObject({ host: '127.0.0.1', port: 9022 });
    expect(config.control.secret.reveal()).toBe(long);
    expect(config.sip.listen).toHaveLength(2);
    expect(config.appLimits).toMatchObject({ apps: 64, frameBytes: 1_048_576, appStallMs: 30_000 });
    expect(config.engine.timers).toEqual({ t1Ms: 500, t2Ms: 4000, t4Ms: 5000 });
    expect(config.warnings).toEqual([]);
    expect(() => run([], {})).toThrow(
      'control.secret: expected the secret edges must show, as text, at most 1024 characters and no vertical bar, found nothing',
    );
  });

  it('refuses a control port for others with a secret that can be guessed, and warns of one without TLS', () => {
    const open = written('open.yaml', 'control: { listen: "192.0.2.1:9022", secret: cymru }');
    expect(() => run(['--config', open])).toThrow('control.secret: expected at least 16 characters');
    expect(() => run(['--config', open])).not.toThrow(/cymru/);
    const { warnings } = run(['--config', open], { DRACHTIO_SECRET: long }).config;
    expect(warnings).toEqual([expect.stringContaining('not only on loopback')]);
    const near = written('near.yaml', 'control: { secret: cymru }');
    expect(run(['--config', near]).config.warnings).toEqual([expect.stringContaining('short or well known')]);
  });

  it('refuses what could never work: a secret that cannot be shown, one port twice, a pause above the end, T1 above T2', () => {
    const wrong = (control: string, rest = ''): string => {
      const text = `{ control: { ${control} }${rest} }`;
      try {
        run(['--config', written('never.yaml', text)], { DRACHTIO_SECRET: long });
      } catch (error) {
        return String(error);
      }
      return '';
    };
    for (const secret of ['a|bar-in-a-long-secret', 'x'.repeat(1025)])
      expect(() => run([], { DRACHTIO_SECRET: secret })).toThrow('no vertical bar, found text (not shown)');
    expect(wrong('listen: "127.0.0.1:9022", tls_port: 9022')).toContain(
      'control.tls_port: expected another port than that of listen, found 9022',
    );
    expect(wrong('pause_octets: 70000, backlog_octets: 70000')).toContain(
      'control.pause_octets: expected less than backlog_octets (70000), found 70000',
    );
    expect(wrong('max_apps: 2', ', engine: { timers: { t1_ms: 4000, t2_ms: 500 } }')).toContain(
      'engine.timers.t1_ms: expected no more than t2_ms (500), found 4000',
    );
    expect(wrong('max_apps: 2')).toBe('');
  });

  it('reads certificate and key of the TLS port, by default those of SIP, and says which is wrong', () => {
    const { certificate, key } = makeServerIdentity({ hosts: ['engine.test'], addresses: [] });
    written('c.pem', certificate);
    written('k.pem', key);
    const yaml = (section: string, cert: string, its: string): string =>
      written(
        'tls.yaml',
        section === 'control'
          ? `control: { secret: ${long}, tls_port: 9023, cert_file: ${cert}, key_file: ${its} }`
          : `{ control: { secret: ${long}, tls_port: 9023 }, sip: { tls: { cert_file: ${cert}, key_file: ${its} } } }`,
      );
    for (const section of ['control', 'sip']) {
      const { tls } = run(['--config', yaml(section, 'c.pem', 'k.pem')]).config.control;
      expect([tls?.port, tls?.files.texts.cert, tls?.files.texts.key?.reveal()]).toEqual([9023, certificate, key]);
    }
    expect(() => run(['--config', yaml('control', 'k.pem', 'c.pem')])).toThrow(
      /control\.cert_file: expected PEM certificates, found none\n {2}control\.key_file: expected a private key in PEM/,
    );
    const half = written('half.yaml', `control: { secret: ${long}, tls_port: 9023 }`);
    expect(() => run(['--config', half])).toThrow('control.cert_file: expected a file, because there is a tls_port');
  });

  it('lets the command line win over the environment, and that over the file', () => {
    const file = written('words.yaml', `control: { secret: from-the-file }`);
    const env = { DRACHTIO_SECRET: 'from-the-environment', REVEILLE_SIP_LISTEN: 'udp://127.0.0.1:1' };
    expect(run(['--config', file], env).config.control.secret.reveal()).toBe('from-the-environment');
    const words = ['--config', file, '--secret', 'from-the-words', '--port', '9999', '--contact', 'sip:127.0.0.1:5070'];
    const { config } = run([...words, '--contact', 'sip:[::1];transport=tcp', '--external-ip', '203.0.113.7'], env);
    expect(config.control).toMatchObject({ host: '127.0.0.1', port: 9999 });
    expect(config.control.secret.reveal()).toBe('from-the-words');
    expect(config.sip.listen).toMatchObject([
      { transport: 'udp', address: '127.0.0.1', port: 5070 },
      { transport: 'tcp', address: '127.0.0.1', port: 5070 },
      { transport: 'tcp', address: '::1', port: 5060 },
    ]);
    expect(config.sip.externalAddress).toBe('203.0.113.7');
  });

  it.each([
    [['--port'], 'argument missing'],
    [['--nonsense'], "Unknown option '--nonsense'"],
    [['--config', 'a', '--drachtio-conf', 'b'], 'expected --config or --drachtio-conf, found both'],
    [['--config', ''], 'expected a file, found nothing'],
  ])('%j is told', (words, why) => {
    expect(readEngineArguments(words, {})).toMatchObject({ is: 'wrong', why: expect.stringContaining(why) as string });
  });

  it('tells a contact that cannot be read', () => {
    expect(() => run(['--contact', 'nonsense', '--secret', long])).toThrow(
      '--contact: expected sip:address[:port][;transport=udp,tcp], the address * for all, found "nonsense"',
    );
  });
});

describe('drachtio.conf.xml', () => {
  it('of this repository is accepted, and nothing in it is left out', () => {
    const file = join(import.meta.dirname, '../../../drachtio.conf.xml');
    const { config, left } = run(['--drachtio-conf', file], { DRACHTIO_SECRET: long });
    expect(left).toEqual([]);
    expect(config).toMatchObject({
      control: { host: '127.0.0.1', port: 9022 },
      sip: {
        listen: [
          { transport: 'udp', address: '0.0.0.0', port: 5060 },
          { transport: 'tcp', address: '0.0.0.0', port: 5060 },
        ],
      },
      log: { level: 'warn' },
      warnings: [],
    });
  });

  it('gives ports, secret, contacts, timers, log level and metrics', () => {
    const config = ofXml(`
      <admin port="9122" secret="${long}">127.0.0.1</admin>
      <sip>
        <contacts><contact external-ip="203.0.113.7">sip:10.0.0.1;transport=tcp</contact><contact>sip:[::1]:5070</contact></contacts>
        <timers><t1>250</t1><t2>2000</t2><t4>2500</t4><t1x64>16000</t1x64></timers>
      </sip>
      <logging><console/><loglevel>notice</loglevel></logging>
      <monitoring><prometheus port="9191">127.0.0.1</prometheus></monitoring>`);
    expect(config).toMatchObject({
      control: { port: 9122 },
      sip: {
        externalAddress: '203.0.113.7',
        listen: [
          { transport: 'tcp', address: '10.0.0.1', port: 5060 },
          { transport: 'udp', address: '::1', port: 5070 },
          { transport: 'tcp', address: '::1', port: 5070 },
        ],
      },
      engine: { timers: { t1Ms: 250, t2Ms: 2000, t4Ms: 2500 } },
      log: { level: 'warn' },
      http: { listen: { address: '127.0.0.1', port: 9191 } },
    });
  });

  it('reads the TLS files, for SIP and for the tls-port of the admin side', () => {
    const identity = makeServerIdentity({ hosts: ['engine.test'], addresses: [] });
    const cert = written('x.pem', identity.certificate);
    const key = written('y.pem', identity.key);
    const chain = written('z.pem', identity.ca);
    const config = ofXml(
      `<admin port="9022" tls-port="9023" secret="${long}">127.0.0.1</admin>
       <sip><contacts><contact>sips:127.0.0.1:5061;transport=tls</contact></contacts>
       <tls><key-file>${key}</key-file><cert-file>${cert}</cert-file><chain-file>${chain}</chain-file></tls></sip>`,
    );
    expect(config.sip.listen).toMatchObject([{ transport: 'tls', address: '127.0.0.1', port: 5061 }]);
    for (const files of [config.control.tls?.files, config.sip.tls])
      expect(files?.texts.cert).toBe(`${identity.certificate}\n${identity.ca}`);
  });

  it('names what has no counterpart, and goes on', () => {
    const { left } = drachtioConf(
      `<drachtio><request-handlers><request-handler sip-method="INVITE">http://a</request-handler></request-handlers>
       <sip><contacts/><udp-mtu>4096</udp-mtu><spammers action="reject"/><novelty/></sip><cdrs>true</cdrs>
       <logging><file><name>x</name></file></logging></drachtio>`,
      'conf.xml',
    );
    expect(left).toEqual([
      'request-handlers in line 1: apps connect to this engine, it does not call them',
      'sip/udp-mtu in line 2: a request that does not fit goes over TCP',
      'sip/spammers in line 2: refuse scanners in the app',
      'sip/novelty in line 2',
      'cdrs in line 2: CDR events are not written',
      'logging/file in line 3: logs go to standard output',
    ]);
  });

  it.each([
    ['<admin port="90220" secret="x">127.0.0.1</admin>', '<admin> in line 1: expected address:port'],
    ['<admin tls-port="x" secret="x">127.0.0.1</admin>', '<admin tls-port="...">: expected a whole number'],
    [
      '<admin>127.0.0.1</admin>',
      '<admin secret="...">: expected the secret edges must show, as text, at most 1024 characters and no vertical bar, found nothing',
    ],
    ['<admin secret="cymru"/>', '<admin secret="...">: expected at least 16 characters'],
    ['<sip><contacts><contact>nonsense</contact></contacts></sip>', '<contact> in line 1: expected sip:address'],
    ['<sip><contacts><contact>sip:a.b;transport=udp</contact></contacts></sip>', '<contact> in line 1: expected'],
    [
      '<sip><timers><t1>fast</t1></timers></sip>',
      '<t1> in line 1: expected a whole number of milliseconds, 50 to 5000, found "fast"',
    ],
    [
      '<logging><loglevel>loud</loglevel></logging>',
      '<loglevel> in line 1: expected error, warning, notice, info or debug, found "loud"',
    ],
  ])('%s is told with its element', (body, why) => {
    expect(() => ofXml(body)).toThrow(why);
  });

  it.each([
    ['', 'well-formed XML'],
    ['<drachtio><admin></drachtio>', 'well-formed XML, found something else in line 1'],
    ['<drachtio>\n<admin secret="s3cr3t>x</admin></drachtio>', 'well-formed XML'],
    ['<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><drachtio>&a;</drachtio>', 'a document type'],
    ['<other/>', 'expected a <drachtio> element, found <other>'],
  ])('%j is refused without a word of what is in it', (text, why) => {
    expect(() => drachtioConf(text, 'conf.xml')).toThrow(why);
    expect(() => drachtioConf(text, 'conf.xml')).not.toThrow(/s3cr3t|passwd/);
  });

  it('contacts name the usual ports of their transports', () => {
    expect(contactListeners('sip:*')).toEqual(['udp://0.0.0.0:5060', 'tcp://0.0.0.0:5060']);
    expect(contactListeners('sips:*')).toEqual(['tls://0.0.0.0:5061']);
    expect(contactListeners('sips:*:443;transport=wss')).toEqual(['wss://0.0.0.0:443']);
    expect(contactListeners('sip:[::1];transport=ws,tls')).toEqual(['ws://[::1]:80', 'tls://[::1]:5061']);
    expect(contactListeners('sip:user@host')).toBeUndefined();
  });
});
