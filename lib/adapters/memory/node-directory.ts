/** NodeDirectory of a node that shares its store with nobody. */
import type { NodeDirectory } from '../../ports/node-directory.ts';

export function noOtherNodes(): NodeDirectory {
  return {
    announce: () => Promise.resolve(),
    others: 0,
    withEngine: () => undefined,
    takeOver: () => Promise.resolve([]),
    onGone: () => () => undefined,
    close: () => Promise.resolve(),
  };
}
