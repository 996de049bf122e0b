/** Throw-away keys and certificates, made for one test run. */
import { generateKeyPairSync } from 'node:crypto';

/** A P-256 private key in PEM, as in Apple's .p8 files. */
export function aSigningKey(curve = 'prime256v1'): string {
  return generateKeyPairSync('ec', { namedCurve: curve }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}
