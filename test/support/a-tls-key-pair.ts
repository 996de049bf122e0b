/** A key and its self-signed certificate, made anew by openssl. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `names` as in subjectAltName: `IP:127.0.0.1`, `DNS:engine.test`. */
export function aTlsKeyPair(...names: readonly string[]): { readonly key: string; readonly cert: string } {
  const folder = mkdtempSync(join(tmpdir(), 'reveille-key-pair-'));
  const key = join(folder, 'key.pem');
  const cert = join(folder, 'cert.pem');
  const words = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=test'];
  const files = ['-addext', `subjectAltName=${names.join(',')}`, '-keyout', key, '-out', cert];
  execFileSync('openssl', ['req', '-x509', ...words, ...files], { stdio: 'ignore' });
  const pair = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  rmSync(folder, { recursive: true });
  return pair;
}
