/**
 * Makes a fresh clone ready: dependencies as the lock file says, TypeScript compiled to dist. Does nothing when nothing changed.
 * Everything it has to say goes to standard error, so that a program's own output stays clean.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Compiled folders, and the files beside them that change what the compiler makes. */
const sources = ['apps', 'lib', 'bench', 'fuzz', 'tsconfig.json', 'package-lock.json'];
const stamp = join(root, 'dist', '.built');

export function bootstrap() {
  checkNode();
  if (!installed()) install();
  const wanted = fingerprint();
  if (read(stamp) !== wanted) build(wanted);
}

/** True when the command line asks for help; prints it then. */
export function helped(text) {
  const asked = process.argv.slice(2).some((word) => word === '--help' || word === '-h');
  if (asked) process.stdout.write(`${text.trim()}\n`);
  return asked;
}

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Runs a Node program of node_modules; gives back its exit code. */
export function node(script, args, options = {}) {
  return finish(
    spawnSync(process.execPath, [join(root, script), ...args], { cwd: root, stdio: 'inherit', ...options }),
  );
}

function checkNode() {
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node.replace('>=', '');
  const [have, need] = [process.versions.node, wanted].map((version) => version.split('.').map(Number));
  const at = have.findIndex((part, index) => part !== need[index]);
  if (at >= 0 && have[at] < need[at]) {
    say(`Reveille needs Node ${wanted} or newer; this is ${process.versions.node}.`);
    process.exit(1);
  }
}

/** Compares the lock file with the one npm leaves in node_modules; packages for other platforms may be missing. */
function installed() {
  const have = read(join(root, 'node_modules', '.package-lock.json'));
  if (have === undefined) return false;
  const present = JSON.parse(have).packages ?? {};
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (path === '') return true;
    const found = present[path];
    if (found === undefined) return optional === true;
    return found.version === version && (integrity === undefined || found.integrity === integrity);
  });
}

function install() {
  say('Installing dependencies (npm ci) ...');
  // npm tells its scripts where it is; without it, whatever npm is on the path
  const npm = process.env.npm_execpath;
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const [command, all] = npm?.endsWith('.js') ? [process.execPath, [npm, ...args]] : ['npm', args];
  const code = finish(spawnSync(command, all, { cwd: root, stdio: ['ignore', 2, 2] }));
  if (code !== 0) {
    say('npm ci failed; see above. It needs the package registry once.');
    process.exit(code);
  }
}

function build(wanted) {
  say('Building (tsc) ...');
  const code = node('node_modules/typescript/bin/tsc', ['-p', '.'], { stdio: ['ignore', 2, 2] });
  if (code !== 0) process.exit(code);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, wanted);
}

/** Name, size and time of every source file; a change of any of them means a build. */
function fingerprint() {
  const hash = createHash('sha256').update(process.versions.node);
  for (const name of sources) for (const line of lines(join(root, name))) hash.update(line);
  return hash.digest('hex');
}

function lines(path) {
  if (!existsSync(path)) return [`${path} is missing\n`];
  const about = statSync(path);
  if (!about.isDirectory()) return [`${path} ${about.size} ${about.mtimeMs}\n`];
  return readdirSync(path)
    .sort()
    .flatMap((name) => lines(join(path, name)));
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function finish({ status, signal, error }) {
  if (error) say(error.message);
  // a program ended by a signal has no status; shells count from 128
  return status ?? (signal === 'SIGINT' ? 130 : signal === 'SIGTERM' ? 143 : 1);
}
