/**
 * The alert rules and the dashboard of deploy/ at a real Prometheus: its own tool checks the rules and plays a story for each alert, and
 * the server scrapes a running edge, evaluates the rules and answers every expression.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../apps/demo/edge-process.ts';
import { alertCases, promtoolTests } from '../support/alert-cases.ts';
import { places } from '../support/edge.ts';
import { Program } from '../support/foreign-program.ts';
import { needs, pathOf, titled } from '../support/needs.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

const why = needs('prometheus') ?? needs('promtool');
const deploy = join(import.meta.dirname, '../../deploy');
const rules = join(deploy, 'prometheus-alerts.yml');
const dashboard = JSON.parse(readFileSync(join(deploy, 'grafana-dashboard.json'), 'utf8')) as {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
};
const panels = dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, expr] as const));

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'reveille-prometheus-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe.skipIf(why !== undefined)(titled('promtool', why), () => {
  const promtool = (...args: string[]): { readonly status: number | null; readonly said: string } => {
    const { status, stdout, stderr } = spawnSync(pathOf('promtool') ?? '', args, { encoding: 'utf8' });
    return { status, said: `${stdout}${stderr}` };
  };

  it('takes the rules', () => {
    const { status, said } = promtool('check', 'rules', rules);
    expect([status, said]).toEqual([0, expect.stringContaining(`${alertCases.length} rules found`)]);
  });

  it('has each alert raised by its story and by no quiet day', () => {
    const file = join(dir, 'tests.yml');
    writeFileSync(file, promtoolTests(rules, alertCases));
    const { status, said } = promtool('test', 'rules', file);
    expect([status, said]).toEqual([0, expect.stringContaining('SUCCESS')]);
  });

  it('would tell a rule that is never raised', () => {
    const [first] = alertCases;
    const file = join(dir, 'wrong.yml');
    writeFileSync(
      file,
      promtoolTests(rules, [{ ...(first as (typeof alertCases)[number]), trouble: first?.quiet ?? {} }]),
    );
    expect(promtool('test', 'rules', file).status).toBe(1);
  });
});

describe.skipIf(why !== undefined)(titled('a Prometheus that scrapes an edge', why), () => {
  let bed: Bed;
  let prometheus: Program;
  let at: string;

  beforeAll(async () => {
    bed = await Bed.open();
    at = `${places.edge}:${await freePort(places.edge)}`;
    const config = {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [rules],
      scrape_configs: [{ job_name: 'reveille', static_configs: [{ targets: [bed.edge.http] }] }],
    };
    const file = join(dir, 'prometheus.yml');
    writeFileSync(file, JSON.stringify(config));
    prometheus = new Program('prometheus', [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(dir, 'data')}`,
      `--web.listen-address=${at}`,
    ]);
    await prometheus.says(/Server is ready to receive web requests/);
  });
  afterAll(async () => {
    await prometheus?.stop();
    await bed?.close();
  });

  async function asked<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> {
    const response = await fetch(`http://${at}/api/v1/${path}?${new URLSearchParams(query).toString()}`);
    const body = (await response.json()) as { readonly status: string; readonly error?: string; readonly data: T };
    expect([path, query['query'], body.status, body.error]).toEqual([path, query['query'], 'success', undefined]);
    return body.data;
  }
  type Samples = { readonly result: readonly { readonly value: readonly [number, string] }[] };
  const valueOf = async (query: string): Promise<number> =>
    Number((await asked<Samples>('query', { query })).result[0]?.value[1]);

  it('finds every sample of /metrics good, and counts a call that woke a phone', async () => {
    await expect.poll(() => valueOf('up{job="reveille"}'), { timeout: 15_000 }).toBe(1);
    const phone = await bed.sleeper('alice');
    bed.wakesOnPush(phone);
    const pending = bed.pbx.call('alice', { body: anOffer() });
    (await phone.nextCall()).reject(486);
    expect((await pending.answer()).status).toBe(486);
    await expect.poll(() => valueOf('sum(reveille_wakes_total)'), { timeout: 15_000 }).toBe(1);
    await expect
      .poll(() => valueOf('sum(reveille_push_results_total{outcome="accepted"})'), { timeout: 15_000 })
      .toBe(1);
    const { activeTargets } = await asked<{ readonly activeTargets: readonly { readonly lastError: string }[] }>(
      'targets',
    );
    expect(activeTargets.map(({ lastError }) => lastError)).toEqual(['']);
  });

  it('evaluates every rule, and none of them cries on a good day', async () => {
    type Rule = { readonly name: string; readonly health: string; readonly lastError?: string; readonly state: string };
    const groups = async (): Promise<readonly Rule[]> =>
      (await asked<{ readonly groups: readonly { readonly rules: readonly Rule[] }[] }>('rules')).groups.flatMap(
        (group) => group.rules,
      );
    await expect
      .poll(async () => (await groups()).map(({ health }) => health), { timeout: 15_000 })
      .not.toContain('unknown');
    const found = (await groups()).map(({ name, health, state }) => [name, `${health} ${state}`] as const);
    expect(found).toHaveLength(alertCases.length);
    expect(new Map(found)).toEqual(new Map(alertCases.map(({ alert }) => [alert, 'ok inactive'])));
  });

  it.each(panels)('answers the panel %s: %s', async (_, expr) => {
    const query = expr.replaceAll(/\$(?:provider|app)/g, '.*');
    expect(query).not.toContain('$');
    expect(Array.isArray((await asked<Samples>('query', { query })).result)).toBe(true);
  });

  it('has data for the panels of what has happened', async () => {
    await expect
      .poll(() => valueOf('sum by (provider, outcome) (reveille_push_results_total{provider=~".*", app=~".*"})'))
      .toBeGreaterThan(0);
    expect(await valueOf('sum(reveille_held_invites)')).toBe(0);
  });
});
