/** Every target by its name. */
import type { Target } from '../target.ts';
import { engineTarget } from './engine.ts';
import { messageTarget } from './messages.ts';
import { frameTarget, streamTarget } from './streams.ts';
import { valueTarget } from './values.ts';

export const targets: Readonly<Record<string, (root: string) => Target | Promise<Target>>> = {
  messages: messageTarget,
  values: valueTarget,
  streams: streamTarget,
  frames: frameTarget,
  engine: engineTarget,
};
