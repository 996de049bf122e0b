/** Every command of `reveille` by its name. */
import type { Command } from './command.ts';
import { accounts } from './commands/accounts.ts';
import { push } from './commands/push.ts';
import { registrations } from './commands/registrations.ts';
import { drain } from './commands/drain.ts';
import { status } from './commands/status.ts';

export const commands: Readonly<Record<string, Command>> = { accounts, drain, push, registrations, status };
