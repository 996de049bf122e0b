/** Every command of `reveille` by its name. */
import type { Command } from './command.ts';
import { push } from './commands/push.ts';
import { status } from './commands/status.ts';

export const commands: Readonly<Record<string, Command>> = { push, status };
