import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const text = readFileSync(join(root, 'package-lock.json'), 'utf8');

interface Entry {
  readonly version?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}
const { packages } = JSON.parse(text) as { readonly packages: Readonly<Record<string, Entry>> };

describe('package-lock.json', () => {
  it('has the binaries of every platform, so that npm ci takes it everywhere', () => {
    // a lock written where some platforms' packages cannot be fetched lacks them, and npm ci refuses it
    const missing = Object.entries(packages).flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {}).filter(
        (name) =>
          packages[`node_modules/${name}`] === undefined && packages[`${path}/node_modules/${name}`] === undefined,
      ),
    );
    expect(missing).toEqual([]);
  });

  it('names no registry, and pins what package.json asks for', () => {
    expect(text).not.toContain('"resolved"');
    const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>;
    for (const [name, version] of Object.entries({ ...own['dependencies'], ...own['devDependencies'] })) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
      expect(packages[`node_modules/${name}`]?.version).toBe(version);
    }
    expect(Object.keys(own['dependencies'] ?? {}).length).toBeLessThanOrEqual(15);
  });

  it('has a reason for each dependency in a decision record', () => {
    const record = readFileSync(join(root, 'docs/adr/0005-dependencies.md'), 'utf8');
    for (const name of Object.keys(packages[''] === undefined ? {} : { ...packages['']?.dependencies })) {
      expect(record).toContain(`| ${name} |`);
    }
  });
});
