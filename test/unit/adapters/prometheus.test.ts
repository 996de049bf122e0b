import { describe, expect, expectTypeOf, it } from 'vitest';
import { createPrometheus } from '../../../lib/adapters/prometheus/registry.ts';
import type { PushOutcome } from '../../../lib/ports/push-service.ts';
import type { Telemetry } from '../../../lib/ports/telemetry.ts';
import { metrics, methodLabel, providerLabel, statusLabel, type LabelValue } from '../../../lib/telemetry/metrics.ts';
import { zeroCounters } from '../../../lib/engine/counters.ts';
import { followEngine } from '../../../lib/adapters/prometheus/follow-engine.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

const bare = { processMetrics: false };

async function lineOf(prometheus: { expose(): Promise<{ body: string }> }, start: string): Promise<string | undefined> {
  return (await prometheus.expose()).body.split('\n').find((line) => line.startsWith(start));
}

describe('the metric catalogue', () => {
  it('has unique names, help texts, closed labels and rising buckets', () => {
    const all = Object.values(metrics);
    expect(new Set(all.map((spec) => spec.name)).size).toBe(all.length);
    for (const spec of all) {
      expect(spec.name).toMatch(
        spec.type === 'counter'
          ? /^reveille_[a-z_]+_total$/
          : spec.type === 'histogram'
            ? /_seconds$/
            : /^reveille_[a-z_]+$/,
      );
      expect(spec.help).toMatch(/\.$/);
      for (const values of Object.values<readonly string[]>(spec.labels))
        expect(new Set(values).size).toBe(values.length);
      if (spec.type === 'histogram') expect(spec.buckets).toEqual([...new Set(spec.buckets)].sort((a, b) => a - b));
    }
  });

  it('knows every outcome of a push', async () => {
    expectTypeOf<LabelValue<'pushes', 'outcome'>>().toEqualTypeOf<PushOutcome['is']>();
    const outcomes: Readonly<Record<PushOutcome['is'], true>> = {
      accepted: true,
      'token-dead': true,
      'token-suspect': true,
      throttled: true,
      'not-applicable': true,
      'config-error': true,
      unreachable: true,
      cancelled: true,
    };
    const prometheus = createPrometheus(bare);
    for (const outcome of Object.keys(outcomes) as PushOutcome['is'][]) {
      prometheus.telemetry.count('pushes', { provider: 'apns', outcome });
      expect(await lineOf(prometheus, `reveille_pushes_total{provider="apns",outcome="${outcome}"}`)).toMatch(/ 1$/);
    }
  });

  it('maps what peers invent to labels that exist', () => {
    expect([
      methodLabel('INVITE'),
      methodLabel('invite'),
      methodLabel('X'.repeat(99)),
      methodLabel('constructor'),
    ]).toEqual(['INVITE', 'other', 'other', 'other']);
    expect([providerLabel('apns'), providerLabel('acme')]).toEqual(['apns', 'other']);
    expect([undefined, 100, 202, 302, 487, 503, 603, 999].map(statusLabel)).toEqual([
      'none',
      '1xx',
      '2xx',
      '3xx',
      '4xx',
      '5xx',
      '6xx',
      'none',
    ]);
  });
});

describe('prometheus', () => {
  it('exposes every metric from the start, counters at 0', async () => {
    const { body, contentType } = await createPrometheus(bare).expose();
    expect(contentType).toContain('text/plain');
    for (const { name, type, help } of Object.values(metrics))
      expect(body).toContain(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`);
    expect(body).toContain('reveille_pushes_total{provider="fcm",outcome="token-dead"} 0');
  });

  it('counts, observes and sets, by name and by bound series alike', async () => {
    const prometheus = createPrometheus(bare);
    const { telemetry } = prometheus;
    telemetry.count('pushes', { provider: 'apns', outcome: 'accepted' });
    telemetry.count('pushes', { outcome: 'accepted', provider: 'apns' });
    telemetry.counter('pushes', { provider: 'apns', outcome: 'accepted' }).add(3);
    telemetry.observe('inviteToPush', 0.0004);
    telemetry.histogram('inviteToPush').observe(0.004);
    telemetry.gauge('heldInvites', 7);
    telemetry.gaugeOf('heldInvites').add(-2);
    expect(await lineOf(prometheus, 'reveille_pushes_total{provider="apns",outcome="accepted"}')).toMatch(/ 5$/);
    expect(await lineOf(prometheus, 'reveille_invite_to_push_seconds_bucket{le="0.0005"}')).toMatch(/ 1$/);
    expect(await lineOf(prometheus, 'reveille_invite_to_push_seconds_count')).toMatch(/ 2$/);
    expect(await lineOf(prometheus, 'reveille_held_invites')).toMatch(/ 5$/);
  });

  it('never throws into a call, whatever number it is given', async () => {
    const prometheus = createPrometheus(bare);
    const { telemetry } = prometheus;
    telemetry.counter('storeErrors', { operation: 'read' }).add(-1);
    telemetry.counter('storeErrors', { operation: 'read' }).add(Number.NaN);
    telemetry.observe('pushToRegister', Number.NaN);
    telemetry.observe('pushToRegister', -0.5);
    telemetry.gauge('oldestHeld', Number.POSITIVE_INFINITY);
    expect(await lineOf(prometheus, 'reveille_store_errors_total{operation="read"}')).toMatch(/ 0$/);
    expect(await lineOf(prometheus, 'reveille_push_to_register_seconds_sum')).toMatch(/ 0$/);
  });

  it('asks before a scrape, and a failed question costs nothing else', async () => {
    const prometheus = createPrometheus(bare);
    prometheus.onScrape(() => Promise.reject(new Error('store away')));
    prometheus.onScrape((telemetry) => telemetry.gauge('bindings', 3, { state: 'asleep' }));
    prometheus.onScrape(() => {
      throw new Error('at once');
    });
    expect(await lineOf(prometheus, 'reveille_bindings{state="asleep"}')).toMatch(/ 3$/);
  });

  it('adds what the process itself can tell', async () => {
    expect((await createPrometheus().expose()).body).toContain('process_resident_memory_bytes');
  });

  it('keeps several registries apart', async () => {
    const [one, other] = [createPrometheus(bare), createPrometheus(bare)];
    one.telemetry.gauge('calls', 1);
    expect(await lineOf(other, 'reveille_calls ')).toMatch(/ 0$/);
  });
});

describe('types', () => {
  it('refuse a wrong label, a missing one and one too many', () => {
    const wrong = (telemetry: Telemetry): void => {
      // @ts-expect-error an outcome that is not in the catalogue
      telemetry.count('pushes', { provider: 'apns', outcome: 'lost' });
      // @ts-expect-error the outcome is missing
      telemetry.count('pushes', { provider: 'apns' });
      // @ts-expect-error labels are missing
      telemetry.count('pushes');
      // @ts-expect-error a gauge has no labels
      telemetry.gauge('heldInvites', 1, { state: 'asleep' });
      // @ts-expect-error a gauge is not counted
      telemetry.count('heldInvites');
      // @ts-expect-error no such metric
      telemetry.count('calls_per_aor');
    };
    expect(() => wrong(new TelemetryRecorder())).toThrow(/outcome cannot be lost/);
  });
});

describe('followEngine', () => {
  const standing = { ...zeroCounters(), serverTransactions: 1, connections: 4 };

  it('adds what is new since the last report, also after an engine began anew', () => {
    const telemetry = new TelemetryRecorder();
    const report = followEngine(telemetry);
    report({ ...standing, received: 10 });
    report({ ...standing, received: 15, connections: 9 });
    report({ ...standing, received: 2 });
    expect(telemetry.counted('engineEvents', { event: 'received' })).toBe(17);
    expect(telemetry.level('engineObjects', { kind: 'connections' })).toBe(4);
  });
});
