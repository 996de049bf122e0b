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
  /** this run of this process; another one each time it was given up and has come back */
  readonly id: string;
  /** see Flow.engine */
  readonly engine: string;
  /** undefined: others cannot connect to it */
  readonly at?: EngineAddress;
}

/** sure: nobody can have given us up. unsure: the store does not say. given-up: it was so, and we are back under a new id. */
export type Standing = 'sure' | 'unsure' | 'given-up';

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
  /** Until when (performance.now()) no other node can give us up: a span counted from before we last told of us. */
  readonly sureUntil: number;
  /** Asks the store anew, for about a second at most. Never rejects. */
  confirm(): Promise<Standing>;
  /**
   * We were silent for too long and others have given us up: what we held (the names they were told) is theirs, and may be finished
   * already. We have come back under a new id. The function ends it.
   */
  onGivenUp(listener: (held: readonly string[]) => void): () => void;
  /** Called once for each node that has said goodbye or has stopped telling of itself. The function ends it. */
  onGone(listener: (gone: EdgeNode) => void): () => void;
  /** A node that is gone has left something to be finished, and nobody is at it. Called again as long as that is so. The function ends it. */
  onLeft(listener: (gone: EdgeNode) => void): () => void;
  /**
   * What a node that is gone has left to be finished: given to one at a time, and to the next one when it is not `finished` within two
   * seconds. Rejects with EDGE_STORE_UNAVAILABLE.
   */
  takeOver(gone: EdgeNode): Promise<readonly string[]>;
  /** All of it is done. Rejects with EDGE_STORE_UNAVAILABLE; then somebody does it again. */
  finished(gone: EdgeNode): Promise<void>;
  /** Says goodbye. */
  close(): Promise<void>;
}
