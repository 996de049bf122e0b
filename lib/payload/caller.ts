/** What of the two sides of a call a push service may see, and how long it may be. */
import type { PushRequest } from '../ports/push-service.ts';

/** What the push service may see of the caller: URI and name, the name, or neither. */
export type Privacy = 'full' | 'name' | 'none';

/**
 * How much is written: all of it (names of 128 characters, addresses of 512), the same cut short (32 and 128) because the service
 * takes no more, or only what finds the call.
 */
export type Amount = 'whole' | 'cut' | 'bare';

export interface Sides {
  /** undefined: not shown, or not there */
  readonly uri: string | undefined;
  readonly name: string | undefined;
  readonly to: string | undefined;
}

/** Characters, by UTF-16 units. */
const longest = { whole: { name: 128, uri: 512 }, cut: { name: 32, uri: 128 }, bare: { name: 0, uri: 0 } } as const;

export function sidesOf(request: PushRequest, privacy: Privacy, amount: Amount = 'whole'): Sides {
  const most = longest[amount];
  const uri = privacy === 'full' && most.uri > 0 ? cutText(request.from.uri, most.uri) : undefined;
  const to = privacy === 'full' && most.uri > 0 ? cutText(request.to, most.uri) : undefined;
  const { display } = request.from;
  const name = privacy === 'none' || display === undefined || most.name === 0 ? undefined : cutText(display, most.name);
  return { uri, name, to };
}

/** Never ends in half a character: the JSON would not be text any more. */
function cutText(text: string, most: number): string {
  return text.length <= most ? text : text.slice(0, most).replace(/[\uD800-\uDBFF]$/, '');
}

/** `user@host` of a SIP URI, without scheme and parameters. */
export function addressOf(uri: string | undefined): string | undefined {
  return uri === undefined ? undefined : /^(?:sips?:)?([^;?>]+)/i.exec(uri)?.[1];
}

/** The user of a SIP URI, undefined when it has none. */
export function userOf(uri: string | undefined): string | undefined {
  const address = addressOf(uri);
  const at = address?.lastIndexOf('@') ?? -1;
  return at < 0 ? undefined : address?.slice(0, at).split(':', 1)[0];
}
