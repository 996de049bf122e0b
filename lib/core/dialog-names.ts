/**
 * Dialogs named inside messages (Replaces RFC 3891, Join RFC 3911, Replaces within Refer-To RFC 3515 and 5589). Each side of
 * a bridge has its own names, so a name must be exchanged for that of the dialog's twin before it crosses.
 */
import { parseNameAddr, printNameAddr } from '../sip/name-addr.ts';
import { findParam, parseParams, printParams } from '../sip/uri.ts';

/** A dialog as the one who gets the message knows it: `toTag` is the receiver's own. */
export interface DialogNames {
  readonly callId: string;
  readonly toTag: string;
  readonly fromTag: string;
}

/** One side of a bridge: our tag and the peer's. */
export interface BridgeSide {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
}

/**
 * The twin's name when `names` means `side`. Where our tag stands for us on one side, the peer of the other side stands in
 * its place there, and the other way round.
 */
export function twinNames(names: DialogNames, side: BridgeSide, twin: BridgeSide): DialogNames | undefined {
  if (names.callId !== side.callId) return undefined;
  if (names.toTag === side.localTag && names.fromTag === side.remoteTag) {
    return { callId: twin.callId, toTag: twin.remoteTag, fromTag: twin.localTag };
  }
  if (names.toTag === side.remoteTag && names.fromTag === side.localTag) {
    return { callId: twin.callId, toTag: twin.localTag, fromTag: twin.remoteTag };
  }
  return undefined;
}

/** The value of Replaces or Join with the dialog exchanged; as written when it cannot be read or names none of ours. */
export function translateReplaces(value: string, translate: (names: DialogNames) => DialogNames | undefined): string {
  const semicolon = value.indexOf(';');
  if (semicolon < 0) return value;
  const params = parseParams(value.slice(semicolon)).map(({ name, value: text }) => ({
    name: name.trim(),
    value: text?.trim(),
  }));
  const toTag = findParam(params, 'to-tag')?.value;
  const fromTag = findParam(params, 'from-tag')?.value;
  if (toTag === undefined || fromTag === undefined) return value;
  const twin = translate({ callId: value.slice(0, semicolon).trim(), toTag, fromTag });
  if (twin === undefined) return value;
  const others = params.filter(({ name }) => !/^(?:to|from)-tag$/i.test(name));
  return `${twin.callId};to-tag=${twin.toTag};from-tag=${twin.fromTag}${printParams(others)}`;
}

/** The value of Refer-To with the dialog of its `?Replaces=` exchanged; as written when there is none of ours. */
export function translateReferTo(value: string, translate: (names: DialogNames) => DialogNames | undefined): string {
  const addr = parseNameAddr(value);
  const question = addr?.uri.indexOf('?') ?? -1;
  if (addr === undefined || question < 0) return value;
  let changed = false;
  const headers = addr.uri
    .slice(question + 1)
    .split('&')
    .map((header) => {
      const equals = header.indexOf('=');
      if (!/^(?:replaces|join)$/i.test(header.slice(0, equals))) return header;
      const written = decode(header.slice(equals + 1));
      const exchanged = written === undefined ? undefined : translateReplaces(written, translate);
      if (exchanged === undefined || exchanged === written) return header;
      changed = true;
      return `${header.slice(0, equals)}=${encodeURIComponent(exchanged)}`;
    });
  if (!changed) return value;
  return printNameAddr({ ...addr, uri: `${addr.uri.slice(0, question)}?${headers.join('&')}` });
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
