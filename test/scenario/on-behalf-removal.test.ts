/**
 * Accounts that are removed are taken back at their PBX over sockets: by the API, by a config that is read again (SIGHUP), and by a
 * start with a config that has them no more. The PBX asks for a password each time, and may be away for a while.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { challenge, ha1, verifyDigest } from '../../lib/core/digest.ts';
import { parseAuth } from '../../lib/sip/auth.ts';
import type { SipRequest } from '../../lib/sip/message.ts';
import { places, type StartedEdge, startEdge } from '../support/edge.ts';
import { SipPeer } from '../support/sip-peer.ts';

const domain = 'leaving.example.com';
const password = 'known to the PBX';
const names = ['anna', 'bert', 'carl'];

describe('accounts that are removed', () => {
  let edge: StartedEdge;
  let pbx: SipPeer;
  let away = false;
  /** users the PBX has a Contact of */
  const registered = new Set<string>();
  /** users of REGISTERs with right credentials that were taken back or not answered */
  const removals: string[] = [];

  beforeAll(async () => {
    pbx = await SipPeer.open('udp', places.pbx);
    pbx.on('REGISTER', (request, from) => {
      const user = /sip:([^@]*)@/.exec(request.headers.get('To') ?? '')?.[1] ?? '';
      const removes = request.headers.list('Contact').every((each) => each.endsWith(';expires=0'));
      if (away) return void (removes && removals.push(`${user} unheard`));
      if (!proves(user, request)) {
        const asked = challenge({ realm: 'pbx', nonce: `n${registered.size}`, algorithms: ['MD5'], stale: false });
        return void pbx.send(
          pbx.answer(request, 401, { contact: null, headers: [['WWW-Authenticate', asked.join()]] }),
          from,
        );
      }
      if (removes) {
        removals.push(user);
        registered.delete(user);
      } else registered.add(user);
      void pbx.send(pbx.answer(request, 200, { contact: null, headers: [['Expires', '600']] }), from);
    });
    edge = await startEdge({
      config: {
        domains: [
          {
            name: domain,
            upstream_mode: 'on_behalf',
            upstream: `sip:${places.pbx}:${pbx.port};transport=udp`,
            accounts: names.map((name) => ({ name, password })),
          },
        ],
        on_behalf: { retry_interval: 1, answer_seconds: 1 },
        shutdown: { held_seconds: 0, call_seconds: 0 },
      },
    });
  });
  afterAll(async () => {
    const said = JSON.stringify([edge.process.logs, edge.process.noise]);
    await edge.close();
    await pbx.close();
    expect(said).not.toContain(password);
  });

  function proves(user: string, request: SipRequest): boolean {
    const credentials = parseAuth(request.headers.get('Authorization') ?? '');
    const secret = { md5: ha1(user, 'pbx', password, 'MD5'), sha256: ha1(user, 'pbx', password, 'SHA-256') };
    return credentials !== undefined && verifyDigest({ method: 'REGISTER', uri: request.uri, credentials, secret });
  }

  const api = async (method: string, path: string, body?: object): Promise<any> => {
    const token = readFileSync(join(edge.dir, 'store/api-token'), 'utf8').trim();
    const response = await fetch(`http://${edge.http}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return response.json();
  };
  const rows = async (): Promise<readonly { aor: string; state: string; source: string }[]> =>
    (await api('GET', '/registrations?direction=outbound')).outbound;
  const until = (check: () => void | Promise<void>): Promise<void> =>
    vi.waitFor(async () => check(), { timeout: 20_000, interval: 50 });
  const removeFromConfig = (name: string): void => {
    const file = readdirSync(edge.dir).find((each) => each.endsWith('.yaml')) ?? '';
    const config = JSON.parse(readFileSync(join(edge.dir, file), 'utf8'));
    config.domains[0].accounts = config.domains[0].accounts.filter((each: { name: string }) => each.name !== name);
    writeFileSync(join(edge.dir, file), JSON.stringify(config));
  };

  it('by the API while the PBX is away: listed as stopped, taken back when it is there again, then forgotten', async () => {
    await until(() => expect([...registered].sort()).toEqual(names));
    await api('PUT', `/accounts/dora@${domain}`, { password });
    await until(() => expect(registered).toContain('dora'));
    away = true;
    expect(await api('DELETE', `/accounts/dora@${domain}`)).toMatchObject({ removed: true, registration: 'ending' });
    expect(await rows()).toContainEqual(
      expect.objectContaining({ aor: `dora@${domain}`, state: 'stopped', source: 'removed' }),
    );
    await until(() => expect(removals.filter((each) => each === 'dora unheard').length).toBeGreaterThanOrEqual(2));
    away = false;
    await until(() => expect(removals).toContain('dora'));
    await until(async () => expect((await rows()).map(({ aor }) => aor)).not.toContain(`dora@${domain}`));
    expect(registered).not.toContain('dora');
  });

  it('by a config that is read again on SIGHUP; the others stay, and one that is wrong changes nothing', async () => {
    removeFromConfig('anna');
    edge.process.child.signal('SIGHUP');
    await until(() => expect(removals).toContain('anna'));
    await until(async () => expect((await rows()).map(({ aor }) => aor)).not.toContain(`anna@${domain}`));
    expect([...registered].sort()).toEqual(['bert', 'carl']);

    const file = join(edge.dir, readdirSync(edge.dir).find((each) => each.endsWith('.yaml')) ?? '');
    const right = readFileSync(file, 'utf8');
    writeFileSync(file, right.replace(/"accounts": ?\[/, '"accounts": [{"name": 7},'));
    edge.process.child.signal('SIGHUP');
    await until(() =>
      expect(edge.process.logs.map(({ msg }) => msg)).toContain(
        'the accounts could not be read again; the old ones stay in use',
      ),
    );
    writeFileSync(file, right);
    expect((await rows()).map(({ state }) => state)).toEqual(['registered', 'registered']);
  });

  it.each(['stop', 'kill'] as const)('by a start without them after a %s', async (end) => {
    const name = end === 'stop' ? 'bert' : 'carl';
    await edge.process[end]();
    removeFromConfig(name);
    await edge.process.restart();
    await until(() => expect(removals).toContain(name));
    await until(async () => expect((await rows()).map(({ aor }) => aor)).not.toContain(`${name}@${domain}`));
    expect(registered).not.toContain(name);
  });
});
