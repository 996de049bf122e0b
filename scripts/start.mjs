/** npm start: installs and builds what is missing, then runs the edge. Arguments go to it: npm start -- --config FILE, --check, --help. */
import { run } from './run.mjs';

await run('apps/edge/main', process.argv.slice(2));
