/** Keys of Apple and payload templates: what the start accepts, chooses and refuses. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type Config, load } from '../../../lib/config/load.ts';
import { aSigningKey } from '../../support/a-key.ts';

const folder = mkdtempSync(join(tmpdir(), 'reveille-push-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function loadPush(push: object): Config['push'] {
  const file = join(folder, 'reveille.yaml');
  writeFileSync(file, stringify({ push }));
  return load({ file, env: {} }).push;
}

const key = (id: string, what: object = {}) => ({ team_id: 'ABCDE12345', key_id: id, key: aSigningKey(), ...what });
const app = (what: object = {}) => ({
  name: 'ios',
  provider: 'apns',
  match: ['ABCDE12345.org.example.phone'],
  ...what,
});
const own = { team_id: 'ABCDE12345', key_id: 'OWN1234567', key: aSigningKey() };

function keysOf(push: object): readonly (string | undefined)[] {
  const [first] = loadPush(push).apps;
  return first?.provider === 'apns' ? [first.keyId, first.sandboxKey?.keyId] : [];
}

describe('keys of Apple', () => {
  it('takes the one made for the bundle first, then one tied to the environment, then one of the team', () => {
    const any = key('TEAM123456');
    const sandbox = key('SAND123456', { environments: ['sandbox'] });
    const bundle = key('BUND123456', { topics: ['org.example.phone'] });
    expect(keysOf({ apns_keys: [any], apps: [app()] })).toEqual(['TEAM123456', undefined]);
    expect(keysOf({ apns_keys: [any, sandbox], apps: [app()] })).toEqual(['TEAM123456', 'SAND123456']);
    expect(keysOf({ apns_keys: [any, sandbox, bundle], apps: [app()] })).toEqual(['BUND123456', undefined]);
    expect(keysOf({ apns_keys: [any, sandbox], apps: [app({ environment: 'sandbox' })] })).toEqual([
      'SAND123456',
      undefined,
    ]);
    // its own wins over all
    expect(keysOf({ apns_keys: [bundle], apps: [app(own)] })).toEqual(['OWN1234567', undefined]);
  });

  it('stops the start for an app without a key in an environment it is pushed in', () => {
    const production = key('PROD123456', { environments: ['production'] });
    expect(() => loadPush({ apns_keys: [production], apps: [app()] })).toThrow(
      /push\.apps\[0\]: expected a key .* for sandbox/,
    );
    expect(keysOf({ apns_keys: [production], apps: [app({ environment: 'production' })] })[0]).toBe('PROD123456');
    expect(() => loadPush({ apps: [app()] })).toThrow(/for production/);
    const other = key('OTHR123456', { topics: ['org.example.other'] });
    expect(() => loadPush({ apns_keys: [other], apps: [app()] })).toThrow(/for production/);
    const stranger = key('STRG123456', { team_id: 'ZZZZZ12345' });
    expect(() => loadPush({ apns_keys: [stranger], apps: [app()] })).toThrow(/for production/);
    expect(() => loadPush({ apns_keys: [key('TEAM123456')], apps: [app({ match: ['phone'] })] })).toThrow(
      /team_id: expected a team/,
    );
  });
});

describe('files', () => {
  it('knows which to follow, and which of them everybody on the host can read', () => {
    writeFileSync(join(folder, 'open.p8'), aSigningKey(), { mode: 0o644 });
    writeFileSync(join(folder, 'closed.p8'), aSigningKey(), { mode: 0o640 });
    const { key: _, ...named } = own;
    const apps = ['open', 'closed'].map((name) => app({ ...named, name, match: [name], key_file: `${name}.p8` }));
    const push = loadPush({ apps });
    expect(push.files).toEqual([join(folder, 'open.p8'), join(folder, 'closed.p8')]);
    expect(push.openKeys).toEqual([join(folder, 'open.p8')]);
  });
});

describe('payload templates', () => {
  const fcm = (template: unknown) => ({
    apps: [
      {
        name: 'droid',
        provider: 'fcm',
        match: ['p'],
        service_account_file: 'none.json',
        profile: 'template',
        template,
      },
    ],
  });
  const apple = (template: unknown) => ({ apps: [app({ ...own, profile: 'template', template })] });

  it('keeps the keys of the app as they are written', () => {
    const template = { call: { call_id: '{call-id}', aps: { 'thread-id': 'x' } }, default: { k: 1 } };
    expect(loadPush(apple(template)).apps[0]?.template).toEqual(template);
  });

  it.each([
    [
      'an unknown placeholder',
      apple({ call: { deep: [{ x: 'a {caller-name}' }] } }),
      /template\.call\.deep\[0\]\.x: .*found \{caller-name\}/,
    ],
    ['a class nobody knows', apple({ calls: {} }), /template\.calls: .*unknown key/],
    ['a number for FCM', fcm({ call: { n: 1 } }), /template\.call\.n: expected a text, because FCM/],
    ['a mapping for FCM', fcm({ call: { n: { a: 'b' } } }), /template\.call\.n: expected a text/],
    ['a key FCM keeps for itself', fcm({ call: { from: 'x' } }), /template\.call\.from: .*reserved/],
    ['more than fits', apple({ call: { long: 'x'.repeat(3100) } }), /template\.call: expected at most 3072 octets/],
    ['aps that is no mapping', apple({ call: { aps: 'x' } }), /template\.call\.aps: expected a mapping/],
    ['the token, which only a webhook needs', apple({ call: { t: '{token}' } }), /found \{token\}/],
    ['nothing at all', apple({}), /template: .*an empty mapping/],
    ['no template', { apps: [app({ ...own, profile: 'template' })] }, /template: expected a mapping/],
    ['a template nobody reads', { apps: [app({ ...own, template: { call: {} } })] }, /template: expected nothing/],
  ])('refuses %s', (_, push, why) => {
    expect(() => loadPush(push)).toThrow(why);
  });

  it('lets a webhook name the phone', () => {
    const hook = { name: 'h', provider: 'acme', url: 'https://h.example.com', secret: 'a'.repeat(16) };
    const template = { default: { device: '{token}', push: '{id}' } };
    expect(loadPush({ webhooks: [{ ...hook, template }] }).webhooks[0]?.template).toEqual(template);
  });
});
