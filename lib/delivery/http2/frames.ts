/** Names and numbers of HTTP/2 (RFC 9113), and what a connection tells those who use it. */

export const code = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  calm: 11,
} as const;

/** What a client says first (RFC 9113 3.4). */
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** Octets before every payload. */
export const head = 9;
export const standardWindow = 65_535;
export const standardFrame = 16_384;
export const largestWindow = 2 ** 31 - 1;
export const lastId = 2 ** 31 - 1;

export const frame = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  more: 9,
} as const;
export const flag = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
export const setting = { tableSize: 1, push: 2, streams: 3, window: 4, frameSize: 5 } as const;

export interface Http2Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** the first octets of it */
  readonly body: string;
}

export type StreamEnd =
  | { readonly is: 'answered'; readonly answer: Http2Answer }
  /** by RST_STREAM, or with a headless answer */
  | { readonly is: 'reset'; readonly code: number }
  /** above the last stream of a GOAWAY: the peer did nothing with it (RFC 9113 6.8) */
  | { readonly is: 'unprocessed' }
  /** the connection ended first */
  | { readonly is: 'cut' };

export interface StreamEvents {
  /** a status came, perhaps not yet all of the answer */
  heard(status: number): void;
  /** called once, unless the stream was given up */
  ended(end: StreamEnd): void;
}

/** A request on its way. */
export interface Stream {
  readonly id: number;
  readonly events: StreamEvents;
  window: number;
  /** what flow control still holds back */
  unsent: Buffer | undefined;
  status: number;
  headers: Http2Answer['headers'];
  body: string;
}

export interface ConnectionEvents {
  /** the peer's SETTINGS came, for the first time or again */
  settings(mostStreams: number): void;
  /** a PING of ours was acknowledged */
  pong(): void;
  /** no new streams any more; `data`: what the peer wrote into it */
  goaway(errorCode: number, data: Buffer): void;
  /** called once. `reason`: what broke, or empty when the peer just left; `streams`: those that are `cut` by it */
  closed(reason: string, streams: number): void;
}

/** A peer that does not keep to RFC 9113. */
export class Http2Error extends Error {
  readonly code: number;
  constructor(errorCode: number, message: string) {
    super(message);
    this.code = errorCode;
  }
}
