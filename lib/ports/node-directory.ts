/**
 * Who else is there: the processes that share one store, and how each of their SIP engines is reached. A flow belongs to the engine
 * it came to, so a leg over the flow of another node leaves from that node's engine.
 */

/** How apps connect to an engine (drachtio-protocol A). */
export interface EngineAddress {
  readonly host: string;
  readonly port: number;
  /** shared secret of the control port */
  readonly secret: string;
  /** 64 hexadecimal digits: the connection is TLS with this pre-shared key (RFC 4279); undefined: as the engine's own config says */
  readonly psk?: string;
}

export interface EdgeNode {
  /** this run of this process */
  readonly id: string;
  /** see Flow.engine */
  readonly engine: string;
  /** undefined: others cannot connect to it */
  readonly at?: EngineAddress;
}

export interface NodeDirectory {
  /**
   * Begins to tell the others of us, and to hear of them; resolves after the first look. `held`: names of what has to be finished by
   * somebody else should we die, as of each time we tell of us.
   */
  announce(self: EdgeNode, held: () => readonly string[]): Promise<void>;
  /** how many others live */
  readonly others: number;
  /** A node with this engine that lives now, ourselves not among them. As of the last look, at most a second ago. */
  withEngine(engine: string): EdgeNode | undefined;
  /** Called once for each node that has said goodbye or has stopped telling of itself. The function ends it. */
  onGone(listener: (gone: EdgeNode) => void): () => void;
  /** What a node that is gone has left to be finished: given to whoever asks first, once. Rejects with EDGE_STORE_UNAVAILABLE. */
  takeOver(gone: EdgeNode): Promise<readonly string[]>;
  /** Says goodbye. */
  close(): Promise<void>;
}
