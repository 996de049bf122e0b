import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import config from '../../../oxlint.config.mjs';

const root = join(import.meta.dirname, '../../..');
const folder = mkdtempSync(join(tmpdir(), 'reveille-imports-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Diagnostic {
  readonly message: string;
  readonly help?: string;
  readonly code: string;
  readonly filename: string;
}

// the paths in the rules count from the folder the rules are in
copyFileSync(join(root, 'oxlint.config.mjs'), join(folder, 'oxlint.config.mjs'));

/** Lints files made for this test with the project's own rules. */
function lint(files: Readonly<Record<string, string>>): Diagnostic[] {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const args = [join(root, 'node_modules/oxlint/bin/oxlint'), '-c', 'oxlint.config.mjs', '-f', 'json', 'lib', 'apps'];
  mkdirSync(join(folder, 'apps'), { recursive: true });
  try {
    execFileSync(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
    return [];
  } catch (error) {
    const { stdout } = error as { readonly stdout: Buffer };
    return (JSON.parse(stdout.toString()) as { readonly diagnostics: Diagnostic[] }).diagnostics;
  }
}

const arrows: readonly (readonly [file: string, forbidden: string, why: string])[] = [
  ['lib/sip/a.ts', '../core/b.ts', 'decided twice'],
  ['lib/sip/a.ts', 'node:net', 'the words of SIP need nobody else'],
  ['lib/core/a.ts', '../ports/b.ts', 'a port is for those who call it'],
  ['lib/core/a.ts', '../telemetry/b.ts', 'nothing to count'],
  ['lib/core/a.ts', 'node:fs', 'no I/O'],
  ['lib/ports/a.ts', '../wake/b.ts', 'use-cases are called by apps only'],
  ['lib/doctor/a.ts', 'node:net', 'apps/cli looks'],
  ['lib/core/a.ts', '../doctor/b.ts', 'asked for by apps/cli'],
  ['lib/ports/a.ts', 'ioredis', 'types only'],
  ['lib/wake/a.ts', '../relay/b.ts', 'use-cases are called by apps only'],
  ['lib/register/a.ts', '../call/b.ts', 'nobody else holds one'],
  ['lib/call/a.ts', '../wake/b.ts', 'use-cases are called by apps only'],
  ['lib/wake/a.ts', '../adapters/redis/b.ts', 'only apps/edge/wiring.ts knows'],
  ['lib/wake/a.ts', '../config/load.ts', 'told what it needs'],
  ['lib/register/a.ts', 'drachtio-srf', 'reaches the world through ports'],
  ['lib/call/deeper/a.ts', '../../engine/engine.ts', 'can be swapped'],
  ['lib/adapters/redis/a.ts', '../lmdb/b.ts', 'adapters do not know each other'],
  ['lib/adapters/redis/commands/a.ts', '../../lmdb/b.ts', 'adapters do not know each other'],
  ['lib/adapters/redis/a.ts', '../../wake/b.ts', 'use-cases are called by apps only'],
  ['lib/adapters/redis/a.ts', 'lmdb', 'adapters/redis may use node and ioredis'],
  ['lib/engine/a.ts', '../ports/clock.ts', 'a port is for those who call it'],
  ['lib/engine/transport/a.ts', '../../core/b.ts', 'decided twice'],
  ['lib/engine/a.ts', 'drachtio-srf', 'node networking'],
  ['lib/telemetry/a.ts', 'prom-client', 'knows no library'],
  ['lib/config/a.ts', '../sip/uri.ts', 'no words of SIP'],
  ['lib/errors.ts', './sip/uri.ts', 'the list of errors needs nobody'],
  ['lib/relay/a.ts', '../../apps/edge/admin.ts', 'from apps to lib'],
  ['apps/edge/a.ts', '../demo/b.ts', 'built from lib alone'],
  ['apps/engine/a.ts', '../edge/b.ts', 'built from lib alone'],
  ['apps/push-lab/a.ts', '../demo/story.ts', 'built from lib alone'],
];

const allowed: readonly (readonly [file: string, import_: string])[] = [
  ['lib/core/a.ts', '../sip/uri.ts'],
  ['lib/core/a.ts', 'node:crypto'],
  ['lib/wake/a.ts', '../core/held-invite.ts'],
  ['lib/wake/a.ts', '../call/bridge.ts'],
  ['lib/adapters/srf/a.ts', 'drachtio-srf/lib/drachtio-agent.js'],
  ['lib/wake/a.ts', '../ports/clock.ts'],
  ['lib/wake/a.ts', '../errors.ts'],
  ['lib/adapters/redis/a.ts', 'ioredis'],
  ['lib/adapters/redis/commands/a.ts', '../keys.ts'],
  ['lib/adapters/redis/a.ts', '../../ports/clock.ts'],
  ['lib/engine/transport/a.ts', '../dialog/dialog.ts'],
  ['lib/engine/a.ts', 'node:dns/promises'],
  ['apps/edge/wiring.ts', '../../lib/adapters/redis/a.ts'],
  ['apps/push-lab/phones.ts', '../demo/phone.ts'],
  ['apps/edge/a.ts', '../../lib/engine/spawn.ts'],
];

describe('the import map', () => {
  it('reports every arrow that must not be, with its reason, and no other', () => {
    const files: Record<string, string> = {};
    const add = (index: number, file: string, target: string): string => {
      // one file per arrow, so that each finding has one cause; lib/errors.ts can only be itself
      const name = file === 'lib/errors.ts' ? file : file.replace(/[^/]+$/, `arrow-${index}.ts`);
      files[name] = `import '${target}';\n`;
      return name;
    };
    const bad = arrows.map(([file, target, why], index) => ({ name: add(index, file, target), target, why }));
    const good = allowed.map(([file, target], index) => add(100 + index, file, target));
    const found = lint(files).filter((one) => one.code === 'eslint(no-restricted-imports)');
    const at = (name: string) => found.filter((one) => one.filename.replace(/^\.\//, '') === name);
    for (const { name, target, why } of bad) {
      expect(
        at(name).map((one) => one.message + one.help),
        `${name} -> ${target}`,
      ).toEqual([expect.stringContaining(why)]);
    }
    for (const name of good) expect(at(name), files[name]).toEqual([]);
  });

  it('keeps clocks and chance out of the core, and cycles out of everything', () => {
    const codes = lint({
      'lib/core/clock.ts': 'export const late = () => setTimeout(() => undefined, Date.now() + Math.random());\n',
      'lib/sip/one.ts': "import { two } from './two.ts';\nexport const one = (): unknown => two;\n",
      'lib/sip/two.ts': "import { one } from './one.ts';\nexport const two = (): unknown => one;\n",
      'lib/sip/default.ts': 'const none = 1;\nexport default none;\n',
      'lib/wake/env.ts': 'export const home = process.env;\n',
    }).map((one) => `${one.filename.replace(/^\.\//, '')} ${one.code}`);
    expect(codes).toContain('lib/core/clock.ts eslint(no-restricted-globals)');
    expect(codes.filter((code) => code === 'lib/core/clock.ts eslint(no-restricted-properties)')).toHaveLength(2);
    expect(codes.filter((code) => code.endsWith('import(no-cycle)'))).toHaveLength(2);
    expect(codes).toContain('lib/sip/default.ts import(no-default-export)');
    expect(codes).toContain('lib/wake/env.ts node(no-process-env)');
  });

  it('has a place for every room and every adapter', () => {
    const mapped = config.overrides.flatMap((one) => one.files);
    const folders = (path: string) =>
      readdirSync(join(root, path), { withFileTypes: true }).filter((one) => one.isDirectory());
    for (const { name } of folders('lib')) if (name !== 'adapters') expect(mapped).toContain(`lib/${name}/**`);
    for (const { name } of folders('lib/adapters')) expect(mapped).toContain(`lib/adapters/${name}/*`);
  });
});
