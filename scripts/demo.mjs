/** npm run demo: installs and builds what is missing, then plays one call to a sleeping phone. Arguments go to it: --json, --help. */
import { run } from './run.mjs';

await run('apps/demo/main', process.argv.slice(2));
