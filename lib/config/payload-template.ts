/** `template` of an app or a webhook: a mapping whose texts have placeholders. Everything that can be wrong with it is said at the start. */
import { z } from 'zod';
import { type PayloadTemplate, placeholders, unknownPlaceholders, webhookPlaceholders } from '../payload/template.ts';
import { type CheckContext, mistake } from './mistake.ts';

const classes: ReadonlySet<string> = new Set(['call', 'cancel', 'message', 'notify', 'refresh', 'default']);
const deepest = 6;
/** Octets of what is fixed; names and addresses need room beside it. */
const longest = 3072;
/** Names that FCM keeps for itself. */
const reserved = /^(?:from|message_type|collapse_key|google.*|gcm.*)$/;

/** Kept as JSON text: the keys in it are the app's own, and no key of ours. */
export const templateKind = {
  schema: z.record(z.string(), z.unknown()).transform((value) => JSON.stringify(value)),
  expected: 'a mapping of call, cancel, message, notify, refresh or default to payloads',
};

export type TemplateFor = 'apns' | 'fcm' | 'webhook';

export function readTemplate(json: string): PayloadTemplate {
  return JSON.parse(json) as PayloadTemplate;
}

/** Reports every mistake in a template at `path`. */
export function checkTemplate(
  context: CheckContext,
  path: readonly (string | number)[],
  json: string,
  service: TemplateFor,
): void {
  const template = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const tell = (at: readonly (string | number)[], expected: string, found: string): void =>
    mistake(context, [...path, ...at], expected, found);
  if (Object.keys(template).length === 0) tell([], templateKind.expected, 'an empty mapping');
  for (const [name, payload] of Object.entries(template)) {
    if (!classes.has(name)) {
      tell([name], 'one of the keys call, cancel, message, notify, refresh, default', 'an unknown key');
      continue;
    }
    if (!isMapping(payload)) {
      tell([name], 'a mapping of keys to texts', 'something else');
      continue;
    }
    const octets = Buffer.byteLength(JSON.stringify(payload));
    if (octets > longest) tell([name], `at most ${longest} octets`, `${octets}`);
    if (service === 'apns' && payload['aps'] !== undefined && !isMapping(payload['aps']))
      tell([name, 'aps'], 'a mapping', 'something else');
    for (const [key, value] of Object.entries(payload)) {
      if (service === 'fcm' && reserved.test(key))
        tell([name, key], 'a key FCM does not keep for itself', 'a reserved one');
      if (service === 'fcm' && typeof value !== 'string')
        tell([name, key], 'a text, because FCM takes nothing else', kindOf(value));
      else checkValue([name, key], value, service, 1, tell);
    }
  }
}

type Tell = (at: readonly (string | number)[], expected: string, found: string) => void;

function checkValue(
  at: readonly (string | number)[],
  value: unknown,
  service: TemplateFor,
  depth: number,
  tell: Tell,
): void {
  if (typeof value === 'string') {
    const known = [...Object.keys(placeholders), ...(service === 'webhook' ? Object.keys(webhookPlaceholders) : [])];
    for (const name of unknownPlaceholders(value)) {
      if (!known.includes(name))
        tell(at, `placeholders among ${known.map((one) => `{${one}}`).join(', ')}`, `{${name}}`);
    }
    return;
  }
  if (depth > deepest) {
    tell(at, `at most ${deepest} levels`, 'more');
    return;
  }
  if (Array.isArray(value)) value.forEach((one, index) => checkValue([...at, index], one, service, depth + 1, tell));
  else if (isMapping(value))
    for (const [key, one] of Object.entries(value)) checkValue([...at, key], one, service, depth + 1, tell);
  else if (typeof value !== 'number' && typeof value !== 'boolean')
    tell(at, 'a text, a number, true or false', 'nothing');
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  return value === null ? 'nothing' : typeof value === 'object' ? 'a mapping' : `a ${typeof value}`;
}
