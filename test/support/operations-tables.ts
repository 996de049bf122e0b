/** The tables of docs/operations.md, docs/engine.md and docs/push.md, made from the code they are about. */
import { engineConfigKeys } from '../../lib/config/engine-config.ts';
import type { KeyRow } from '../../lib/config/keys.ts';
import { configKeys } from '../../lib/config/schema.ts';
import { errorTable } from '../../lib/errors.ts';
import { placeholders } from '../../lib/payload/template.ts';
import { metrics } from '../../lib/telemetry/metrics.ts';
import { code, table } from './page-tables.ts';

function written(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map((one) => code(String(one))).join(', ');
  return code(String(value));
}

function keyTable(keys: readonly KeyRow[]): string {
  return table(
    ['key', 'what it may be', 'default', 'variable', 'what it does'],
    keys.map((key) => [
      code(key.path),
      key.expected,
      key.presence === 'default' ? written(key.fallback) : key.presence,
      key.env === undefined ? '' : code(key.env),
      key.doc,
    ]),
  );
}

/** By the name in the marker that stands before the table. */
export const tables: Readonly<Record<'config' | 'engine' | 'metrics' | 'errors' | 'placeholders', () => string>> = {
  config: () => keyTable(configKeys),
  engine: () => keyTable(engineConfigKeys),
  placeholders: () =>
    table(
      ['placeholder', 'becomes'],
      Object.entries(placeholders).map(([name, what]) => [code(`{${name}}`), what]),
    ),
  metrics: () =>
    table(
      ['metric', 'kind', 'labels', 'what it tells'],
      Object.values(metrics).map((metric) => [
        code(metric.name),
        metric.type,
        Object.entries<readonly string[]>(metric.labels)
          .map(
            ([label, values]) => `${code(label)}: ${values.length === 0 ? 'names in the config' : values.join(', ')}`,
          )
          .join('; '),
        metric.help,
      ]),
    ),
  errors: () =>
    table(
      ['code', 'SIP answer', 'try again', 'logged as', 'what it means'],
      Object.entries(errorTable).map(([name, row]) => [
        code(name),
        row.sip === null ? 'none' : String(row.sip),
        row.retry,
        row.log,
        row.means,
      ]),
    ),
};
