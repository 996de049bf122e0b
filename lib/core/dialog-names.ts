/**
 * Dialogs named inside messages (Replaces RFC 3891, Join RFC 3911, Target-Dialog RFC 4538, Replaces within Refer-To RFC 3515, 5589). Each side of
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
  /** Contact of the peer as it was heard last */
  readonly remoteTarget?: string | undefined;
  /** the user the peer is a phone of, under which others know it */
  readonly aor?: string | undefined;
}

/** A dialog as its receiver knows it, and by which URI he reaches the one at its other end. */
export interface TwinDialog extends DialogNames {
  readonly uri?: string | undefined;
}

/** `to`: the names say who is meant from our place in the dialog, as those of its receiver do (RFC 3891 3); else from the peer's. */
export function meansUs(names: DialogNames, side: BridgeSide): boolean {
  return names.toTag === side.localTag && names.fromTag === side.remoteTag;
}

/**
 * The twin's name when `names` means `side`. Where our tag stands for us on one side, the peer of the other side stands in
 * its place there, and the other way round.
 */
export function twinNames(names: DialogNames, side: BridgeSide, twin: BridgeSide): TwinDialog | undefined {
  if (names.callId !== side.callId) return undefined;
  if (meansUs(names, side)) {
    const uri = twin.aor === undefined ? twin.remoteTarget : `sip:${twin.aor}`;
    return { callId: twin.callId, toTag: twin.remoteTag, fromTag: twin.localTag, uri };
  }
  if (names.toTag === side.remoteTag && names.fromTag === side.localTag) {
    return { callId: twin.callId, toTag: twin.localTag, fromTag: twin.remoteTag };
  }
  return undefined;
}

/** The value of Replaces or Join with the dialog exchanged; as written when it cannot be read or names none of ours. */
export function translateReplaces(value: string, translate: (names: DialogNames) => DialogNames | undefined): string {
  return exchangeNames(value, 'to-tag', 'from-tag', translate);
}

/** The same for Target-Dialog (RFC 4538 7), whose tags have other names. Whichever end they are told from, they are told from it still. */
export function translateTargetDialog(
  value: string,
  translate: (names: DialogNames) => DialogNames | undefined,
): string {
  return exchangeNames(value, 'local-tag', 'remote-tag', translate);
}

function exchangeNames(
  value: string,
  to: string,
  from: string,
  translate: (names: DialogNames) => DialogNames | undefined,
): string {
  const semicolon = value.indexOf(';');
  if (semicolon < 0) return value;
  const params = parseParams(value.slice(semicolon)).map(({ name, value: text }) => ({
    name: name.trim(),
    value: text?.trim(),
  }));
  const toTag = findParam(params, to)?.value;
  const fromTag = findParam(params, from)?.value;
  if (toTag === undefined || fromTag === undefined) return value;
  const twin = translate({ callId: value.slice(0, semicolon).trim(), toTag, fromTag });
  if (twin === undefined) return value;
  const others = params.filter(({ name }) => ![to, from].includes(name.toLowerCase()));
  return `${twin.callId};${to}=${twin.toTag};${from}=${twin.fromTag}${printParams(others)}`;
}

/**
 * The value of Refer-To with the dialog of its `?Replaces=` exchanged; as written when there is none of ours. A URI without a user is the
 * Contact by which the edge stands for the other end of that dialog (RFC 5589 7.1 has phones name it so): the receiver's own name for it
 * takes its place.
 */
export function translateReferTo(value: string, translate: (names: DialogNames) => TwinDialog | undefined): string {
  const addr = parseNameAddr(value);
  const question = addr?.uri.indexOf('?') ?? -1;
  if (addr === undefined || question < 0) return value;
  let changed = false;
  let target = addr.uri.slice(0, question);
  const headers = addr.uri
    .slice(question + 1)
    .split('&')
    .map((header) => {
      const equals = header.indexOf('=');
      if (!/^(?:replaces|join)$/i.test(header.slice(0, equals))) return header;
      const written = decode(header.slice(equals + 1));
      const exchanged =
        written === undefined
          ? undefined
          : translateReplaces(written, (names) => {
              const twin = translate(names);
              if (twin?.uri !== undefined && !target.includes('@')) target = bare(twin.uri);
              return twin;
            });
      if (exchanged === undefined || exchanged === written) return header;
      changed = true;
      return `${header.slice(0, equals)}=${encodeURIComponent(exchanged)}`;
    });
  if (!changed) return value;
  return printNameAddr({ ...addr, uri: `${target}?${headers.join('&')}` });
}

/** Without header fields of its own. */
function bare(uri: string): string {
  const question = uri.indexOf('?');
  return question < 0 ? uri : uri.slice(0, question);
}

/** The value of Refer-To, Referred-By and the like with its URI exchanged; as written when `across` has nothing to say of it. */
export function translateUri(value: string, across: (uri: string) => string | undefined): string {
  const addr = parseNameAddr(value);
  if (addr === undefined) return value;
  const question = addr.uri.indexOf('?');
  const headers = question < 0 ? '' : addr.uri.slice(question);
  const exchanged = across(bare(addr.uri));
  return exchanged === undefined ? value : printNameAddr({ ...addr, uri: `${exchanged}${headers}` });
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
