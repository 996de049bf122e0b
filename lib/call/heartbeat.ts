/**
 * Finds out that the other end of a dialog is gone (crashed, switched off, out of reach): no engine tells, so it is asked by
 * OPTIONS inside the dialog (RFC 3261 11), whose answer does not matter as long as there is one.
 */
import type { Clock } from '../ports/clock.ts';
import type { Dialog } from '../ports/dialog.ts';
import { Headers } from '../sip/headers.ts';

export interface Heartbeat {
  readonly clock: Clock;
  readonly everyMs: number;
}

/** A phone that changes its network is silent for a moment; twice in a row is no moment. */
const missesThatCount = 2;

/** Calls `onLost` once, unless the returned function was called before. */
export function watch(dialog: Dialog, { clock, everyMs }: Heartbeat, onLost: () => void): () => void {
  let missed = 0;
  let stopped = false;
  let takeBack = clock.after(everyMs, () => void beat());

  const beat = async (): Promise<void> => {
    const { response, local } = await dialog.request({ method: 'OPTIONS', headers: Headers.empty(), body: '' });
    if (stopped) return;
    missed = local || response.status === 408 ? missed + 1 : 0;
    // 481: whoever is there knows nothing of this call any more
    if (response.status === 481 || missed >= missesThatCount) onLost();
    else takeBack = clock.after(everyMs, () => void beat());
  };

  return () => {
    stopped = true;
    takeBack();
  };
}
