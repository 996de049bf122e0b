/** The name of a call that phone and edge compute alike, so that nothing has to carry it. */
import { createHash } from 'node:crypto';

/** Namespace of our call UUIDs; phones and servers that compute them must use the same. */
export const callUuidNamespace = '6f3f2f0a-5c0b-4d0e-9a37-c1b6d5e0a8f4';
const namespaceOctets = Buffer.from(callUuidNamespace.replaceAll('-', ''), 'hex');

/** UUID version 5 (RFC 9562 5.5) of a Call-ID: what CallKit knows the call by, the same for every repeated push. */
export function callUuid(callId: string): string {
  const hash = createHash('sha1').update(namespaceOctets).update(callId).digest().subarray(0, 16);
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
