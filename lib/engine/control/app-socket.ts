/** What the engine needs of a connection to an app: a socket of Node, or one in memory (memory-socket.ts). */
import type { SipMessage } from '../../sip/message.ts';
import type { MemoryFrame } from './memory-socket.ts';

export interface AppSocket {
  /** octets written and not yet taken by the app, as far as we know */
  readonly writableLength: number;
  /** Writing costs no system call, and what is written is best written at once, frame by frame. */
  readonly inMemory?: true;
  on(event: 'data', listener: (chunk: Buffer | string) => void): unknown;
  /** only where `writeFrame` is there */
  on(event: 'frame', listener: (frame: MemoryFrame) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'drain' | 'close', listener: () => void): unknown;
  write(text: string, encoding: 'latin1'): boolean;
  /** In memory: a frame that carries a message, in its parts; see MemorySocket. */
  writeFrame?(meta: string, message: string, parsed?: SipMessage): boolean;
  pause(): unknown;
  resume(): unknown;
  end(): unknown;
  destroySoon(): void;
  destroy(error?: Error): unknown;
}
