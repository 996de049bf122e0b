/** The lab as customers use it: the built program with virtual phones, an edge that knows of it what the lab has written, a PBX that calls. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { Child } from '../../apps/demo/child.ts';
import { freePort } from '../../apps/demo/edge-process.ts';
import { Pbx } from '../../apps/demo/pbx.ts';
import type { PhoneReport } from '../../apps/push-lab/phones.ts';
import { listen, onDrachtio, places, type StartedEdge, startEdge } from '../support/edge.ts';
import { titled } from '../support/needs.ts';
import { anOffer } from '../support/test-bed.ts';

const domain = 'lab.example.com';
const password = 'of-the-lab-phones';
const behaviours = ['sleep', 'late', 'three-times', 'moves'] as const;
const count = 8;
const why = onDrachtio ? 'the phones are told where the edge will be before it is there' : undefined;

describe.skipIf(why !== undefined)(titled('push lab with virtual phones', why), { timeout: 60_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'reveille-push-lab-'));
  const main = join(import.meta.dirname, '../../dist/apps/push-lab/main.js');
  const children: Child[] = [];
  let pbx: Pbx;
  let edge: StartedEdge;
  let port: number;

  /** One command: everything the lab has, and phones for an edge that need not be there yet. */
  async function aLab(more: readonly string[]): Promise<{ readonly child: Child; readonly control: string }> {
    const ports = ['--apns-port', '0', '--http-port', '0', '--control-port', '0'];
    const phones = ['--edge', `sip:${places.edge}:${port};transport=udp`, '--domain', domain, '--password', password];
    const child = new Child('the lab', [
      main,
      '--all',
      '--json',
      '--dir',
      join(dir, 'lab'),
      ...ports,
      ...phones,
      ...more,
    ]);
    children.push(child);
    const facts = await child.next((line) => line['control'] !== undefined, 15_000, 'where it is');
    return { child, control: String(facts['control']) };
  }

  const reports = async (control: string): Promise<readonly PhoneReport[]> =>
    (await (await fetch(`${control}/phones`)).json()) as readonly PhoneReport[];

  async function all(control: string, good: (phone: PhoneReport) => boolean): Promise<readonly PhoneReport[]> {
    for (;;) {
      const now = await reports(control);
      if (now.every(good)) return now;
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  const edgeFor = async (): Promise<StartedEdge> => {
    const { push } = parse(readFileSync(join(dir, 'lab/reveille-push.yaml'), 'utf8')) as { readonly push: object };
    return startEdge({
      config: {
        sip: listen(port),
        domains: [
          {
            name: domain,
            registration: 'mid-registrar',
            upstream: `sip:${places.pbx}:${pbx.ua.local.port};transport=udp`,
          },
        ],
        wake: { hold_seconds: 15, silent_flow_ms: 500 },
        push: { ...push, self_test: 'fail' },
        shutdown: { call_seconds: 1 },
      },
    });
  };

  beforeAll(async () => {
    const names = ['phone', 'droid', 'stuck'].flatMap((prefix) =>
      Array.from({ length: count }, (_, index) => [`${prefix}${index + 1}`, password]),
    );
    pbx = await Pbx.open({
      ...{ transport: 'udp', address: places.pbx, domain },
      users: Object.fromEntries(names) as Record<string, string>,
    });
    port = await freePort(places.edge);
  }, 60_000);
  afterAll(async () => {
    await Promise.all(children.map((child) => child.stop()));
    await edge?.close();
    await pbx?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('wakes every phone for its call, however it wakes; each call is answered once', async () => {
    const words = ['--phones', String(count), '--behaviour', behaviours.join(), '--late-ms', '700'];
    const { child, control } = await aLab(words);
    // the phones were there first, and find it when it comes
    edge = await edgeFor();
    await all(control, ({ state }) => state === 'asleep');
    const users = (await reports(control)).map(({ user }) => user);
    const answers = await Promise.all(
      users.map(async (user) => {
        const call = pbx.call(user, { body: anOffer() });
        const { status } = await call.answer();
        await call.dialog?.bye();
        return status;
      }),
    );
    expect(answers).toEqual(users.map(() => 200));
    await all(control, ({ state }) => state !== 'in a call');
    expect(await child.stop()).toBe(0);
    const last = child.lines.at(-1)?.['phones'] as readonly PhoneReport[];
    expect(last.map(({ behaviour }) => behaviour)).toEqual([...behaviours, ...behaviours]);
    for (const one of last) {
      expect(one).toMatchObject({ pushes: 1, invites: 1, answered: 1, cancelled: 0 });
      expect(one.pushToRegisterMs).toBeGreaterThanOrEqual(one.behaviour === 'late' ? 700 : 0);
    }
    expect(JSON.stringify(last)).not.toContain(password);
  });

  it('uses the keys of its last run again, wakes over FCM, and follows a script: a token endpoint that is out, then a phone that is gone', async () => {
    const before = readFileSync(join(dir, 'lab/push-lab.json'), 'utf8');
    const script = join(dir, 'script.yaml');
    writeFileSync(script, 'rules:\n  - {service: fcm-token, do: answer, status: 503, times: 1}\n');
    const words = [
      ...['--phones', '2', '--user-prefix', 'droid', '--phone-provider', 'fcm', '--script', script],
      ...['--edge', `sip:${places.edge}:${port};transport=tcp`],
    ];
    // the last edge knows the lab's last ports; while it ran, the phones would register there and sleep on
    await edge.close();
    const { child, control } = await aLab(words);
    expect(readFileSync(join(dir, 'lab/push-lab.json'), 'utf8')).toBe(before);
    edge = await edgeFor();
    await all(control, ({ state }) => state === 'asleep');
    const call = pbx.call('droid1', { body: anOffer() });
    expect((await call.answer()).status).toBe(200);
    await call.dialog?.bye();
    const gone = { rules: [{ service: 'fcm', do: 'answer', status: 404, reason: 'UNREGISTERED' }] };
    const told = await fetch(`${control}/script`, { method: 'POST', body: JSON.stringify(gone) });
    expect(await told.json()).toEqual({ rules: 1, actions: 0 });
    expect((await pbx.call('droid2', { body: anOffer() }).answer()).status).toBeGreaterThanOrEqual(400);
    const seen = (await (await fetch(`${control}/seen`)).json()) as readonly Record<string, unknown>[];
    expect(seen).toContainEqual(expect.objectContaining({ service: 'fcm-token', outcome: 'fault', status: 503 }));
    expect(seen).toContainEqual(expect.objectContaining({ service: 'fcm', outcome: 'fault', status: 404 }));
    const woken = seen.find(({ service, outcome }) => service === 'fcm' && outcome === 'accepted');
    expect(woken?.['phone']).toMatchObject({ user: 'droid1', latencyMs: expect.any(Number) as number });
    expect((await reports(control)).map(({ answered }) => answered)).toEqual([1, 0]);
    await child.stop();
  });

  it('has phones that never wake', async () => {
    const words = ['--phones', '1', '--user-prefix', 'stuck', '--behaviour', 'never'];
    await edge.close();
    const { child, control } = await aLab(words);
    edge = await edgeFor();
    await all(control, ({ state }) => state === 'asleep');
    const call = pbx.call('stuck1', { body: anOffer() });
    const answer = call.answer();
    await all(control, ({ pushes }) => pushes > 0);
    call.cancel();
    expect((await answer).status).toBe(487);
    expect(await reports(control)).toMatchObject([{ state: 'pushed', invites: 0, answered: 0 }]);
    await child.stop();
  });
});
