/** `reveille doctor` before PBXs with one fault each, before Kamailio, and with a call through the edge as it runs. The command and the edge are the built ones. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../apps/demo/edge-process.ts';
import { Pbx, type PbxOptions } from '../../apps/demo/pbx.ts';
import { Phone } from '../../apps/demo/phone.ts';
import type { Reply, ServerTransaction } from '../../apps/demo/transactions.ts';
import { UserAgent } from '../../apps/demo/ua.ts';
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import { Headers } from '../../lib/sip/headers.ts';
import type { Finding } from '../../lib/doctor/finding.ts';
import { onDrachtio, type StartedEdge, startEdge } from '../support/edge.ts';
import { Kamailio } from '../support/kamailio.ts';
import { needs, titled } from '../support/needs.ts';

const at = { pbx: '127.0.30.2', edge: '127.0.30.1' } as const;
const domain = 'pbx.example.com';
const password = 'a-password-that-nobody-may-see';
const dir = mkdtempSync(join(tmpdir(), 'reveille-doctor-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Said {
  readonly code: number;
  readonly out: string;
  readonly findings: readonly Finding[];
  readonly ladder?: readonly string[];
  of(check: string): Finding | undefined;
}

/** Runs it with --json. */
function doctor(file: string, words: readonly string[] = []): Promise<Said> {
  const main = join(import.meta.dirname, '../../dist/apps/cli/main.js');
  const env = { ...process.env, DOCTOR_PASSWORD: password, REVEILLE_CONFIG: file };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, 'doctor', '--json', ...words], { env }, (error, out, err) => {
      const told = (out === '' ? {} : JSON.parse(out)) as Partial<Said>;
      const findings = told.findings ?? [];
      resolve({
        code: typeof error?.code === 'number' ? error.code : 0,
        out: out + err,
        findings,
        ...(told.ladder === undefined ? {} : { ladder: told.ladder }),
        of: (check) => findings.find((one) => one.check === check),
      });
    });
  });
}

let serial = 0;
function config(upstream: string, more: object = {}, sections: object = {}): string {
  const file = join(dir, `c${++serial}.yaml`);
  const text = {
    sip: { listen: [`udp://${at.edge}:5999`, `tcp://${at.edge}:5999`] },
    http: { listen: `${at.edge}:1`, api_token: 'a-token-of-the-doctor' },
    store: { kind: 'memory' },
    domains: [{ name: domain, upstream, ...more }],
    ...sections,
  };
  writeFileSync(file, JSON.stringify(text), { mode: 0o600 });
  return file;
}

const trial = ['--user', 'alice', '--password-env', 'DOCTOR_PASSWORD'];

async function pbx(more: Partial<PbxOptions> = {}): Promise<{ readonly pbx: Pbx; readonly uri: string }> {
  const opened = await Pbx.open({ transport: 'udp', address: at.pbx, domain, users: { alice: password }, ...more });
  closers.push(() => opened.close());
  return { pbx: opened, uri: `sip:${at.pbx}:${opened.ua.local.port};transport=udp` };
}

/** Answers as it is told. */
async function answering(
  answer: (incoming: ServerTransaction, ua: UserAgent) => readonly [number, Reply?] | undefined,
): Promise<string> {
  const ua = await UserAgent.open({ transport: 'udp', address: at.pbx });
  closers.push(() => ua.close());
  ua.take((incoming) => {
    const said = answer(incoming, ua);
    if (said !== undefined) incoming.respond(...said);
    return true;
  });
  return `sip:${at.pbx}:${ua.local.port};transport=udp`;
}

describe('reveille doctor before a PBX', { timeout: 60_000 }, () => {
  it('finds nothing wrong with a good one, and takes its Contact back', async () => {
    const { pbx: good, uri } = await pbx({ maxExpires: 1200 });
    const said = await doctor(config(uri), trial);
    expect(said.of('reachable')).toMatchObject({ result: 'ok', found: '200 OK' });
    expect(said.of('register')?.result).toBe('ok');
    expect(said.of('expiry')?.found).toContain('1200 s granted of 604800 s');
    expect(said.of('clean up')?.result).toBe('ok');
    expect(said.of('running')?.result).toBe('skipped');
    expect(good.bindings('alice')).toEqual([]);
    expect(said.out).not.toContain(password);
    expect(said.code).toBe(0);
  });

  it('silence', async () => {
    const said = await doctor(config(await answering(() => undefined)), [...trial, '--deadline', '8']);
    expect(said.of('reachable')).toMatchObject({ result: 'fail', found: expect.stringContaining('no answer') });
    expect(said.code).toBe(1);
  });

  it('nobody listens on TCP', async () => {
    const said = await doctor(config(`sip:${at.pbx}:${await freePort(at.pbx)};transport=tcp`));
    expect(said.of('reachable')).toMatchObject({ result: 'fail', found: 'the connection is refused' });
  });

  it('a name that leads nowhere', async () => {
    const said = await doctor(config('sip:pbx.invalid;transport=udp'));
    expect(said.of('names')?.result).toBe('fail');
  });

  it('403 to REGISTER', async () => {
    const { pbx: refusing, uri } = await pbx();
    refusing.onRegister = () => [403];
    const said = await doctor(config(uri), trial);
    expect(said.of('register')).toMatchObject({ result: 'fail', fix: expect.stringContaining('max_contacts') });
  });

  it('a wrong password', async () => {
    const { uri } = await pbx({ users: { alice: 'another' } });
    const said = await doctor(config(uri), trial);
    expect(said.of('register')).toMatchObject({ result: 'fail', fix: expect.stringContaining('password') });
  });

  it('no Path, where registration needs it', async () => {
    const { uri } = await pbx();
    const said = await doctor(config(uri, { registration: 'path' }), trial);
    expect(said.of('path')?.result).toBe('warn');
    expect(said.of('path kept')).toMatchObject({ result: 'fail', fix: expect.stringContaining('support_path') });
  });

  it('a short expiry cap, and 423 before it', async () => {
    const { pbx: short, uri } = await pbx({ maxExpires: 60 });
    let first = true;
    short.onRegister = ({ request }) => {
      if (!request.headers.has('Authorization') || request.headers.get('Expires') !== '604800' || !first)
        return undefined;
      first = false;
      return [423, { headers: Headers.of([['Min-Expires', '120']]) }];
    };
    const said = await doctor(config(uri), trial);
    expect(said.of('shortest expiry')?.found).toContain('120 s');
    expect(said.of('expiry')).toMatchObject({ result: 'warn', found: expect.stringContaining('60 s') });
  });

  it('leaves alone an account that a phone uses', async () => {
    const { pbx: used, uri } = await pbx();
    const other = '<sip:desk@127.0.30.3:5060>;expires=600';
    used.onRegister = () => [200, { headers: Headers.of([['Contact', other]]) }];
    const said = await doctor(config(uri), trial);
    expect(said.of('register')).toMatchObject({ result: 'skipped', found: expect.stringContaining('max_contacts=1') });
    expect(used.ua.seen('in', 'REGISTER').map(({ message }) => message.headers.has('Contact'))).toEqual([false]);
  });

  it('a loop: the request comes back, or the upstream is the edge itself', async () => {
    const uri = await answering(({ request, remote }, ua) => {
      void ua.request(request.method, request.uri, {
        to: remote,
        headers: Headers.of(
          ['From', 'To', 'Call-ID', 'CSeq'].map((name) => [name, request.headers.get(name) ?? ''] as const),
        ),
      });
      return undefined;
    });
    for (const said of await Promise.all(
      [uri, `sip:${at.edge}:5999;transport=udp`].map((upstream) => doctor(config(upstream))),
    ))
      expect(said.of('loop')).toMatchObject({ result: 'fail' });
  });

  it('a clock that is wrong', async () => {
    const date = new Date(Date.now() - 600_000).toUTCString();
    const uri = await answering(() => [200, { headers: Headers.of([['Date', date]]) }]);
    expect((await doctor(config(uri))).of('clock')).toMatchObject({ result: 'warn' });
  });

  it('certificates: for another name, not trusted, right', async () => {
    const wrong = makeServerIdentity({ hosts: ['another.example.com'], addresses: [] });
    const right = makeServerIdentity({ hosts: [], addresses: [at.pbx] });
    const own = makeServerIdentity({ hosts: [], addresses: [at.edge] });
    const file = (name: string, text: string): string => {
      writeFileSync(join(dir, name), text, { mode: 0o600 });
      return join(dir, name);
    };
    const tls = { cert_file: file('own.pem', own.certificate), key_file: file('own.key', own.key) };
    const judged = async (shown: typeof wrong, trusted: string): Promise<Said> => {
      const secure = { certificate: shown.certificate, key: shown.key, ca: shown.ca };
      const { pbx: opened } = await pbx({ transport: 'tls', secure });
      const sip = { listen: [`tls://${at.edge}:5998`], tls: { ...tls, ca_file: file('ca.pem', trusted) } };
      return doctor(config(`sip:${at.pbx}:${opened.ua.local.port};transport=tls`, {}, { sip }));
    };
    const certificate = ({ findings }: Said): Finding | undefined =>
      findings.find(({ check, about }) => check === 'certificate' && about.startsWith('server'));
    expect(certificate(await judged(wrong, wrong.ca))).toMatchObject({
      result: 'fail',
      found: expect.stringContaining('another.example.com'),
    });
    expect(certificate(await judged(right, wrong.ca))).toMatchObject({
      result: 'fail',
      found: expect.stringContaining('not trusted'),
    });
    const good = await judged(right, right.ca);
    expect(certificate(good)).toMatchObject({ result: 'ok' });
    expect(good.of('reachable')).toMatchObject({ result: 'ok' });
    chmodSync(tls.key_file, 0o644);
    const open = await judged(right, right.ca);
    expect(open.findings).toContainEqual(expect.objectContaining({ check: 'permissions', result: 'fail' }));
  });

  it('counts the qualify of the PBX while it is watched', async () => {
    const { pbx: asking, uri } = await pbx();
    const running = doctor(config(uri), [...trial, '--watch', '3']);
    while (asking.bindings('alice').length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await asking.qualify('alice')).status).toBe(200);
    expect((await running).of('qualify')).toMatchObject({ found: '1 OPTIONS within 3 s' });
  });

  it('says what is wrong with the arguments and with the config', async () => {
    const file = config('sip:127.0.0.1:1;transport=udp');
    const wrongs = [['--user', 'alice'], ['--watch', 'long'], ['--domain', 'other'], ['--aor', 'a@b'], ['more']];
    const saids = await Promise.all(wrongs.map((words) => doctor(file, words)));
    expect(saids.map(({ code }) => code)).toEqual(wrongs.map(() => 2));
    expect((await doctor(file, ['--user', 'a', '--password-env', 'NOT_THERE'])).out).toContain('NOT_THERE is not set');
    chmodSync(file, 0o644);
    expect((await doctor(file, ['--deadline', '4'])).of('permissions')).toMatchObject({ about: file, result: 'fail' });
    const wrong = await doctor(config('nonsense'));
    expect([wrong.code, wrong.of('config')?.result]).toEqual([1, 'fail']);
  });
});

const why = needs('kamailio');
describe.skipIf(why !== undefined)(titled('reveille doctor before Kamailio', why), { timeout: 60_000 }, () => {
  it.each([true, false])('sees its expiry cap and whether it keeps Path (%s)', async (withPath) => {
    const kamailio = await Kamailio.start(at.pbx, domain, { withPath });
    closers.push(() => kamailio.stop());
    const file = config(`sip:${at.pbx}:${kamailio.port};transport=udp`, { registration: 'path' });
    process.env['KAMAILIO_PASSWORD'] = kamailio.password;
    const said = await doctor(file, ['--user', 'alice', '--password-env', 'KAMAILIO_PASSWORD']);
    expect(said.of('reachable')?.found).toMatch(/^200 OK \(kamailio/);
    expect(said.of('register')?.result).toBe('ok');
    expect(said.of('expiry')?.result).toBe('ok');
    expect(said.of('path kept')?.result).toBe(withPath ? 'ok' : 'fail');
    expect(said.of('clean up')?.result).toBe('ok');
    expect(said.out).not.toContain(kamailio.password);
  });
});

describe('reveille doctor --simulate', { timeout: 60_000 }, () => {
  let edge: StartedEdge;
  let edgeFile: string;
  let kamailio: Kamailio | undefined;

  beforeAll(async () => {
    if (why === undefined) kamailio = await Kamailio.start(at.pbx, 'real.example.com');
    edge = await startEdge({
      config: {
        domains: [
          { name: domain, upstream: `sip:${at.pbx}:1;transport=udp` },
          { name: 'path.example.com', registration: 'path', upstream: `sip:${at.pbx}:2;transport=udp` },
          { name: 'home.example.com', registration: 'registrar', upstream: `sip:${at.pbx}:3;transport=udp` },
          { name: 'real.example.com', upstream: `sip:${at.pbx}:${kamailio?.port ?? 4};transport=udp` },
        ],
      },
    });
    edgeFile = join(edge.dir, readdirSync(edge.dir).find((name) => name.endsWith('.yaml')) ?? '');
  }, 60_000);
  afterAll(async () => {
    await edge?.close();
    await kamailio?.stop();
  });

  it.each([domain, 'path.example.com', 'home.example.com'])(
    'a call to a sleeping phone in a domain like %s, which leaves nothing behind',
    async (like) => {
      const said = await doctor(edgeFile, ['--simulate', '--domain', like]);
      expect(said.findings.filter(({ result }) => result === 'fail')).toEqual([]);
      for (const check of ['registers', 'push', 'rings', 'answered', 'hangs up', 'clean up'])
        expect([check, said.of(check)?.result]).toEqual([check, 'ok']);
      expect(said.of('played')?.found).toContain('PBX, phone and push service');
      const drawn = (said.ladder ?? []).join('\n');
      expect(drawn).toMatch(/INVITE ─+▶.*[\s\S]*push \(call\)[\s\S]*wakes[\s\S]*INVITE ─+▶│ +│[\s\S]*BYE/);
      const answer = await fetch(`http://${edge.http}/metrics`);
      expect(await answer.text()).not.toContain('doctor-');
      const [begun] = edge.process.logs.filter((line) => line['msg'] === 'simulated call begins').slice(-1);
      const name = `${String(begun?.['app'])}.invalid`;
      const ua = await UserAgent.open({ transport: 'udp', address: '127.0.30.3', outbound: edge.at('udp') });
      closers.push(() => ua.close());
      const register = Headers.of([
        ['From', `<sip:phone@${name}>;tag=a`],
        ['To', `<sip:phone@${name}>`],
        ['Call-ID', `gone-${name}`],
        ['CSeq', '1 REGISTER'],
      ]);
      // the domain is gone, and with it whatever it served
      expect((await ua.request('REGISTER', `sip:${name}`, { headers: register }).answer()).status).toBe(404);
    },
  );

  it.skipIf(why !== undefined || onDrachtio)(
    titled('through a real PBX: its registration, and the call of a second user', why),
    async () => {
      process.env['KAMAILIO_PASSWORD'] = kamailio?.password;
      const words = ['--simulate', '--aor', 'carol@real.example.com', '--password-env', 'KAMAILIO_PASSWORD'];
      const said = await doctor(edgeFile, [...words, '--caller', 'desk', '--caller-password-env', 'KAMAILIO_PASSWORD']);
      expect(said.findings.filter(({ result }) => result === 'fail')).toEqual([]);
      for (const check of ['registers', 'push', 'rings', 'answered', 'hangs up', 'clean up'])
        expect([check, said.of(check)?.result]).toEqual([check, 'ok']);
      expect(said.of('real')?.found).toContain('the PBX, its registration and its call');
      expect(said.out).not.toContain(kamailio?.password);
    },
  );

  it('says so when no edge runs', async () => {
    const said = await doctor(config('sip:127.0.0.1:1;transport=udp'), ['--simulate']);
    expect([said.code, said.out]).toEqual([1, expect.stringContaining('no edge answers')]);
  });

  async function ask(method: string, path: string, body?: object) {
    const secret = readFileSync(join(edge.dir, 'store/api-token'), 'utf8').trim();
    const response = await fetch(`http://${edge.http}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${secret}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Readonly<Record<string, string>> };
  }
  const pbxAt = { address: at.pbx, port: 5060, transport: 'udp' };

  it('refuses wrong and too many simulations', async () => {
    const place = { address: 'x', port: 1, transport: 'udp' };
    for (const wrong of [{}, { domain }, { domain, pbx: null }, { domain, pbx: place }])
      expect((await ask('POST', '/simulations', wrong)).status).toBe(400);
    expect((await ask('POST', '/simulations', { domain: 'other.example.com', pbx: pbxAt })).status).toBe(404);
    const many = await Promise.all([1, 2, 3, 4, 5].map(() => ask('POST', '/simulations', { domain, pbx: pbxAt })));
    expect(many.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 200, 200, 200, 409]);
    for (const { status, body } of many) {
      if (status !== 200) continue;
      expect(await ask('DELETE', `/simulations/${body['id']}`)).toMatchObject({ status: 200, body: { removed: 0 } });
      expect((await ask('GET', `/simulations/${body['id']}/pushes`)).status).toBe(404);
    }
  });

  it('pushes phones with its secret only, and removes one that does not do so itself', async () => {
    const { body: told } = await ask('POST', '/simulations', { domain: 'home.example.com', pbx: pbxAt });
    const { id, domain: made, user, password: secret, provider, param, prid } = told;
    if (!id || !made || !user || !secret || !provider || !param || !prid) throw new Error(JSON.stringify(told));
    const phoneWith = (token: string): Phone =>
      new Phone({
        ...{ user, domain: made, password: secret, address: '127.0.30.3', edge: edge.at('tcp') },
        push: { provider, param, prid: token },
      });
    const stranger = phoneWith('guessed');
    closers.push(() => stranger.sleep());
    // RFC 8599 5.6.1: a push service the edge does not know
    expect((await stranger.register()).headers.get('Feature-Caps') ?? '').not.toContain('doctor');
    expect((await stranger.register({ expires: 0 })).status).toBe(200);
    const phone = phoneWith(prid);
    const answer = await phone.register();
    expect([answer.status, answer.headers.get('Feature-Caps')]).toEqual([200, expect.stringContaining('doctor')]);
    await phone.sleep();
    expect((await ask('DELETE', `/simulations/${id}`)).body).toEqual({ removed: 1 });
  });
});
