/**
 * The phone of the demo as a process. Sleeps until the push service tells it to wake, then registers from a new port, rings,
 * answers and talks. Commands: start, register, sleep, hang-up.
 */
import { get } from 'node:http';
import { readFeatureCaps } from '../../lib/sip/feature-caps.ts';
import type { IncomingCall } from './calls.ts';
import { obey, readLines, tell } from './json-lines.ts';
import { Media } from './media.ts';
import { Phone } from './phone.ts';
import { describe } from './rungs.ts';
import { monotonicMs } from './ua.ts';

let phone: Phone | undefined;
let hangUp: () => void = () => undefined;
let ringMs = 0;

function running(): Phone {
  if (phone === undefined) throw new Error('start me first');
  return phone;
}

/** Takes pushes for this token from the event stream of the stand-in, as the system of a real phone does over its own connection. */
async function listenForPushes(events: string, token: string): Promise<void> {
  await new Promise<void>((done, fail) => {
    const request = get(events, (response) => {
      done();
      void readLines(response, (push) => {
        if (push['token'] !== token) return;
        tell('pushed', { atMs: monotonicMs() });
        wakeUp().catch((cause: unknown) => {
          tell('failed', { why: cause instanceof Error ? cause.message : String(cause) });
        });
      });
    });
    request.on('error', fail);
  });
}

async function wakeUp(): Promise<void> {
  const here = running();
  const answers = await here.wake({ restarted: true });
  tell('registered', { status: answers.at(-1)?.status, port: here.ua.local.port, woken: true });
  await take(await here.nextCall());
}

async function take(call: IncomingCall): Promise<void> {
  const here = running();
  const media = await Media.open(here.options.address);
  call.ring();
  tell('ringing', { callId: call.dialog.callId });
  // a person needs a moment to pick up
  await new Promise((done) => setTimeout(done, ringMs));
  if (call.transaction.cancelled) return media.close();
  call.answer(media.sdp());
  await call.transaction.ack();
  media.talkTo(call.request.body);
  await media.first;
  tell('talking', { atMs: monotonicMs(), rtp: media.received });
  const hungUp = new Promise<void>((done) => {
    hangUp = done;
  });
  const bye = await Promise.race([call.dialog.ended.then(() => 'them' as const), hungUp.then(() => 'us' as const)]);
  const status = bye === 'us' ? (await call.dialog.bye()).status : 200;
  media.close();
  tell('ended', { by: bye, status, invites: here.invites.length });
}

obey({
  async start(line) {
    ringMs = Number(line['ringMs']);
    phone = new Phone({
      user: String(line['user']),
      domain: String(line['domain']),
      password: String(line['password']),
      address: String(line['address']),
      edge: line['edge'] as never,
      push: line['push'] as never,
      instanceId: String(line['instanceId']),
      onCrossing: ({ atMs, direction, message, copy }) => {
        if (!copy) tell('crossing', { atMs, direction, ...describe(message) });
      },
    });
    await listenForPushes(String(line['events']), phone.push?.prid ?? '');
    tell('ready');
  },
  async register() {
    const answer = await running().register();
    const pns = readFeatureCaps(answer.headers)[0]?.pns;
    tell('registered', { status: answer.status, port: running().ua.local.port, ...(pns === undefined ? {} : { pns }) });
  },
  async sleep() {
    await running().sleep();
    tell('asleep', { atMs: monotonicMs() });
  },
  async 'hang-up'() {
    hangUp();
  },
});
