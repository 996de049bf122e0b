/** NodeDirectory of a node that shares its store with nobody. */
import type { NodeDirectory } from '../../ports/node-directory.ts';

export function noOtherNodes(): NodeDirectory {
  const never = (): (() => void) => () => undefined;
  return {
    announce: () => Promise.resolve(),
    others: 0,
    withEngine: () => undefined,
    sureUntil: Number.POSITIVE_INFINITY,
    confirm: () => Promise.resolve('sure'),
    onGivenUp: never,
    takeOver: () => Promise.resolve([]),
    finished: () => Promise.resolve(),
    onGone: never,
    onLeft: never,
    close: () => Promise.resolve(),
  };
}
