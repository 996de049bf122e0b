import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

describe('npm scripts', () => {
  it('name files that exist', () => {
    for (const command of Object.values(scripts)) {
      const [, file, program] = /node (scripts\/\S+)(?: ((?:apps|bench)\/\S+))?/.exec(command) ?? [];
      if (file !== undefined) expect(existsSync(join(root, file)), file).toBe(true);
      if (program !== undefined) expect(existsSync(join(root, `${program}.ts`)), program).toBe(true);
    }
  });

  it('become the program they start, so that a signal to npm reaches it and not a shell', () => {
    for (const name of ['start', 'demo', 'test']) expect(scripts[name]).toMatch(/^exec node /);
  });

  it.each(['test', 'check', 'run', 'conformance'])(
    'scripts/%s.mjs has a help text and does nothing else then',
    (name) => {
      const text = execFileSync(process.execPath, [join(root, `scripts/${name}.mjs`), '--help'], { encoding: 'utf8' });
      expect(text).toMatch(/^Usage: /);
    },
  );
});
