/** Compiles one TypeScript file and what it imports, so that plain Node can run it as a process of its own. Types are not checked here. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** `entry`: path from the root of the project. `remove` takes the compiled files away again. */
export function compiled(entry: string): { readonly path: string; remove(): void } {
  // Inside the project, because the compiled files look for its node_modules and package.json.
  const out = join(root, 'dist', `child-${process.pid}-${entry.replace(/\W+/g, '-')}`);
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
  const options =
    '--ignoreConfig --noCheck --module nodenext --target es2022 --types node --skipLibCheck ' +
    '--rewriteRelativeImportExtensions --verbatimModuleSyntax --sourceMap false';
  execFileSync(process.execPath, [tsc, ...options.split(' '), '--rootDir', root, '--outDir', out, join(root, entry)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return {
    path: join(out, entry.replace(/\.ts$/, '.js')),
    remove: () => rmSync(out, { recursive: true, force: true }),
  };
}
