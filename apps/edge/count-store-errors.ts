/** The store with every operation it does not carry out counted, so that an operator sees a broken store before the phones do. Changes nothing else. */
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import type { LabelArguments } from '../../lib/telemetry/metrics.ts';

type Operation = LabelArguments<'storeErrors'>[0]['operation'];

export function countStoreErrors(store: LocationStore, telemetry: Telemetry): LocationStore {
  const counted = <T>(operation: Operation, work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      telemetry.count('storeErrors', { operation });
      throw error;
    });
  return {
    read: (aor) => counted('read', store.read(aor)),
    swap: (aor, expected, bindings, keepUntil) => counted('swap', store.swap(aor, expected, bindings, keepUntil)),
    scan: (cursor, limit) => counted('scan', store.scan(cursor, limit)),
    readSecret: (user, realm) => counted('secret', store.readSecret(user, realm)),
    shared: (name, make) => counted('shared', store.shared(name, make)),
    ping: () => counted('ping', store.ping()),
    close: () => store.close(),
  };
}
