/** A log that keeps its lines for the test. */
import type { Log } from '../../lib/ports/log.ts';
import type { LogFields } from '../../lib/telemetry/log-fields.ts';

export interface LogLine {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly fields: LogFields;
  readonly message: string;
}

export class QuietLog implements Log {
  readonly debugging = true;
  readonly lines: LogLine[];
  readonly #added: LogFields;

  constructor(lines: LogLine[] = [], added: LogFields = {}) {
    this.lines = lines;
    this.#added = added;
  }

  error(fields: LogFields, message: string): void {
    this.#keep('error', fields, message);
  }

  warn(fields: LogFields, message: string): void {
    this.#keep('warn', fields, message);
  }

  info(fields: LogFields, message: string): void {
    this.#keep('info', fields, message);
  }

  debug(fields: LogFields, message: string): void {
    this.#keep('debug', fields, message);
  }

  child(fields: LogFields): Log {
    return new QuietLog(this.lines, { ...this.#added, ...fields });
  }

  #keep(level: LogLine['level'], fields: LogFields, message: string): void {
    this.lines.push({ level, fields: { ...this.#added, ...fields }, message });
  }
}
