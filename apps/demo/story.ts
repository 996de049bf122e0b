/**
 * The story of the demo, played with real peers on loopback: a phone registers through the edge and sleeps, the PBX calls it,
 * twice; each time the edge holds the INVITE, pushes, and rings the phone where it registered anew. Judges what crossed the wire.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { get } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Child } from './child.ts';
import { EdgeProcess, freePort } from './edge-process.ts';
import { type Line, readLines } from './json-lines.ts';
import type { Chapter, Column, Rung, RungKind } from './rungs.ts';
import { monotonicMs } from './ua.ts';

export interface StoryOptions {
  /** of the phone's side and of the PBX's */
  readonly transport: 'udp' | 'tcp';
  /** the story ends here, done or not */
  readonly limitMs: number;
  /** an empty folder, for the store, the keys and the config */
  readonly dir: string;
  readonly progress: (text: string) => void;
  /** every process is given here as soon as it runs, to be ended whatever happens */
  readonly adopt: (child: { stop(graceMs?: number): Promise<number> }) => void;
}

export interface StoryResult {
  readonly calls: number;
  readonly answered: number;
  /** most INVITEs that reached the phone for one call; 1 is right */
  readonly invitesPerPhone: number;
  /** means over the calls, ms */
  readonly pushToRegisterMs: number | null;
  readonly registerToInviteMs: number | null;
  readonly ladder: readonly Rung[];
  readonly chapters: readonly Chapter[];
  /** what was not as it must be; empty: all is well */
  readonly faults: readonly string[];
}

const address = '127.0.0.1';
const domain = 'example.test';
const topic = 'com.example.phone.voip';

/** Collects rungs from all peers; they come in as each process tells them and are put in order at the end. */
class Recorder {
  #startMs = monotonicMs();
  readonly rungs: Rung[] = [];
  readonly chapters: Chapter[] = [];

  add(atMs: number, from: Column, to: Column, what: string, kind: RungKind): void {
    this.rungs.push({ atMs: round(atMs - this.#startMs), from, to, what, kind });
  }

  /** Times are told from now on. */
  begin(): void {
    this.#startMs = monotonicMs();
  }

  chapter(title: string): void {
    this.chapters.push({ atMs: round(monotonicMs() - this.#startMs), title });
  }

  crossing(peer: 'PBX' | 'phone', line: Line): void {
    if (line['event'] !== 'crossing') return;
    const [from, to]: [Column, Column] = line['direction'] === 'out' ? [peer, 'edge'] : ['edge', peer];
    this.add(Number(line['atMs']), from, to, String(line['what']), line['kind'] as RungKind);
  }
}

/** Plays it to the end, or as far as it goes: whatever breaks the story is a fault in the result. */
export async function playStory(options: StoryOptions): Promise<StoryResult> {
  const recorder = new Recorder();
  const tale: Tale = { faults: [], invites: [], answered: 0 };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not done after ${options.limitMs / 1000} s`)), options.limitMs);
  });
  await Promise.race([play(options, recorder, tale), late]).catch((cause: unknown) => {
    tale.faults.push(cause instanceof Error ? cause.message : String(cause));
  });
  clearTimeout(timer);
  const ladder = inOrder(recorder.rungs);
  const { invites, answered } = tale;
  return {
    calls: invites.length,
    answered,
    invitesPerPhone: Math.max(0, ...invites),
    ...timesOf(ladder),
    ladder,
    chapters: recorder.chapters,
    faults: [...tale.faults, ...judge(ladder, invites, answered)],
  };
}

/** What is known so far. */
interface Tale {
  readonly faults: string[];
  /** INVITEs that reached the phone, one number for each call */
  readonly invites: number[];
  answered: number;
}

async function play({ transport, dir, progress, adopt }: StoryOptions, recorder: Recorder, tale: Tale): Promise<void> {
  const entry = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  const child = (name: string, args: readonly string[], onLine?: (line: Line) => void): Child => {
    const started = new Child(name, args, onLine);
    adopt(started);
    return started;
  };

  const labArgs = ['--apns-port', '0', '--control-port', '0', '--dir', dir, '--topic', topic];
  const lab = child('the APNs stand-in', [entry('../push-lab/main.js'), ...labArgs]);
  const password = randomBytes(9).toString('base64url');
  const pbx = child('the PBX', [entry('pbx-main.js')], (line) => recorder.crossing('PBX', line));
  pbx.command('start', { transport, address, domain, users: { alice: password } });
  const { port: pbxPort } = await pbx.event('ready');
  const push = await lab.next((line) => line['endpoint'] !== undefined, 10_000, 'its ports');
  progress(`PBX on ${transport}/${address}:${String(pbxPort)}, APNs stand-in on ${String(push['endpoint'])}`);

  const sipPort = await freePort(address);
  const http = `${address}:${await freePort(address)}`;
  const edge = await EdgeProcess.start({
    entry: entry('../edge/main.js'),
    dir,
    http,
    config: edgeConfig({ sipPort, http, pbxPort: Number(pbxPort), transport, push, dir }),
    onStart: adopt,
  });
  progress(`edge on udp and tcp ${address}:${sipPort}, /readyz says ready`);

  const token = randomBytes(32).toString('hex');
  await followPushes(`${String(push['control'])}/events`, (at) =>
    recorder.add(at, 'edge', 'APNs', 'push (voip) over HTTP/2', 'push'),
  );
  const phone = child('the phone', [entry('phone-main.js')], (line) => {
    recorder.crossing('phone', line);
    if (line['event'] === 'pushed') recorder.add(Number(line['atMs']), 'APNs', 'phone', 'wake up', 'push');
  });
  phone.command('start', {
    user: 'alice',
    domain,
    password,
    address,
    edge: { transport, address, port: sipPort },
    push: { provider: 'apns', param: `${String(push['teamId'])}.${topic}`, prid: token },
    instanceId: `urn:uuid:${randomUUID()}`,
    events: `${String(push['control'])}/events`,
    ringMs: 150,
  });
  await phone.event('ready');

  recorder.begin();
  recorder.chapter('The phone registers through the edge and goes to sleep');
  phone.command('register');
  const { status, pns, port } = await phone.event('registered');
  if (status !== 200) throw new Error(`the REGISTER of the phone was answered ${String(status)}`);
  if (pns !== 'apns') throw new Error('the 200 to the REGISTER does not promise pushes (Feature-Caps)');
  progress(`alice registered from port ${String(port)}, Feature-Caps says ${String(pns)}`);

  for (const [index, who] of (['PBX', 'phone'] as const).entries()) {
    await sleep(phone, recorder);
    recorder.chapter(`Call ${index + 1}: the PBX calls, ${who === 'PBX' ? 'the caller' : 'the phone'} hangs up`);
    await playCall({ pbx, phone, recorder, tale, who, progress, number: index + 1 });
  }
  await Promise.all([phone.stop(), pbx.stop()]);
  const code = await edge.stop();
  if (code !== 0) tale.faults.push(`the edge ended with exit code ${code} instead of 0`);
  await lab.stop();
}

interface Call {
  readonly pbx: Child;
  readonly phone: Child;
  readonly recorder: Recorder;
  readonly tale: Tale;
  /** who hangs up */
  readonly who: 'PBX' | 'phone';
  readonly number: number;
  readonly progress: (text: string) => void;
}

async function playCall({ pbx, phone, recorder, tale, who, number, progress }: Call): Promise<void> {
  const { faults } = tale;
  const before = tale.invites.reduce((sum, one) => sum + one, 0);
  progress(`call ${number}: the PBX calls alice, who sleeps`);
  pbx.command('call', { user: 'alice' });
  const answer = pbx.event('answered', 20_000);
  answer.catch(() => undefined); // waited for below; until then the story may break elsewhere
  const woken = await phone.event('registered', 15_000);
  progress(
    `call ${number}: pushed, woken, registered from port ${String(woken['port'])} with ${String(woken['status'])}`,
  );
  await phone.event('ringing');
  const { status } = await answer;
  if (status !== 200) throw new Error(`call ${number}: the caller got ${String(status)} instead of 200`);
  tale.answered += 1;
  const [, talking] = await Promise.all([pbx.event('talking'), phone.event('talking')]);
  recorder.add(Number(talking['atMs']), 'PBX', 'phone', 'voice (RTP)', 'voice');
  progress(`call ${number}: answered, RTP both ways`);
  // long enough to be seen in the ladder
  await new Promise((done) => setTimeout(done, 200));
  (who === 'PBX' ? pbx : phone).command('hang-up');
  const [atPbx, atPhone] = await Promise.all([pbx.event('ended'), phone.event('ended')]);
  const expected = who === 'PBX' ? (['us', 'them'] as const) : (['them', 'us'] as const);
  if (atPbx['by'] !== expected[0] || atPhone['by'] !== expected[1])
    faults.push(`call ${number}: the ${who} hung up, but the other side did not see it`);
  for (const end of [atPbx, atPhone])
    if (end['status'] !== 200) faults.push(`call ${number}: the BYE was answered ${String(end['status'])}`);
  progress(`call ${number}: ${who} hung up, BYE through to the other side`);
  tale.invites.push(Number(atPhone['invites']) - before);
}

async function sleep(phone: Child, recorder: Recorder): Promise<void> {
  phone.command('sleep');
  const { atMs } = await phone.event('asleep');
  recorder.add(Number(atMs), 'phone', 'phone', 'asleep, socket closed', 'note');
}

/** Times of the pushes the stand-in accepted, on our clock. */
function followPushes(events: string, onPush: (atMs: number) => void): Promise<void> {
  return new Promise((done, fail) => {
    get(events, (response) => {
      done();
      response.on('error', () => undefined);
      readLines(response, (push) => onPush(monotonicMs() - (Date.now() - Number(push['at'])))).catch(() => undefined);
    }).on('error', fail);
  });
}

interface EdgeFacts {
  readonly sipPort: number;
  readonly http: string;
  readonly pbxPort: number;
  readonly transport: 'udp' | 'tcp';
  readonly push: Line;
  readonly dir: string;
}

function edgeConfig({ sipPort, http, pbxPort, transport, push, dir }: EdgeFacts): Line {
  const { teamId, keyId, key, ca, endpoint } = push;
  return {
    sip: { listen: [`udp://${address}:${sipPort}`, `tcp://${address}:${sipPort}`] },
    http: { listen: http },
    store: { kind: 'lmdb', path: `${dir}/store` },
    domains: [
      { name: domain, registration: 'mid-registrar', upstream: `sip:${address}:${pbxPort};transport=${transport}` },
    ],
    push: {
      apps: [
        {
          name: 'demo',
          provider: 'apns',
          match: [`${String(teamId)}.${topic}`],
          team_id: teamId,
          key_id: keyId,
          key_file: key,
          ca_file: ca,
          endpoint,
          sandbox_endpoint: endpoint,
        },
      ],
    },
    shutdown: { held_seconds: 0, call_seconds: 1 },
  };
}

/** A push is told in whole milliseconds: it stands between the INVITE that caused it and the waking it caused. */
function inOrder(rungs: readonly Rung[]): readonly Rung[] {
  const wakes = rungs.filter(({ from, to }) => from === 'APNs' && to === 'phone');
  return rungs
    .map((rung): Rung => {
      if (rung.to !== 'APNs') return rung;
      const wake = wakes.find(({ atMs }) => atMs >= rung.atMs - 1);
      return { ...rung, atMs: round(Math.min(rung.atMs + 1, (wake?.atMs ?? Number.POSITIVE_INFINITY) - 0.1)) };
    })
    .sort((a, b) => a.atMs - b.atMs);
}

function judge(ladder: readonly Rung[], invites: readonly number[], answered: number): readonly string[] {
  const faults: string[] = [];
  const count = (from: Column, to: Column, what: string): number =>
    ladder.filter((rung) => rung.from === from && rung.to === to && rung.what === what).length;
  invites.forEach((one, index) => {
    if (one !== 1) faults.push(`call ${index + 1}: the phone got ${one} INVITEs instead of 1`);
  });
  const expect = (from: Column, to: Column, what: string, times: number): void => {
    const seen = count(from, to, what);
    if (seen !== times) faults.push(`${seen} times "${what}" from ${from} to ${to} instead of ${times}`);
  };
  if (answered !== 2) faults.push(`${answered} of 2 calls answered`);
  expect('edge', 'PBX', '200 OK (INVITE)', 2);
  expect('PBX', 'edge', 'ACK', 2);
  expect('edge', 'phone', 'ACK', 2);
  expect('PBX', 'edge', 'BYE', 1);
  expect('edge', 'phone', 'BYE', 1);
  expect('phone', 'edge', 'BYE', 1);
  expect('edge', 'PBX', 'BYE', 1);
  expect('edge', 'APNs', 'push (voip) over HTTP/2', 2);
  return faults;
}

/** Means over the calls: push to the phone's first REGISTER, and its accepted REGISTER to the INVITE at the phone. */
function timesOf(ladder: readonly Rung[]): Pick<StoryResult, 'pushToRegisterMs' | 'registerToInviteMs'> {
  const toRegister: number[] = [];
  const toInvite: number[] = [];
  const isRegister = ({ from, what }: Rung): boolean => from === 'phone' && what.startsWith('REGISTER');
  for (const push of ladder.filter(({ to }) => to === 'APNs')) {
    const later = ladder.filter(({ atMs }) => atMs >= push.atMs);
    const register = later.find(isRegister);
    const invite = later.find(({ from, to, what }) => from === 'edge' && to === 'phone' && what === 'INVITE');
    if (register === undefined || invite === undefined) continue;
    toRegister.push(register.atMs - push.atMs);
    toInvite.push(
      invite.atMs - (later.filter((rung) => isRegister(rung) && rung.atMs <= invite.atMs).at(-1)?.atMs ?? 0),
    );
  }
  return { pushToRegisterMs: mean(toRegister), registerToInviteMs: mean(toInvite) };
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : round(values.reduce((sum, one) => sum + one, 0) / values.length);
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
