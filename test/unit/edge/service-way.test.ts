/** Where requests of an account begin that the PBX has given a Service-Route; what is in them is asked of a running edge (rfc/service-route). */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { alongServiceRoute } from '../../../apps/edge/behalf.ts';
import { type Config, load } from '../../../lib/config/load.ts';

const routes = ['<sip:core.example.net;lr>'];

function configOf(domain: object): Config {
  const dir = mkdtempSync(join(tmpdir(), 'reveille-service-way-'));
  try {
    const file = join(dir, 'reveille.yaml');
    writeFileSync(file, JSON.stringify({ domains: [{ upstream_mode: 'on_behalf', ...domain }] }));
    return load({ file, env: {} });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

it('they begin at its first hop', () => {
  const config = configOf({ name: 'example.com', upstream: 'sip:192.0.2.1' });
  expect(alongServiceRoute(routes, 'example.com', config).firstHop).toContain('core.example.net');
});

it.each(['example.com', '*'])('they begin at the outbound proxy where the domain %s has one', (name) => {
  const config = configOf({ name, upstreams: [{ uri: 'sip:192.0.2.1', outbound_proxy: 'sip:192.0.2.2' }] });
  expect(alongServiceRoute(routes, 'example.com', config)).toEqual({ routes, firstHop: undefined });
});
