/**
 * How each side of a dialog that is not bridged names the other (the implicit subscription of a REFER outside dialogs, RFC 3515):
 * what it calls in that dialog leads back to the edge, which opens the name. Nothing is remembered, so any node can do it.
 */
import type { Aor } from './binding.ts';
import { openContact, sealContact } from './contact-token.ts';

/** What a phone calls in such a dialog. */
export interface DialogTarget {
  /** the user whose phone was given the name; from anybody else it is stolen */
  readonly aor: Aor;
  /** the Contact of the other side */
  readonly target: string;
}

/** In front of the sealed text, so that it is never tried as another kind of name. */
const prefix = 'd-';
/** Octets of AOR and Contact that still make a user part of decent length. */
const longest = 200;

/** A user part; undefined when the two are too long for one. */
export function sealTarget(key: Buffer, { aor, target }: DialogTarget): string | undefined {
  if (Buffer.byteLength(aor) > 127 || Buffer.byteLength(aor) + Buffer.byteLength(target) > longest) return undefined;
  return prefix + sealContact(key, { bindingId: aor, aor: target });
}

/** undefined: not made with this key. */
export function openTarget(key: Buffer, userPart: string): DialogTarget | undefined {
  if (!userPart.toLowerCase().startsWith(prefix)) return undefined;
  const opened = openContact(key, userPart.slice(prefix.length));
  return opened && { aor: opened.bindingId, target: opened.aor };
}
