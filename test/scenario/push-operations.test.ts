/** Credentials: checked at the start and by hand, renewed while the edge runs, and pushes sent by hand. The edge, the command and the push lab are the built ones. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApnsLab, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { type HttpLab, startHttpLab } from '../../apps/push-lab/http-lab.ts';
import { aSigningKey } from '../support/a-key.ts';
import { type StartedEdge, startEdge } from '../support/edge.ts';
import { aToken } from '../support/push-request.ts';

const dir = mkdtempSync(join(tmpdir(), 'reveille-push-operations-'));
const at = (name: string): string => join(dir, name);
let apns: ApnsLab;
let http: HttpLab;
let edge: StartedEdge;

beforeAll(async () => {
  [apns, http] = await Promise.all([
    startApnsLab({ topics: ['org.example.phone', 'org.example.phone.voip'] }),
    startHttpLab(),
  ]);
  writeFileSync(at('apns.p8'), apns.credentials.privateKey);
  writeFileSync(at('apns-ca.pem'), apns.ca);
  writeFileSync(at('http-ca.pem'), http.ca);
  writeFileSync(at('account.json'), http.serviceAccount);
  writeFileSync(at('vapid.pem'), aSigningKey());
  const { teamId, keyId } = apns.credentials;
  edge = await startEdge({
    dir,
    config: {
      domains: [{ name: '*', upstream: 'sip:127.0.30.2:5080;transport=udp' }],
      push: {
        self_test: 'fail',
        apns_keys: [{ team_id: teamId, key_id: keyId, key_file: 'apns.p8' }],
        apps: [
          {
            ...{ name: 'ios', provider: 'apns', match: [`${teamId}.org.example.phone`], ca_file: 'apns-ca.pem' },
            ...{ endpoint: apns.endpoint, sandbox_endpoint: apns.endpoint },
          },
          {
            ...{ name: 'droid', provider: 'fcm', match: ['929724111839'], service_account_file: 'account.json' },
            ...{ endpoint: http.endpoint, ca_file: 'http-ca.pem' },
          },
        ],
        webpush: { vapid_key_file: 'vapid.pem', subject: 'mailto:ops@example.com' },
        webhooks: [
          {
            name: 'acme',
            provider: 'acme',
            url: `${http.endpoint}/hook`,
            secret: http.webhookSecret,
            ca_file: 'http-ca.pem',
          },
        ],
      },
    },
  });
}, 60_000);
afterAll(async () => {
  await edge?.close();
  await Promise.all([apns?.close(), http?.close()]);
  rmSync(dir, { recursive: true, force: true });
});

function reveille(words: readonly string[], input = ''): Promise<{ readonly code: number; readonly out: string }> {
  const file = readdirSync(dir).find((name) => name.endsWith('.yaml')) ?? '';
  const main = join(import.meta.dirname, '../../dist/apps/cli/main.js');
  const env = { ...process.env, REVEILLE_CONFIG: at(file) };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, ...words], { env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out: out + err });
    });
    child.stdin?.end(input);
  });
}

/** The next line with this text among those that come from now on. */
async function logged(text: string, from: number): Promise<Readonly<Record<string, unknown>>> {
  for (;;) {
    const line = edge.process.logs.slice(from).find((one) => one['msg'] === text);
    if (line !== undefined) return line;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function becomes(status: number): Promise<void> {
  while ((await edge.process.readyz()) !== status) await new Promise((resolve) => setTimeout(resolve, 50));
}

describe('reveille push', { timeout: 60_000 }, () => {
  it('test: asks each service without waking a phone', async () => {
    const { code, out } = await reveille(['push', 'test']);
    expect(out.split('\n').filter((line) => line.startsWith('good'))).toHaveLength(5);
    expect(out).toMatch(/good +ios +production org\.example\.phone .*no phone has/);
    expect(out).toMatch(/good +droid +lab-project .*validate_only/);
    expect(code).toBe(0);
    expect([apns.pushes(), http.pushes()]).toEqual([[], []]);
    expect(await edge.process.metrics()).toContain('reveille_push_credentials_good{provider="apns",app="ios"} 1');
  });

  it('send: pushes the phone whose token is in a file, shows no token, and lets none ring unasked', async () => {
    const token = aToken();
    writeFileSync(at('token'), `${token}\n`);
    const words = ['push', 'send', '--app', 'ios', '--token-file', at('token'), '--kind', 'voip', '--class', 'call'];
    const refused = await reveille(words);
    expect([refused.code, refused.out]).toEqual([1, expect.stringContaining('the phone will ring')]);
    expect(apns.pushes()).toEqual([]);
    const rung = await reveille([...words, '--ring']);
    expect(rung.code).toBe(0);
    expect(apns.pushes()).toMatchObject([{ token, pushType: 'voip', topic: 'org.example.phone.voip' }]);
    expect(refused.out + rung.out).not.toContain(token);
    const quiet = await reveille(['push', 'send', '--app', 'ios', '--token-file', '-', '--kind', 'alert'], aToken());
    expect(quiet.code).toBe(0);
    expect(apns.pushes().at(-1)).toMatchObject({ pushType: 'background' });
    expect(JSON.stringify(edge.process.logs)).not.toContain(token);
  });

  it('send: says what is wrong with what was asked', async () => {
    expect((await reveille(['push', 'send'])).code).toBe(2);
    expect((await reveille(['push', 'send', '--aor', 'nobody@example.com'])).out).toContain('404: No phone');
    expect((await reveille(['push', 'test', '--app', 'nothing'])).out).toContain('there are ios, droid, acme, webpush');
    const other = ['push', 'send', '--app', 'nothing', '--token-file', '-', '--kind', 'alert'];
    expect((await reveille(other, aToken())).out).toContain('400: app: expected one of ios');
  });

  it('renews credentials while it runs: a file that is wrong changes nothing, a key that is refused is told and not ready', async () => {
    // not by the command, which reads the config that is wrong
    const send = async (): Promise<unknown> => {
      const response = await fetch(`http://${edge.http}/api/v1/push/send`, {
        method: 'POST',
        headers: { authorization: `Bearer ${readFileSync(at('store/api-token'), 'utf8').trim()}` },
        body: JSON.stringify({ app: 'ios', kind: 'alert', token: aToken() }),
      });
      return response.json();
    };
    const from = edge.process.logs.length;
    writeFileSync(at('apns.p8'), 'no key at all');
    edge.process.child.signal('SIGHUP');
    const wrong = await logged('the new push config is wrong; the old one stays in use', from);
    expect(wrong['reason']).toContain(
      'push.apns_keys[0].key_file: expected an EC P-256 private key in PEM, found no PEM',
    );
    expect(await send()).toMatchObject({ accepted: true });
    expect(await edge.process.readyz()).toBe(200);

    // another key than the one the service knows; found without any signal
    writeFileSync(at('apns.p8'), aSigningKey());
    const told = await logged('push credentials are refused', from);
    expect(told).toMatchObject({ app: 'ios', reason: 'InvalidProviderToken', fix: expect.stringContaining('key_id') });
    await becomes(503);
    expect(await (await fetch(`http://${edge.http}/readyz`)).text()).toContain('push credentials refused: ios');
    const test = await reveille(['push', 'test', '--app', 'ios']);
    expect([test.code, test.out]).toEqual([1, expect.stringContaining('do not belong together')]);

    writeFileSync(at('apns.p8'), apns.credentials.privateKey);
    const back = await reveille(['push', 'reload']);
    expect(back.out).toBe('in use: ios, droid, acme, webpush\n');
    await becomes(200);
    expect(await send()).toMatchObject({ accepted: true });
    const metrics = await edge.process.metrics();
    expect(metrics).toMatch(/reveille_push_reloads_total\{result="refused"\} [1-9]/);
    expect(metrics).toMatch(
      /reveille_push_results_total\{provider="apns",app="ios",class="refresh",outcome="accepted",reason="accepted"\} [1-9]/,
    );
  });
});
