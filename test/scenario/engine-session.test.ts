/** Session timers of the engine (RFC 4028): a second call that nobody refreshes is the clock. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Engine, startEngine } from '../../lib/engine/engine.ts';
import { RawApp } from '../support/raw-app.ts';
import { aRequest, headerOf, UdpPeer } from '../support/text-peer.ts';

let engine: Engine;
let app: RawApp;
let peer: UdpPeer;

beforeEach(async () => {
  engine = await startEngine({
    listen: [{ transport: 'udp', address: '127.0.80.1', port: 0 }],
    control: { port: 0, secret: 'secret' },
    sessionSecondMs: 5,
  });
  app = await RawApp.ready(engine.controlPort, 'secret', 'invite');
  peer = await UdpPeer.open('127.0.80.2');
});

afterEach(async () => {
  peer.stop();
  app.close();
  await engine.close();
});

const at = (): { readonly address: string; readonly port: number } => engine.listeners[0]!;
const agreed = (refresher: string, seconds = 90): string => `Session-Expires: ${seconds};refresher=${refresher}\r\n`;

/** The app answers the next request of the network with this method. */
async function answer(method: string, lines: string): Promise<void> {
  const frame = await app.next((payload) => payload.includes('|network|') && payload.includes(`\r\n${method} `));
  await app.ask(`sip|${frame.split('|')[8]}|\r\nSIP/2.0 200 OK\r\n${lines}Content-Length: 0\r\n\r\n`);
}

/** A call whose refresher is the caller; gives the tag of our side. */
async function call(callId: string): Promise<string> {
  await peer.send(aRequest('INVITE', { callId, sentBy: `127.0.80.2:${peer.port}` }), at());
  await answer('INVITE', agreed('uac'));
  const ok = await peer.next((text) => text.startsWith('SIP/2.0 200') && text.includes(callId));
  const toTag = /tag=(.*)/.exec(headerOf(ok, 'To'))?.[1] as string;
  await peer.send(aRequest('ACK', { callId, toTag }), at());
  return toTag;
}

/** All sessions that began before now have run out. */
async function untilExpired(): Promise<void> {
  await call('clock@test');
  await peer.next((text) => text.startsWith('BYE ') && text.includes('clock@test'));
}

const ended = (callId: string): boolean =>
  peer.messages.some((text) => text.startsWith('BYE ') && text.includes(callId));

test('a call that its refresher does not refresh is ended', async () => {
  await call('left@test');
  await untilExpired();
  expect(ended('left@test')).toBe(true);
});

test('a refresh by UPDATE starts the time anew, and its 2xx says where we are', async () => {
  const toTag = await call('kept@test');
  await peer.send(aRequest('UPDATE', { callId: 'kept@test', toTag, seq: 2 }), at());
  await answer('UPDATE', agreed('uac', 9000));
  const ok = await peer.next((text) => text.startsWith('SIP/2.0 200') && text.includes('2 UPDATE'));
  expect(headerOf(ok, 'Contact')).toContain(`127.0.80.1:${at().port}`);
  await untilExpired();
  expect(ended('kept@test')).toBe(false);
});

test.each(['INVITE', 'UPDATE'])(
  'after our %s, whose answer makes us the refresher, the peer need not refresh',
  async (method) => {
    await call('ours@test');
    app.send(`sip||ours@test;from-tag=a1\r\n${method} sip:x SIP/2.0\r\n${agreed('uac')}Content-Length: 0\r\n\r\n`);
    const request = await peer.next(`${method} `);
    const copied = ['Via', 'From', 'To', 'Call-ID', 'CSeq']
      .map((name) => `${name}: ${headerOf(request, name)}\r\n`)
      .join('');
    await peer.send(`SIP/2.0 200 OK\r\n${copied}${agreed('uac')}Content-Length: 0\r\n\r\n`, at());
    await app.next((payload) => payload.includes('|network|') && payload.includes('\r\nSIP/2.0 200'));
    await untilExpired();
    expect(ended('ours@test')).toBe(false);
  },
);

test('a caller that was promised no session timer is not held to one', async () => {
  await peer.send(aRequest('INVITE', { callId: 'free@test', extra: agreed('uac') }), at());
  await answer('INVITE', '');
  const ok = await peer.next((text) => text.startsWith('SIP/2.0 200') && text.includes('free@test'));
  await peer.send(
    aRequest('ACK', { callId: 'free@test', toTag: /tag=(.*)/.exec(headerOf(ok, 'To'))?.[1] as string }),
    at(),
  );
  await untilExpired();
  expect(ended('free@test')).toBe(false);
});
