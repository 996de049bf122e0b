/** Counts the bindings in the store by what a call would do with them, now and then and in small steps, so that no call waits for it. */
import type { Binding } from '../../lib/core/binding.ts';
import { wakeableBindings } from '../../lib/core/binding-set.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';

type State = 'awake' | 'asleep' | 'plain' | 'unpushable' | 'lapsed';

const pageSize = 100;
const restMs = 30_000;
/** a census takes at most a tenth of the time, however many bindings there are */
const share = 10;

export interface Census {
  /** as of the last count; undefined before the first one has ended */
  readonly counted: Readonly<Record<State, number>> | undefined;
  stop(): void;
}

/** `isAwake`: whether a call would try the binding's flow before pushing. */
export function startCensus(
  store: LocationStore,
  telemetry: Telemetry,
  isAwake: (binding: Binding) => boolean,
  now: () => number,
): Census {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let counted: Readonly<Record<State, number>> | undefined;
  const rest = (ms: number): void => {
    if (!stopped) timer = setTimeout(() => void count(), ms).unref();
  };
  const count = async (): Promise<void> => {
    const startedAt = performance.now();
    const found: Record<State, number> = { awake: 0, asleep: 0, plain: 0, unpushable: 0, lapsed: 0 };
    try {
      for (let cursor: string | undefined = ''; cursor !== undefined && !stopped; ) {
        const page: { readonly aors: readonly string[]; readonly next: string | undefined } = await store.scan(
          cursor,
          pageSize,
        );
        for (const aor of page.aors) {
          const at = now();
          for (const binding of wakeableBindings((await store.read(aor)).bindings, at))
            found[binding.expiresAt <= at ? 'lapsed' : stateOf(binding, isAwake)]++;
        }
        cursor = page.next;
        await new Promise((resolve) => setImmediate(resolve));
      }
      counted = found;
      for (const [state, value] of Object.entries(found)) telemetry.gauge('bindings', value, { state: state as State });
    } catch {
      // counted where the store is; the next census may see more
    }
    rest(Math.max(restMs, (performance.now() - startedAt) * share));
  };
  rest(1000);
  return {
    get counted() {
      return counted;
    },
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

function stateOf(binding: Binding, isAwake: (binding: Binding) => boolean): State {
  if (binding.push === undefined) return 'plain';
  if (binding.push.deadSince !== undefined) return 'unpushable';
  return isAwake(binding) ? 'awake' : 'asleep';
}
