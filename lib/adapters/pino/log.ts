/** The log on pino: JSON lines to standard output, each one masked as a whole just before it is written. */
import { destination, pino, stdSerializers, type DestinationStream, type Logger } from 'pino';
import type { Log } from '../../ports/log.ts';
import { redactJson } from '../../telemetry/redact.ts';

export interface LogOptions {
  readonly level: 'silent' | 'error' | 'warn' | 'info' | 'debug';
  /** standard output when left out; written at once, so that the last line before a crash is there */
  readonly to?: DestinationStream;
}

export function createLog({ level, to = destination({ dest: 1, sync: true }) }: LogOptions): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.err },
      depthLimit: 4,
      edgeLimit: 50,
      hooks: { streamWrite: redactJson },
    },
    to,
  );
  return wrap(logger);
}

function wrap(logger: Logger): Log {
  return {
    error: (fields, message) => logger.error(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    info: (fields, message) => logger.info(fields, message),
    debug: (fields, message) => logger.debug(fields, message),
    debugging: logger.isLevelEnabled('debug'),
    child: (fields) => wrap(logger.child(fields)),
  };
}
