/** Time as a value, so that tests can move it. */

export interface Clock {
  /** milliseconds since the epoch */
  now(): number;
  /** Calls `task` once after `ms`; the returned function takes it back. Does not keep the process alive. */
  after(ms: number, task: () => void): () => void;
}
