/** What we need of a connection to the engine: a socket of Node, or one in the memory of this thread. */
import type { SipMessage } from '../../sip/message.ts';

/** A frame that has come by memory: its first line, the message after it as octets, and what the engine has read in it. */
export interface WholeFrame {
  readonly meta: string;
  readonly message: string;
  readonly parsed: SipMessage | undefined;
}

export interface EngineSocket {
  readonly destroyed: boolean;
  /** octets written and not yet taken by the engine, as far as we know */
  readonly writableLength: number;
  /** Writing costs no system call, and what is written is best written at once, frame by frame. */
  readonly inMemory?: true;
  on(event: 'data', listener: (chunk: Buffer | string) => void): unknown;
  /** only where `writeFrame` is there */
  on(event: 'frame', listener: (frame: WholeFrame) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'connect' | 'secureConnect' | 'close', listener: () => void): unknown;
  write(text: string, encoding: 'latin1'): boolean;
  /** In memory: a frame that carries a message, without being put together and taken apart again. */
  writeFrame?(meta: string, message: string): boolean;
  end(): unknown;
  destroy(error?: Error): unknown;
}
