/** What the machine must have for some suites; a missing thing is a reason to skip that is printed with the title and counted. */
import { accessSync, constants } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { delimiter, join } from 'node:path';

/**
 * Why `program` cannot be used here, undefined when it can:
 * `describe.skipIf(why !== undefined)(titled('the suite', why), ...)`.
 */
export function needs(program: string): string | undefined {
  return pathOf(program) === undefined ? `${program} is not installed` : undefined;
}

/** Why a program that looks for a network of its own, as baresip does, cannot run here; undefined when it can. */
export function needsNetwork(): string | undefined {
  const found = Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ internal }) => !internal));
  return found ? undefined : 'no network address besides loopback';
}

/** A title that carries the reason of a skip. */
export function titled(title: string, why: string | undefined): string {
  return why === undefined ? title : `${title} (skipped: ${why})`;
}

/** Where the program is, looked up as a shell does, and in the folders Debian keeps for root. */
export function pathOf(program: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin'];
  for (const folder of folders.filter((one) => one !== '')) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return undefined;
}
