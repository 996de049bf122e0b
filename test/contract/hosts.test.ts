/** The bed of hosts that scenarios and chaos runs stand on: a cut loses packets and tells nobody, and nothing is left behind. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { type Host, type Hosts, openHosts, whyNoHosts } from '../../bench/hosts/hosts.ts';
import { titled } from '../support/needs.ts';

const why = whyNoHosts();
const dial = `
const [port, host] = process.argv.slice(1);
const socket = require('node:net').connect({ port: Number(port), host });
socket.on('data', (text) => { console.log(String(text)); process.exit(); });
socket.on('error', ({ code }) => { console.log(code); process.exit(); });
setTimeout(() => { console.log('silence'); process.exit(); }, 700);`;
const serve = `
const server = require('node:net').createServer((socket) => socket.on('error', () => undefined).end('heard'));
server.listen(7000, '0.0.0.0', () => console.log('listens'));`;

describe.skipIf(why !== undefined)(titled('hosts', why), () => {
  let hosts: Hosts | undefined;
  afterEach(async () => hosts?.close());

  async function says(from: Pick<Host, 'within'>, to: string, port = 7000): Promise<string> {
    const words = [...from.within, process.execPath, '-e', dial, String(port), to];
    return (await promisify(execFile)(words[0] ?? '', words.slice(1))).stdout.trim();
  }

  async function server({ within }: Host): Promise<number> {
    const words = [...within, process.execPath, '-e', serve];
    const child = spawn(words[0] ?? '', words.slice(1), { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    return child.pid ?? 0;
  }

  it('hear each other and the caller, and lose what a cut takes, in silence', async () => {
    hosts = await openHosts(['one', 'two']);
    const [one, two] = [hosts.host('one'), hosts.host('two')];
    const here = { within: [] };
    await Promise.all([server(one), server(two)]);
    const caller = createServer((socket) => socket.on('error', () => undefined).end('heard')).listen(0, '0.0.0.0');
    await once(caller, 'listening');
    const { port } = caller.address() as AddressInfo;
    expect([await says(one, two.address), await says(here, two.address)]).toEqual(['heard', 'heard']);
    expect(await says(one, hosts.anAddress(), port)).toBe('heard');
    await hosts.cut('two');
    expect([await says(one, two.address), await says(two, one.address)]).toEqual(['silence', 'silence']);
    await hosts.heal('two');
    await hosts.cutBetween('one', 'two');
    expect([await says(one, two.address), await says(two, one.address)]).toEqual(['silence', 'silence']);
    expect([await says(here, one.address), await says(here, two.address)]).toEqual(['heard', 'heard']);
    await hosts.healBetween('two', 'one');
    await hosts.cutBetween('one', 'outside');
    expect([await says(here, one.address), await says(one, two.address)]).toEqual(['silence', 'heard']);
    expect(await says(one, hosts.anAddress(), port)).toBe('silence');
    await hosts.healBetween('one', 'outside');
    expect(await says(here, one.address)).toBe('heard');
    caller.close();
  });

  it('are gone with what ran there when they are closed', async () => {
    const closing = await openHosts(['one']);
    const pid = await server(closing.host('one'));
    const ours = (): string => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });
    expect(ours()).toContain(`-${process.pid}-`);
    await closing.close();
    expect(ours()).not.toContain(`-${process.pid}-`);
    await expect
      .poll(() => {
        try {
          return process.kill(pid, 0);
        } catch {
          return false;
        }
      })
      .toBe(false);
  });
});
