/**
 * Work that has to be done once at a time, by whichever node gets to it first: it outlives restarts, and a node that dies with a
 * task loses it to another one. A task is a name; what it means is read from the location store when its time has come, so a
 * task that comes too early or twice does no harm.
 */

export interface ClaimedTask {
  readonly task: string;
  /** the proof that it is still ours: no two claims of a task have the same */
  readonly until: number;
}

export interface Agenda {
  /**
   * Sets the time of a task (ms since the epoch), also when somebody has claimed it; one that nobody has and that comes up sooner may
   * keep its time. Rejects with EDGE_STORE_UNAVAILABLE.
   */
  put(task: string, at: number): Promise<void>;
  /**
   * At most `limit` tasks whose time has come at `now`, the oldest first; for `until - now` they are ours, counted by one clock for all
   * nodes from a moment after the call began, then anybody's again.
   */
  claim(now: number, until: number, limit: number): Promise<readonly ClaimedTask[]>;
  /** Ends a claimed task, or sets its next time. Nothing happens when it was put again or claimed by another meanwhile. */
  settle(claimed: ClaimedTask, next: number | undefined): Promise<void>;
}
