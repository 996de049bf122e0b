/** A fault script: rules that say what happens to which push, and actions at their time. YAML or JSON; a mistake is told with its place. */
import { parseDocument } from 'yaml';
import type { ApnsLab } from './apns-lab.ts';
import type { HttpLab } from './http-lab.ts';
import {
  fieldsOf,
  type GoawayMode,
  goawayModes,
  milliseconds,
  number,
  oneOf,
  onlyKeys,
  parseRule,
  type Rule,
} from './rules.ts';

export const services = ['apns', 'fcm', 'fcm-token', 'webpush', 'webhook'] as const;

/** What is done to a whole stand-in; `http` is the one server of all but APNs. */
export type Action = { readonly service: 'apns' | 'http'; readonly atMs: number } & (
  | { readonly do: 'goaway'; readonly mode: GoawayMode }
  | { readonly do: 'drop'; readonly when: 'before' | 'after' }
  | { readonly do: 'outage' | 'slow-tls'; readonly ms: number }
  | { readonly do: 'stream-limit'; readonly limit: number }
  | { readonly do: 'stall' | 'expire-tokens' | 'clear-rules' }
);

export interface Script {
  readonly apns: readonly Rule[];
  readonly http: readonly Rule[];
  readonly actions: readonly Action[];
}

export interface Labs {
  readonly apns: ApnsLab;
  /** absent: only APNs runs */
  readonly http: HttpLab | undefined;
}

const actionKeys = {
  goaway: ['mode'],
  drop: ['when'],
  stall: [],
  outage: ['ms'],
  'slow-tls': ['ms'],
  'stream-limit': ['limit'],
  'expire-tokens': [],
  'clear-rules': [],
} as const;
const actionKinds = Object.keys(actionKeys) as (keyof typeof actionKeys)[];
const latestSeconds = 86_400;

/** The text of a file; throws with every mistake, a line each. */
export function readScript(text: string): Script {
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error !== undefined) throw new Error(error.message.split('\n')[0] ?? 'expected YAML');
  return parseScript(document.toJS({ maxAliasCount: 20 }) as unknown);
}

/** `{rules?: [...], actions?: [...]}`; throws with every mistake, a line each. */
export function parseScript(value: unknown): Script {
  const fields = fieldsOf(value ?? {});
  onlyKeys(fields, ['rules', 'actions'], 'in a script');
  const wrong: string[] = [];
  const each = <T>(key: 'rules' | 'actions', parse: (one: unknown) => T): T[] => {
    const list = fields[key] ?? [];
    if (!Array.isArray(list)) {
      wrong.push(`${key}: expected a list, found ${JSON.stringify(list).slice(0, 80)}`);
      return [];
    }
    return list.flatMap((one, index) => {
      try {
        return [parse(one)];
      } catch (cause) {
        wrong.push(`${key}[${index}]: ${cause instanceof Error ? cause.message : String(cause)}`);
        return [];
      }
    });
  };
  const rules = each('rules', ruleOf);
  const actions = each('actions', actionOf);
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
  return {
    apns: rules.filter(({ service }) => service === 'apns').map(({ rule }) => rule),
    http: rules.filter(({ service }) => service !== 'apns').map(({ rule }) => rule),
    actions,
  };
}

function ruleOf(value: unknown): { readonly service: string; readonly rule: Rule } {
  const { service: _, ...rest } = fieldsOf(value);
  const service = oneOf(fieldsOf(value), 'service', services, 'apns');
  const rule = parseRule(rest);
  if (service === 'apns') return { service, rule };
  if (rule.topic !== undefined) throw new Error('topic: only pushes of apns have one');
  return { service, rule: { ...rule, topic: service } };
}

function actionOf(value: unknown): Action {
  const fields = fieldsOf(value);
  if (fields['do'] === undefined) throw new Error(`do: expected one of ${actionKinds.join(', ')}, found nothing`);
  const kind = oneOf(fields, 'do', actionKinds, 'goaway');
  onlyKeys(fields, ['at', 'service', 'do', ...actionKeys[kind]], `with do: ${kind}`);
  const service = oneOf(fields, 'service', ['apns', 'http'], 'apns');
  const at = number(fields, 'at') ?? 0;
  if (at > latestSeconds) throw new Error(`at: expected 0 to ${latestSeconds} seconds, found ${at}`);
  const atMs = at * 1000;
  switch (kind) {
    case 'goaway':
      return { service, atMs, do: kind, mode: oneOf(fields, 'mode', goawayModes, 'graceful') };
    case 'drop':
      return { service, atMs, do: kind, when: oneOf(fields, 'when', ['before', 'after'], 'before') };
    case 'outage':
    case 'slow-tls':
      return { service, atMs, do: kind, ms: milliseconds(fields, 'ms') ?? (kind === 'outage' ? 500 : 2000) };
    case 'stream-limit': {
      const limit = number(fields, 'limit');
      if (service === 'http') throw new Error('stream-limit: only apns has one');
      if (limit === undefined || !Number.isInteger(limit)) throw new Error('limit: expected a whole number');
      return { service, atMs, do: kind, limit };
    }
    case 'stall':
    case 'expire-tokens':
    case 'clear-rules':
      return { service, atMs, do: kind };
    default:
      return kind satisfies never;
  }
}

/** Adds the rules and starts the clock of the actions; the returned function stops it. Throws when the script needs what does not run. */
export function runScript(
  script: Script,
  { apns, http }: Labs,
  onAction: (text: string) => void = () => undefined,
): () => void {
  if (http === undefined && (script.http.length > 0 || script.actions.some(({ service }) => service === 'http')))
    throw new Error(
      'the script is for FCM, Web Push or the webhook too, which were not started (--http-port or --all)',
    );
  for (const rule of script.apns) apns.rules.add(rule);
  for (const rule of script.http) http?.rules.add(rule);
  const timers = script.actions.map((action) =>
    setTimeout(() => {
      try {
        act(action, { apns, http });
        onAction(`${action.service} ${action.do}`);
      } catch (cause) {
        onAction(`${action.service} ${action.do}: ${cause instanceof Error ? cause.message : String(cause)}`);
      }
    }, action.atMs),
  );
  return () => {
    for (const timer of timers) clearTimeout(timer);
  };
}

/** Throws when the stand-in cannot, such as stalling one that was not started as stallable. */
function act(action: Action, { apns, http }: Labs): void {
  const lab = action.service === 'apns' ? apns : http;
  if (lab === undefined) return;
  switch (action.do) {
    case 'goaway':
      lab.goaway(action.mode);
      return;
    case 'drop':
      lab.drop(action.when);
      return;
    case 'stall':
      lab.stall();
      return;
    case 'outage':
      // it can only fail to listen again, which whoever pushes will notice
      lab.outage(action.ms).catch(() => undefined);
      return;
    case 'slow-tls':
      lab.slowTls(action.ms);
      return;
    case 'stream-limit':
      apns.setStreamLimit(action.limit);
      return;
    case 'expire-tokens':
      if (action.service === 'apns') apns.expireProviderTokens();
      else http?.expireAccessTokens();
      return;
    case 'clear-rules':
      lab.rules.clear();
      return;
    default:
      action satisfies never;
  }
}
