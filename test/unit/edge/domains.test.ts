/** Where the PBX of a domain is, from a DNS server on a real socket. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openDomains } from '../../../apps/edge/domains.ts';
import { isFrom } from '../../../apps/edge/middleware/classify.ts';
import { load } from '../../../lib/config/load.ts';
import { DnsServer } from '../../support/dns-server.ts';
import { QuietLog } from '../../support/quiet-log.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

let dns: DnsServer;
const ends: (() => unknown)[] = [];

beforeEach(async () => {
  dns = await DnsServer.open();
  ends.push(() => dns.stop());
});

afterEach(async () => {
  vi.useRealTimers();
  for (const end of ends.splice(0).toReversed()) await end();
});

async function open(upstream: string, log = new QuietLog()) {
  const dir = mkdtempSync(join(tmpdir(), 'reveille-domains-'));
  ends.push(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'reveille.yaml');
  writeFileSync(
    file,
    `sip: { dns_servers: ["${dns.at}"], listen: ["udp://127.0.0.1:0", "tcp://[::]:0"] }\ndomains: [{ name: example.com, upstream: "${upstream}", trusted: [192.0.2.99] }]\n`,
  );
  const domains = await openDomains(load({ file, env: {} }), ['udp/127.0.0.1:5060', 'tcp/192.0.2.1:5062'], {
    log,
    telemetry: new TelemetryRecorder(),
    now: Date.now,
  });
  ends.push(() => domains.close());
  return domains.known[0]!;
}

test('every address of a name is the PBX, by SRV and by both families', async () => {
  dns.srv('_sip._tcp.pbx.test', 'a.pbx.test', 5070, 1);
  dns.srv('_sip._tcp.pbx.test', 'b.pbx.test', 5080, 2);
  dns.address('a.pbx.test', '127.0.0.11');
  dns.address('a.pbx.test', '::1');
  dns.address('b.pbx.test', '127.0.0.12');
  const known = await open('sip:pbx.test');
  expect(known.domain.upstream).toBe('sip:pbx.test');
  for (const address of ['127.0.0.11', '127.0.0.12', '::1', '192.0.2.99'])
    expect(isFrom(known.trusted, address), address).toBe(true);
  expect(isFrom(known.trusted, '127.0.0.13')).toBe(false);
  expect([known.isUpstream('127.0.0.12', 5080), known.isUpstream('127.0.0.12', 5070)]).toEqual([true, false]);
  expect(known.domain.edgeHost).toBe('[::1]:5062;transport=tcp');
});

test('an address needs no DNS', async () => {
  const known = await open('sip:127.0.0.5:5080;transport=udp');
  expect(isFrom(known.trusted, '127.0.0.5')).toBe(true);
  expect(known.isUpstream('127.0.0.5', 5080)).toBe(true);
  expect(dns.questions).toEqual([]);
});

test('a PBX that moves is followed when its addresses are used; an outage keeps the last known ones and is told once', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const log = new QuietLog();
  const known = await open('sip:pbx.test;transport=udp', log);
  const errors = (): string[] => log.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
  expect(errors()).toEqual(['upstream cannot be resolved']);
  /** Uses the addresses every six seconds until this is so. */
  const until = async (so: () => boolean): Promise<void> => {
    while (!so()) {
      vi.advanceTimersByTime(6000);
      void known.trusted;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const trusts = (address: string): boolean => isFrom(known.trusted, address);

  dns.address('pbx.test', '127.0.0.11', 5);
  await until(() => trusts('127.0.0.11'));
  dns.forget('pbx.test');
  dns.address('pbx.test', '127.0.0.12', 5);
  await until(() => trusts('127.0.0.12'));
  expect(trusts('127.0.0.11')).toBe(false);

  dns.mode = 'fail';
  const asked = dns.questions.length;
  await until(() => dns.questions.length > asked + 8);
  expect(trusts('127.0.0.12')).toBe(true);
  vi.advanceTimersByTime(100_000_000);
  await until(() => errors().length > 1);
  expect(trusts('127.0.0.12')).toBe(true);
  dns.mode = 'answer';
  await until(() => log.lines.at(-1)?.message === 'upstream is resolved again');
  expect(errors()).toHaveLength(2);
});
