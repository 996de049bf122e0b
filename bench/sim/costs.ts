/** Reads a file of costs: every figure a number with the place it was measured at. */
import type { Costs } from './model.ts';

const names = {
  edge: [
    'registerMicros',
    'wokenCallMicros',
    'awakeCallMicros',
    'refreshPushMicros',
    'baseShare',
    'flowBytes',
    'heldBytes',
  ],
  redis: [
    'bytesPerPhone',
    'registerCommands',
    'registerMicros',
    'wokenCallCommands',
    'wokenCallMicros',
    'awakeCallCommands',
    'awakeCallMicros',
    'refreshPushCommands',
    'refreshPushMicros',
    'idleCommands',
    'idleMicros',
  ],
  network: ['registerBytes', 'callBytes', 'pushBytes'],
} as const satisfies { readonly [part in keyof Costs]: readonly (keyof Costs[part])[] };

/** Throws an Error that names the figure that is missing, is no number, or says not where it was measured. */
export function readCosts(text: string): Costs {
  const file = JSON.parse(text) as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  const parts = Object.entries(names).map(([part, figures]) => [
    part,
    Object.fromEntries(figures.map((figure) => [figure, figureOf(`${part}.${figure}`, file[part]?.[figure])])),
  ]);
  return Object.fromEntries(parts) as Costs;
}

function figureOf(name: string, given: unknown): number {
  const { value, from } = (typeof given === 'object' && given !== null ? given : {}) as {
    readonly value?: unknown;
    readonly from?: unknown;
  };
  if (typeof value !== 'number' || !(value >= 0)) throw new Error(`costs: ${name}: expected a value of 0 or more`);
  if (typeof from !== 'string' || from === '') throw new Error(`costs: ${name}: expected from, where it was measured`);
  return value;
}
