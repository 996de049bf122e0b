import { describe, expect, it } from 'vitest';
import { countStoreErrors } from '../../../apps/edge/count-store-errors.ts';
import { openMemoryStore } from '../../../lib/adapters/memory/location-store.ts';
import type { LocationStore } from '../../../lib/ports/location-store.ts';
import { metrics } from '../../../lib/telemetry/metrics.ts';
import { aBinding } from '../../support/a-binding.ts';
import { TelemetryRecorder } from '../../support/telemetry-recorder.ts';

const use = (store: LocationStore) =>
  [
    store.read('alice@example.com'),
    store.swap('alice@example.com', 0, [aBinding()], Date.now() + 1000),
    store.scan('', 10),
    store.readSecret('alice', 'example.com'),
    store.shared('name', () => 'value'),
    store.ping(),
  ] as const;

describe('a store whose errors are counted', () => {
  it('is the same store while it works', async () => {
    const telemetry = new TelemetryRecorder();
    const store = countStoreErrors(openMemoryStore(), telemetry);
    await Promise.all(use(store));
    expect((await store.read('alice@example.com')).bindings).toHaveLength(1);
    for (const operation of metrics.storeErrors.labels.operation)
      expect(telemetry.counted('storeErrors', { operation })).toBe(0);
    await store.close();
  });

  it('passes every failure on and counts it under its own name', async () => {
    const telemetry = new TelemetryRecorder();
    const broken = new Proxy(openMemoryStore(), { get: () => () => Promise.reject(new Error('down')) });
    const outcomes = await Promise.allSettled(use(countStoreErrors(broken, telemetry)));
    expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => 'rejected'));
    for (const operation of metrics.storeErrors.labels.operation)
      expect(telemetry.counted('storeErrors', { operation })).toBe(1);
  });
});
