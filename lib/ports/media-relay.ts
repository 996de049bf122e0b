/** A relay for the media of calls (rtpengine), which speaks through session descriptions: each is exchanged for one that names the relay. */

/** The two ends of one leg: whoever the INVITE of the leg was sent for, and whoever got it. */
export type MediaEnd = 'caller' | 'callee';

/** The media of one leg. None of its functions rejects or throws. */
export interface MediaSession {
  /** The offer as the other end is to see it; undefined: no help, it passes as it is. */
  offer(from: MediaEnd, description: string): Promise<string | undefined>;
  /** The answer to the last offer of the other end; undefined as above. */
  answer(from: MediaEnd, description: string): Promise<string | undefined>;
  /** The relay may forget it. Safe to call twice. */
  end(): void;
}

export interface MediaRelay {
  /** Asks nobody yet. */
  open(): MediaSession;
  close(): void;
}
