/**
 * The user part of our URI in Path (RFC 5626 5.2): says which binding, and so which flow, a request from the PBX is for. Sealed like
 * the Contact of a mid-registrar, under a key of its own, so that neither can be taken for the other; one changed bit opens nothing.
 */
import { openContact, sealContact, type DeviceName } from './contact-token.ts';

/** What follows the user part: `ob` says that the flow was made by the phone itself (RFC 5626 5.1). */
export function pathValue(key: Buffer, name: DeviceName, edgeHost: string, firstHopOutbound: boolean): string {
  return `<sip:${sealContact(key, name)}@${edgeHost};lr${firstHopOutbound ? ';ob' : ''}>`;
}

/** undefined: not made with this key. */
export function openFlowToken(key: Buffer, userPart: string): DeviceName | undefined {
  return openContact(key, userPart);
}
