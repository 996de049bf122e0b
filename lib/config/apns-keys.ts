/** `push.apns_keys`: Apple's keys, and which of them signs for an app in an environment. Pure. */
import { z } from 'zod';
import { fallback, optional, required } from './keys.ts';
import { filePath, listOf, oneOf, secretText, text } from './kinds.ts';
import { type CheckContext, mistake } from './mistake.ts';

export const teamId = text('the 10 letters and digits of the Apple team', /^[A-Z0-9]{10}$/);
export const keyId = text('the 10 letters and digits of the key', /^[A-Z0-9]{10}$/);
export const keyText = secretText('an EC P-256 private key in PEM', /^[\s\S]{1,8192}$/);

export const apnsKey = z
  .strictObject({
    team_id: required(teamId, { doc: 'Team the key belongs to.' }),
    key_id: required(keyId, { doc: 'Identifier of the key.' }),
    key_file: optional(filePath, { doc: 'The .p8 file from Apple.' }),
    key: optional(keyText, { doc: 'The same key as text, instead of key_file.' }),
    environments: fallback(
      listOf(oneOf('production', 'sandbox'), 'a list of production and sandbox', 1),
      ['production', 'sandbox'],
      { doc: 'Where Apple takes it; a key may be tied to one environment.' },
    ),
    topics: fallback(listOf(text('a bundle id', /^[A-Za-z0-9.-]{1,155}$/), 'a list of bundle ids'), [], {
      doc: 'Bundles the key is for; any of the team when empty.',
    }),
  })
  .check((context) => {
    const { key, key_file: file } = context.value;
    if ((key === undefined) === (file === undefined))
      mistake(context, [], 'either key_file or key', key === undefined ? 'neither' : 'both');
  });

export type Environment = 'production' | 'sandbox';

export interface KeyScope {
  readonly team: string;
  readonly environments: readonly Environment[];
  readonly topics: readonly string[];
}

export interface AppScope {
  readonly team: string | undefined;
  readonly environment: Environment | 'auto';
  /** pn-param values */
  readonly match: readonly string[];
}

/** The environments an app is pushed in. */
export function environmentsOf(environment: Environment | 'auto'): readonly Environment[] {
  return environment === 'auto' ? ['production', 'sandbox'] : [environment];
}

/** Position of the key for an app in an environment: the one made for its bundle first, then one tied to the environment. */
export function keyFor(keys: readonly KeyScope[], app: AppScope, environment: Environment): number | undefined {
  const bundles = app.match.map(bundleOf);
  const team = teamOf(app);
  let best: { readonly at: number; readonly rank: number } | undefined;
  keys.forEach((key, at) => {
    if (key.team !== team || !key.environments.includes(environment)) return;
    if (key.topics.length > 0 && !bundles.every((bundle) => key.topics.includes(bundle))) return;
    const rank = (key.topics.length > 0 ? 2 : 0) + (key.environments.length === 1 ? 1 : 0);
    if (best === undefined || rank > best.rank) best = { at, rank };
  });
  return best?.at;
}

/** The one it names, else the one all its pn-param values begin with. */
export function teamOf({ team, match }: AppScope): string | undefined {
  if (team !== undefined) return team;
  const teams = new Set(match.map((value) => value.split('.', 1)[0] ?? ''));
  const [only] = teams;
  return teams.size === 1 && only !== undefined && /^[A-Z0-9]{10}$/.test(only) ? only : undefined;
}

function bundleOf(match: string): string {
  return match.replace(/^[^.]*\./, '').replace(/\.(?:voip|remote)(?:&(?:voip|remote))?$/, '');
}

/** Start-up fails for an app that has no key in an environment it is pushed in. */
export function checkKeys(
  context: CheckContext,
  path: readonly (string | number)[],
  keys: readonly KeyScope[],
  app: AppScope,
): void {
  if (teamOf(app) === undefined) {
    mistake(context, [...path, 'team_id'], 'a team, or match values that all begin with the same one', 'neither');
    return;
  }
  for (const environment of environmentsOf(app.environment)) {
    if (keyFor(keys, app, environment) !== undefined) continue;
    const hint = app.environment === 'auto' ? '; or environment, when its phones are all in one' : '';
    mistake(
      context,
      path,
      `a key of its own, or one in push.apns_keys for ${environment} and all its bundles${hint}`,
      'none',
    );
  }
}
