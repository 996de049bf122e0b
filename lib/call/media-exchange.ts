/** One session description exchanged for another, and the order in which what waits for that goes on. */
import type { MediaEnd, MediaSession } from '../ports/media-relay.ts';
import type { Headers } from '../sip/headers.ts';
import { sessionDescriptionOf } from '../sip/session-description.ts';

interface Content {
  readonly headers: Headers;
  readonly body: string;
}

/** Whether it carries a session description. */
export function isOffer({ headers, body }: Content): boolean {
  return sessionDescriptionOf(headers.get('Content-Type'), body) !== undefined;
}

/** The same message with the session description as the relay wants it; without one, or without help, the message itself. */
export async function translated<T extends Content>(
  media: MediaSession,
  kind: 'offer' | 'answer',
  from: MediaEnd,
  message: T,
): Promise<T> {
  const found = sessionDescriptionOf(message.headers.get('Content-Type'), message.body);
  if (found === undefined) return message;
  const description = await media[kind](from, found.description);
  return description === undefined ? message : { ...message, body: found.with(description) };
}

/** Does one thing after the other. */
export class InTurn {
  #last: Promise<void> = Promise.resolve();

  do(task: () => Promise<void>): void {
    this.#last = this.#last.then(task);
  }

  /** When everything before is done. */
  get quiet(): Promise<void> {
    return this.#last;
  }
}
