/** The name of a call that phone and edge compute alike, so that nothing has to carry it. */
import { hash } from 'node:crypto';

/** Namespace of our call UUIDs; phones and servers that compute them must use the same. */
export const callUuidNamespace = '6f3f2f0a-5c0b-4d0e-9a37-c1b6d5e0a8f4';
const namespaceOctets = Buffer.from(callUuidNamespace.replaceAll('-', ''), 'hex');

/** UUID version 5 (RFC 9562 5.5) of a Call-ID: what CallKit knows the call by, the same for every repeated push. */
export function callUuid(callId: string): string {
  // in one go: every push of a call asks for it
  const hex = hash('sha1', Buffer.concat([namespaceOctets, Buffer.from(callId)]), 'hex');
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
