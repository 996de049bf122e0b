/** One line per decision: facts as fields, a constant sentence. Adapters mask tokens and credentials whatever they are handed. */
import type { LogFields } from '../telemetry/log-fields.ts';

export interface Log {
  /** The operator must act. */
  error(fields: LogFields, message: string): void;
  /** Something is wrong that may mend itself. */
  warn(fields: LogFields, message: string): void;
  /** A decision worth a line in production. */
  info(fields: LogFields, message: string): void;
  /** For a developer; not written by default. */
  debug(fields: LogFields, message: string): void;
  /** Whether debug lines are written at all: ask before making their fields on the path of every message. */
  readonly debugging: boolean;
  /** A log that adds these fields to each of its lines. */
  child(fields: LogFields): Log;
}
