#!/usr/bin/env node
/** reveille COMMAND: installs and builds what is missing, then runs one command of apps/cli. */
import { run } from './run.mjs';

await run('apps/cli/main', process.argv.slice(2));
