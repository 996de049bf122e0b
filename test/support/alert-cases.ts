/**
 * One story for each alert of deploy/prometheus-alerts.yml: series as Prometheus would have scraped them (promtool's notation, one value
 * a minute), when the alert must stand, and series of a day on which it must not.
 */

export interface AlertCase {
  readonly alert: string;
  /** series and values */
  readonly trouble: Readonly<Record<string, string>>;
  readonly quiet: Readonly<Record<string, string>>;
  /** minutes after the beginning at which `trouble` has raised it */
  readonly at: number;
}

const app = 'provider="apns",app="phone"';
const results = (outcome: string, more = ''): string =>
  `reveille_push_results_total{${app},outcome="${outcome}"${more}}`;
const call = ',class="call"';
const days = (count: number): number => count * 86_400;

export const alertCases: readonly AlertCase[] = [
  {
    alert: 'PushCredentialsRefused',
    trouble: { [`reveille_push_credentials_good{${app}}`]: '0x10' },
    // 1 good, -1 could not be asked
    quiet: { [`reveille_push_credentials_good{${app}}`]: '1x5 -1x5' },
    at: 3,
  },
  {
    alert: 'PushConfigErrors',
    trouble: { [results('config-error', ',reason="BadTopic"')]: '0+5x20' },
    quiet: {
      [results('accepted', ',reason="accepted"')]: '0+5x20',
      [results('config-error', ',reason="BadTopic"')]: '7x20',
    },
    at: 10,
  },
  {
    alert: 'PushServiceDown',
    trouble: { [results('unreachable')]: '0+20x20', [results('accepted')]: '0+80x20' },
    quiet: { [results('unreachable')]: '0+5x20', [results('accepted')]: '0+95x20' },
    at: 10,
  },
  {
    alert: 'PushThrottled',
    trouble: { [results('throttled')]: '0+30x40' },
    quiet: { [results('throttled')]: '0+3x40' },
    at: 30,
  },
  {
    alert: 'PhonesDoNotWake',
    trouble: {
      [`reveille_push_accepted_to_register_seconds_count{${app}}`]: '0+1x90',
      [results('accepted', call)]: '0+10x90',
    },
    quiet: {
      [`reveille_push_accepted_to_register_seconds_count{${app}}`]: '0+9x90',
      [results('accepted', call)]: '0+10x90',
    },
    at: 70,
  },
  {
    alert: 'PushesSlow',
    trouble: {
      [`reveille_push_seconds_bucket{${app},le="1"}`]: '0+80x40',
      [`reveille_push_seconds_bucket{${app},le="5"}`]: '0+100x40',
      [`reveille_push_seconds_bucket{${app},le="+Inf"}`]: '0+100x40',
    },
    quiet: {
      [`reveille_push_seconds_bucket{${app},le="1"}`]: '0+99x40',
      [`reveille_push_seconds_bucket{${app},le="5"}`]: '0+100x40',
      [`reveille_push_seconds_bucket{${app},le="+Inf"}`]: '0+100x40',
    },
    at: 25,
  },
  {
    alert: 'PushConfigNotReloaded',
    trouble: { 'reveille_push_reloads_total{result="refused"}': '0 0 1x10' },
    quiet: {
      'reveille_push_reloads_total{result="accepted"}': '0 0 1x10',
      'reveille_push_reloads_total{result="refused"}': '4x12',
    },
    at: 5,
  },
  {
    alert: 'PushClockWrong',
    trouble: { 'reveille_push_clock_alarms_total{}': '0 0 1x10' },
    quiet: { 'reveille_push_clock_alarms_total{}': '3x12' },
    at: 5,
  },
  {
    alert: 'PushCertificateEnds',
    trouble: { [`reveille_push_certificate_expires_at_seconds{${app}}`]: `${days(13)}x10` },
    quiet: { [`reveille_push_certificate_expires_at_seconds{${app}}`]: `${days(15)}x10` },
    at: 1,
  },
  {
    alert: 'ServiceAccountKeyOld',
    trouble: { [`reveille_push_key_age_seconds{${app}}`]: `${days(366)}x10` },
    quiet: { [`reveille_push_key_age_seconds{${app}}`]: `${days(364)}x10` },
    at: 1,
  },
  {
    alert: 'EdgeWithoutEngine',
    trouble: { 'reveille_control_connection_up{engine="one"}': '1 0x10' },
    quiet: { 'reveille_control_connection_up{engine="one"}': '1x10' },
    at: 3,
  },
  {
    alert: 'CallersNotServed',
    trouble: { 'reveille_wakes_total{ending="refused",fault="edge"}': '0+1x20' },
    quiet: {
      'reveille_wakes_total{ending="refused",fault="phone"}': '0+1x20',
      'reveille_wakes_total{ending="refused",fault="edge"}': '5x20',
    },
    at: 12,
  },
  {
    alert: 'StoreErrors',
    trouble: { 'reveille_store_errors_total{}': '0+1x20' },
    quiet: { 'reveille_store_errors_total{}': '9x20' },
    at: 5,
  },
  {
    alert: 'EdgeCertificateEnds',
    trouble: { 'reveille_certificate_expires_at_seconds{}': `${days(13)}x10` },
    // 0: none is used
    quiet: {
      'reveille_certificate_expires_at_seconds{listener="a"}': `${days(15)}x10`,
      'reveille_certificate_expires_at_seconds{}': '0x10',
    },
    at: 1,
  },
  {
    alert: 'EngineFault',
    trouble: { 'reveille_engine_events_total{event="faults"}': '0 0 1x10' },
    quiet: {
      'reveille_engine_events_total{event="faults"}': '0x12',
      'reveille_engine_events_total{event="overload"}': '0+9x12',
    },
    at: 5,
  },
];

/** The file of `promtool test rules`: `promql_expr_test` counts, so that labels and texts need not be repeated. */
export function promtoolTests(rules: string, cases: readonly AlertCase[]): string {
  const series = (values: Readonly<Record<string, string>>): object[] =>
    Object.entries(values).map(([name, each]) => ({ series: name.replace('{}', ''), values: each }));
  const story = (alert: string, values: AlertCase['trouble'], at: number, firing: boolean): object => ({
    name: `${alert} ${firing ? 'is raised' : 'is not raised'}`,
    interval: '1m',
    input_series: series(values),
    promql_expr_test: [
      {
        expr: `count(ALERTS{alertname="${alert}",alertstate="firing"})`,
        eval_time: `${at}m`,
        exp_samples: firing ? [{ labels: '{}', value: 1 }] : [],
      },
    ],
  });
  return JSON.stringify({
    rule_files: [rules],
    evaluation_interval: '1m',
    tests: cases.flatMap(({ alert, trouble, quiet, at }) => [
      story(alert, trouble, at, true),
      story(alert, quiet, at, false),
    ]),
  });
}
