/** What we need of a connection to the engine: a socket of Node, or one in the memory of this thread. */
export interface EngineSocket {
  readonly destroyed: boolean;
  /** octets written and not yet taken by the engine, as far as we know */
  readonly writableLength: number;
  /** Writing costs no system call, and what is written is best written at once, frame by frame. */
  readonly inMemory?: true;
  on(event: 'data', listener: (chunk: Buffer | string) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'connect' | 'secureConnect' | 'close', listener: () => void): unknown;
  write(text: string, encoding: 'latin1'): boolean;
  end(): unknown;
  destroy(error?: Error): unknown;
}
