/** TokenOwners in a Map: forgets everything when the process ends. */
import type { Aor } from '../../core/binding.ts';
import type { TokenOwners } from '../../ports/token-owners.ts';

/** entries looked at with each claim, so that those past their time go without a timer */
const slice = 4;

export function memoryTokenOwners(now: () => number = Date.now): TokenOwners {
  const owners = new Map<string, { readonly aor: Aor; readonly until: number }>();
  let sweep = owners.entries();
  return {
    async claim(name, aor, until) {
      const at = now();
      for (let seen = 0; seen < slice; seen++) {
        const next = sweep.next();
        if (next.done === true) sweep = owners.entries();
        else if (next.value[1].until <= at) owners.delete(next.value[0]);
      }
      const before = owners.get(name);
      owners.set(name, { aor, until });
      return before === undefined || before.until <= at ? undefined : before.aor;
    },
  };
}
