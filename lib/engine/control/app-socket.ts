/** What the engine needs of a connection to an app: a socket of Node, or one in memory (memory-socket.ts). */
export interface AppSocket {
  /** octets written and not yet taken by the app, as far as we know */
  readonly writableLength: number;
  /** Writing costs no system call, and what is written is best written at once, frame by frame. */
  readonly inMemory?: true;
  on(event: 'data', listener: (chunk: Buffer | string) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'drain' | 'close', listener: () => void): unknown;
  write(text: string, encoding: 'latin1'): boolean;
  pause(): unknown;
  resume(): unknown;
  end(): unknown;
  destroySoon(): void;
  destroy(error?: Error): unknown;
}
