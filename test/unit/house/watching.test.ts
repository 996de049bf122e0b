/** The alert rules and the dashboard ask for metrics and labels that exist. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { metrics } from '../../../lib/telemetry/metrics.ts';

const read = (name: string): string => readFileSync(join(import.meta.dirname, '../../../deploy', name), 'utf8');

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
}
interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
}

const alerts = (parse(read('prometheus-alerts.yml')) as Rules).groups
  .flatMap(({ rules }) => rules)
  .map(({ alert, expr }) => [alert, expr] as const);
const panels = (JSON.parse(read('grafana-dashboard.json')) as Dashboard).panels.flatMap(({ title, targets }) =>
  targets.map(({ expr }) => [title, expr] as const),
);

const byName = new Map<string, Readonly<Record<string, readonly string[]>>>(
  Object.values(metrics).map(({ name, labels }) => [name, labels]),
);

/** What is wrong with a question to Prometheus. */
function faults(expr: string): string[] {
  const found: string[] = [];
  for (const [, name = '', selector = ''] of expr.matchAll(/\b(reveille_[a-z_]+)(?:\{([^}]*)\})?/g)) {
    const labels = byName.get(name) ?? byName.get(name.replace(/_(?:bucket|count|sum)$/, ''));
    if (labels === undefined) found.push(`no metric ${name}`);
    for (const [, label = '', how = '', value = ''] of selector.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)) {
      const known = labels?.[label];
      if (known === undefined) found.push(`${name} has no label ${label}`);
      else if (!value.startsWith('$') && known.length > 0)
        for (const one of how.endsWith('~') ? value.split('|') : [value])
          if (!known.includes(one)) found.push(`${name}: ${label} is never ${one}`);
    }
  }
  return found;
}

describe('deploy', () => {
  it('has alerts and panels', () => {
    expect(alerts.length).toBeGreaterThan(10);
    expect(panels.length).toBeGreaterThan(10);
    expect(faults('reveille_wakes_total{fault="nobody", x="y"} + reveille_nothing')).toHaveLength(3);
  });

  it.each([...alerts, ...panels])('%s asks for what there is', (_, expr) => {
    expect(expr).toContain('reveille_');
    expect(faults(expr)).toEqual([]);
  });
});
