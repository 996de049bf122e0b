/** The locator against a DNS server on a real socket. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Dns } from '../../../../lib/engine/locating/dns.ts';
import { HostsFile } from '../../../../lib/engine/locating/hosts-file.ts';
import { Locator, locatorBounds, type NamedHop } from '../../../../lib/engine/locating/locator.ts';
import type { Transport } from '../../../../lib/sip/flow.ts';
import { DnsServer } from '../../../support/dns-server.ts';

let server: DnsServer;
let now = 0;
const ends: (() => void)[] = [];

beforeEach(async () => {
  server = await DnsServer.open();
  now = 0;
  ends.push(() => server.stop());
});

afterEach(() => {
  for (const end of ends.splice(0).toReversed()) end();
});

function aLocator(transports: readonly Transport[] = ['udp', 'tcp']): Locator {
  const reach = {
    transports,
    sourceOf: (_: Transport, address: string) => (address.includes(':') ? '::1' : '127.0.0.1'),
  };
  const locator = new Locator(reach, { servers: [server.at], timeoutMs: 600, now: () => now, random: () => 0 });
  ends.push(() => locator.close());
  return locator;
}

function aDns(failures: string[] = []): Dns {
  const dns = new Dns({
    servers: [server.at],
    timeoutMs: 600,
    now: () => now,
    onFailure: (name) => failures.push(name),
  });
  ends.push(() => dns.close());
  return dns;
}

const hop = (host: string, over: Partial<NamedHop> = {}): NamedHop => ({
  host,
  port: undefined,
  transport: undefined,
  secure: false,
  ...over,
});
const words = async (found: ReturnType<Locator['locate']>): Promise<string[]> =>
  (await found).map(({ transport, address, port }) => `${transport} ${address} ${port}`);

describe('RFC 3263 4: from a name to targets', () => {
  test('NAPTR says the transport, SRV the servers, and A where they are', async () => {
    server.naptr('example.com', 'SIP+D2U', '_sip._udp.example.com', 20);
    server.naptr('example.com', 'SIP+D2T', '_sip._tcp.example.com', 10);
    server.srv('_sip._tcp.example.com', 'b.example.com', 5070, 20);
    server.srv('_sip._tcp.example.com', 'a.example.com', 5068, 10);
    server.srv('_sip._udp.example.com', 'a.example.com', 5062);
    server.address('a.example.com', '192.0.2.1');
    server.address('b.example.com', '192.0.2.2');
    expect(await words(aLocator().locate(hop('example.com')))).toEqual([
      'tcp 192.0.2.1 5068',
      'tcp 192.0.2.2 5070',
      'udp 192.0.2.1 5062',
    ]);
  });

  test('without NAPTR the SRV records of each transport we have', async () => {
    server.srv('_sip._tcp.example.com', 'a.example.com', 5068);
    server.address('a.example.com', '192.0.2.1');
    server.address('example.com', '192.0.2.9');
    expect(await words(aLocator().locate(hop('example.com')))).toEqual(['tcp 192.0.2.1 5068']);
    expect(await words(aLocator(['udp']).locate(hop('example.com')))).toEqual(['udp 192.0.2.9 5060']);
  });

  test('without any of them UDP and the usual port, TLS for sips', async () => {
    server.address('example.com', '192.0.2.9');
    const locator = aLocator(['udp', 'tcp', 'tls']);
    expect(await words(locator.locate(hop('example.com')))).toEqual(['udp 192.0.2.9 5060']);
    expect(await words(locator.locate(hop('example.com', { secure: true })))).toEqual(['tls 192.0.2.9 5061']);
    expect(await words(aLocator().locate(hop('example.com', { secure: true })))).toEqual([]);
  });

  test('a port ends the search: addresses only', async () => {
    server.srv('_sip._udp.example.com', 'a.example.com', 5062);
    server.address('example.com', '192.0.2.9');
    expect(await words(aLocator().locate(hop('example.com', { port: 5090 })))).toEqual(['udp 192.0.2.9 5090']);
    expect(server.questions.toSorted()).toEqual(['A example.com', 'AAAA example.com']);
  });

  test('a transport asks for its SRV records and no others', async () => {
    server.srv('_sip._tcp.example.com', 'a.example.com', 5062);
    server.address('a.example.com', '192.0.2.1');
    expect(await words(aLocator().locate(hop('example.com', { transport: 'tcp' })))).toEqual(['tcp 192.0.2.1 5062']);
    expect(server.questions).not.toContain('NAPTR example.com');
  });

  test('both families, and a service that does not exist', async () => {
    server.address('example.com', '192.0.2.9');
    server.address('example.com', '2001:db8::9');
    expect(await words(aLocator().locate(hop('example.com', { port: 5060 })))).toEqual([
      'udp 192.0.2.9 5060',
      'udp 2001:db8::9 5060',
    ]);
    server.srv('_sip._udp.none.example', '.', 0);
    server.address('none.example', '192.0.2.9');
    expect(await words(aLocator().locate(hop('none.example', { transport: 'udp' })))).toEqual([]);
  });

  test('[EDGE-WS-05] nobody is asked for a name in .invalid', async () => {
    const locator = aLocator();
    for (const name of ['df7jal23ls0d.invalid', 'x.INVALID.', 'invalid'])
      expect(await words(locator.locate(hop(name)))).toEqual([]);
    expect(server.questions).toEqual([]);
  });

  test('localhost and the names of the system need no server', async () => {
    expect(await words(aLocator(['tcp']).locate(hop('localhost')))).toContain('tcp 127.0.0.1 5060');
    expect(server.questions).toEqual([]);
  });

  test('many records lead to few targets', async () => {
    for (let at = 0; at < 20; at++) server.address('many.example', `192.0.2.${at}`);
    expect(await aLocator().locate(hop('many.example', { port: 1 }))).toHaveLength(locatorBounds.targets);
  });

  test('who failed comes last for a minute', async () => {
    server.address('two.example', '192.0.2.1');
    server.address('two.example', '192.0.2.2');
    const locator = aLocator();
    const two = hop('two.example', { port: 5060 });
    const [first] = await locator.locate(two);
    locator.avoid(first!);
    expect((await locator.locate(two)).at(-1)).toEqual(first);
    now += locatorBounds.avoidMs + 1;
    expect((await locator.locate(two))[0]).toEqual(first);
    locator.avoid(first!);
    locator.welcome(first!);
    expect((await locator.locate(two))[0]).toEqual(first);
  });
});

describe('what is kept of DNS', () => {
  test('an address for its TTL, but not longer than an hour and not shorter than five seconds', async () => {
    const dns = aDns();
    for (const [ttl, kept] of [
      [20, 20],
      [0, 5],
      [1_000_000, 3600],
    ] as const) {
      const name = `ttl${ttl}.example`;
      const asked = (): number => server.questions.filter((each) => each === `A ${name}`).length;
      server.address(name, '192.0.2.1', ttl);
      await dns.addresses(name);
      now += kept * 1000 - 1;
      await dns.addresses(name);
      expect(asked(), name).toBe(1);
      now += 2;
      await dns.addresses(name);
      expect(asked(), name).toBe(2);
    }
  });

  test('one question at a time for one name, and that a name does not exist', async () => {
    const dns = aDns();
    await Promise.all([dns.srv('no.example'), dns.srv('NO.example'), dns.srv('no.example')]);
    expect(await dns.srv('no.example')).toEqual({ is: 'none' });
    expect(server.questions).toEqual(['SRV no.example']);
  });

  test('a failing server is reported and left alone for a moment', async () => {
    const failures: string[] = [];
    const dns = aDns(failures);
    server.mode = 'fail';
    expect(await dns.srv('some.example')).toEqual({ is: 'failed' });
    const asked = server.questions.length;
    expect(await dns.srv('some.example')).toEqual({ is: 'failed' });
    expect(server.questions).toHaveLength(asked);
    expect(failures).toEqual(['some.example']);
  });

  test('a silent server costs no more than the time set', async () => {
    const dns = aDns();
    server.mode = 'silent';
    const began = performance.now();
    expect(await dns.naptr('some.example')).toEqual({ is: 'failed' });
    expect(performance.now() - began).toBeLessThan(2000);
  });

  test('the last answer is used while no server answers, for a day', async () => {
    const dns = aDns();
    server.address('some.example', '192.0.2.1', 60);
    const good = await dns.addresses('some.example');
    for (const mode of ['silent', 'fail'] as const) {
      server.mode = mode;
      now += 120_000;
      expect(await dns.addresses('some.example'), mode).toEqual(good);
    }
    now += 90_000_000;
    server.mode = 'fail';
    await dns.addresses('some.example');
    now += 10_000;
    expect((await dns.addresses('some.example')).is).toBe('failed');
  });

  test('a name that is gone is gone', async () => {
    const dns = aDns();
    server.address('some.example', '192.0.2.1', 60);
    await dns.addresses('some.example');
    server.forget('some.example');
    now += 61_000;
    expect(await dns.addresses('some.example')).toEqual({ is: 'none' });
  });
});

describe('the hosts file', () => {
  test('names of both families, without case, comments left out, read again when it changes', () => {
    const dir = mkdtempSync(join(tmpdir(), 'reveille-hosts-'));
    ends.push(() => rmSync(dir, { recursive: true }));
    const path = join(dir, 'hosts');
    writeFileSync(path, '192.0.2.1 Pbx.example pbx # main\n::1\tpbx\nnonsense x\n');
    const hosts = new HostsFile(path, () => now);
    expect(hosts.find('PBX')).toEqual(['192.0.2.1', '::1']);
    expect(hosts.find('pbx.example.')).toEqual(['192.0.2.1']);
    expect(hosts.find('main')).toBeUndefined();
    writeFileSync(path, '192.0.2.77 pbx\n');
    now += 60_000;
    expect(hosts.find('pbx')).toEqual(['192.0.2.77']);
    expect(new HostsFile(join(dir, 'none'), () => now).find('x.localhost')).toEqual(['127.0.0.1', '::1']);
  });
});
