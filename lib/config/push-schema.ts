/** Keys of `push`: the apps and services that can be pushed, with their credentials. */
import { z } from 'zod';
import { fallback, optional, required } from './keys.ts';
import { profiles } from '../payload/profile.ts';
import { apnsKey, checkKeys, keyId, keyText, teamId } from './apns-keys.ts';
import { filePath, httpsUrl, integer, listOf, oneOf, secretText, text, yesOrNo } from './kinds.ts';
import { ladderKeys, ownLadder } from './ladder-schema.ts';
import { mistake } from './mistake.ts';
import { checkTemplate, templateKind } from './payload-template.ts';
import { hostPattern, unifiedpushSection, webpushSection } from './webpush-schema.ts';

const expiration = {
  schema: z.union([z.literal('window'), z.int().min(0).max(3600)]),
  expected: 'window, or a whole number of seconds, 0 to 3600',
};

const app = z
  .strictObject({
    name: required(text('a short name: letters, digits, dot, dash, underscore', /^[A-Za-z0-9._-]{1,64}$/), {
      doc: 'Name of the app in logs and in stored bindings; keep it for good.',
    }),
    provider: required(oneOf('apns', 'fcm'), { doc: 'Push service of this app.' }),
    match: required(
      listOf(text('text of 1 to 256 characters without spaces', /^[^\s;]{1,256}$/), 'a list of pn-param values', 1),
      {
        doc: 'pn-param values this app answers for: a whole value (for FCM project id, project number, package), or TEAM.bundle, which also takes TEAM.bundle.voip and its like.',
      },
    ),
    team_id: optional(teamId, { doc: 'APNs: team identifier, the issuer of the token.' }),
    key_id: optional(keyId, { doc: 'APNs: identifier of the signing key.' }),
    key_file: optional(filePath, {
      doc: 'APNs: the .p8 file from Apple, an EC P-256 private key in PEM. Without key_id, key_file and key the app takes its keys from push.apns_keys.',
    }),
    key: optional(keyText, { doc: 'The same key as text, instead of key_file.' }),
    service_account_file: optional(filePath, {
      doc: 'FCM: the JSON file of the service account, from the Firebase console.',
    }),
    endpoint: optional(httpsUrl, {
      doc: 'The service: https://api.push.apple.com or https://fcm.googleapis.com when left out; only for stand-ins and relays.',
    }),
    sandbox_endpoint: fallback(httpsUrl, 'https://api.sandbox.push.apple.com', {
      doc: 'APNs: the service for development builds.',
    }),
    ca_file: optional(filePath, { doc: 'PEM certificates to trust at the endpoints instead of those Node knows.' }),
    environment: fallback(oneOf('production', 'sandbox', 'auto'), 'auto', {
      doc: 'APNs, which endpoint: always one of them, or what the phone says (else production).',
    }),
    profile: fallback(oneOf(...profiles), 'opaque', {
      doc: 'What the app is told: that there is a call and its UUID, nothing personal (opaque); that and who calls (generic); what Linphone, PJSIP or Aria apps read; or template.',
    }),
    template: optional(templateKind, {
      doc: 'Profile template: a payload for each of call, cancel, message, notify, refresh, or default, its texts with placeholders such as {call-uuid} and {from-name} (docs/push.md).',
    }),
    privacy: fallback(oneOf('full', 'name', 'none'), 'full', {
      doc: 'Every profile but opaque: what of the caller the push service may see: address and name, the name only, or nothing.',
    }),
    call_expiration: fallback(expiration, 'window', {
      doc: 'apns-expiration of a call: the time left of the hold (window), or seconds from now; 0 is one attempt only.',
    }),
  })
  .check((context) => {
    const { provider, key, key_file: file, service_account_file: account, team_id: team, key_id: id } = context.value;
    const { profile, template } = context.value;
    if (profile === 'template' && template === undefined)
      mistake(context, ['template'], 'a mapping, because profile is template', 'nothing');
    if (profile !== 'template' && template !== undefined)
      mistake(context, ['template'], `nothing, because profile is ${profile}`, 'a mapping');
    if (template !== undefined) checkTemplate(context, ['template'], template, provider);
    if (provider === 'fcm') {
      if (account === undefined)
        mistake(context, ['service_account_file'], 'a file, because provider is fcm', 'nothing');
      for (const [name, value] of Object.entries({ key, key_file: file, team_id: team, key_id: id }))
        if (value !== undefined) mistake(context, [name], 'nothing, because provider is fcm', 'a value');
      return;
    }
    if (account !== undefined)
      mistake(context, ['service_account_file'], 'nothing, because provider is apns', 'a value');
    // from push.apns_keys, which pushSection checks
    if (id === undefined && file === undefined && key === undefined) return;
    if (team === undefined) mistake(context, ['team_id'], 'a team, because provider is apns', 'nothing');
    if (id === undefined) mistake(context, ['key_id'], 'a key, because provider is apns', 'nothing');
    if ((key === undefined) === (file === undefined))
      mistake(context, [], 'either key_file or key', key === undefined ? 'neither' : 'both');
  });

const webhook = z
  .strictObject({
    name: required(text('a short name: letters, digits, dot, dash, underscore', /^[A-Za-z0-9._-]{1,64}$/), {
      doc: 'Name in logs and in stored bindings; keep it for good.',
    }),
    provider: required(
      text(
        'a pn-provider of your own: lower-case letters, digits, dot, dash',
        /^(?!(?:apns|fcm|webpush|unifiedpush)$)[a-z0-9][a-z0-9.-]{0,31}$/,
      ),
      {
        doc: 'The pn-provider phones send for it.',
      },
    ),
    match: fallback(
      listOf(text('text of 1 to 256 characters without spaces', /^[^\s;]{1,256}$/), 'a list of pn-param values'),
      [],
      { doc: 'pn-param values it answers for; any when empty.' },
    ),
    url: required(text('an http or https address', /^https?:\/\/[^\s]{1,1024}$/i), {
      doc: 'Where each push is posted as JSON.',
    }),
    secret: required(secretText('16 or more characters', /^.{16,1024}$/), {
      doc: 'Key of the HMAC-SHA-256 in the header Reveille-Signature.',
    }),
    privacy: fallback(oneOf('full', 'name', 'none'), 'full', { doc: 'What of the caller the other side may see.' }),
    template: optional(templateKind, {
      doc: 'What is posted instead of docs/webhook.schema.json, as for push.apps[].template, with {token}, {provider} and {id} as well.',
    }),
    ca_file: optional(filePath, { doc: 'PEM certificates to trust instead of those Node knows.' }),
  })
  .check((context) => {
    const { template } = context.value;
    if (template !== undefined) checkTemplate(context, ['template'], template, 'webhook');
  });

const log = z.strictObject({
  providers: required(listOf(text('a pn-provider', /^[a-z0-9][a-z0-9.-]{0,31}$/), 'a list of pn-provider values', 1), {
    doc: 'For development: phones with these pn-providers that no app above is for are not pushed; a line in the log says so.',
  }),
});

const proxy = z
  .strictObject({
    url: required(text('http://host:port or https://host:port', /^https?:\/\/[^\s/@?#]{1,256}\/?$/i), {
      doc: 'HTTP proxy that leads to the push services (by CONNECT).',
    }),
    user: optional(text('1 to 256 characters without a colon', /^[^\s:]{1,256}$/), { doc: 'User of the proxy.' }),
    password: optional(secretText('1 to 1024 characters', /^.{1,1024}$/), { doc: 'Password of the proxy.' }),
    except: fallback(listOf(hostPattern, 'a list of host names'), [], {
      doc: 'Hosts reached without it: names, *.domain for every name below one.',
    }),
  })
  .check((context) => {
    const { user, password } = context.value;
    if ((user === undefined) !== (password === undefined))
      mistake(context, [], 'user and password, or neither', 'one of them');
  });

export const pushSection = z
  .strictObject({
    apns_keys: z.array(apnsKey).prefault([]),
    apps: z.array(app).prefault([]),
    webpush: webpushSection.optional(),
    unifiedpush: unifiedpushSection.optional(),
    webhooks: z.array(webhook).prefault([]),
    log: log.optional(),
    proxy: proxy.optional(),
    connections: fallback(integer(1, 4), 1, {
      doc: 'HTTP/2 connections to each push service that are open before anything is pushed; with two, to two addresses where there are two, a call is sent over the other one when the first is silent for a second.',
    }),
    refresh_per_second: fallback(integer(1, 10_000, 'a second'), 400, {
      doc: 'Most refresh pushes to one app in a second, by each node: at least the number of its phones whose bindings may end together (after an outage all of them) divided by the 300 s in which they are refreshed; 400 are enough for 100,000.',
    }),
    ladder: z.strictObject(ladderKeys('')).prefault({}),
    ladders: z.array(ownLadder).prefault([]),
    policy_file: optional(filePath, {
      doc: 'Your own rules for single pushes: a module (.mjs, .js, or .ts where TypeScript is installed) whose default export is a PushPolicy (push-policy.md).',
    }),
    policy_timeout_ms: fallback(integer(1, 200, 'milliseconds'), 20, {
      doc: 'An answer of the policy that takes longer is not waited for: the rules of the config hold.',
    }),
    allow_shared_token: fallback(yesOrNo, false, {
      doc: 'One token under several addresses of record wakes the phone for all of them; else it moves to the one that registered it last. Accounts of one phone (one +sip.instance) share it always.',
    }),
    deadline_ms: fallback(integer(500, 30_000, 'milliseconds'), 5000, {
      doc: 'A push without an answer for so long counts as failed.',
    }),
    self_test: fallback(oneOf('off', 'warn', 'fail'), 'warn', {
      doc: 'At the start and after a reload every app asks its service, without waking a phone, whether its credentials are good: not at all; and says so in log and metrics; or also in /readyz, which is 503 while they are refused.',
    }),
    expiry_warning_days: fallback(integer(0, 365, 'days'), 14, {
      doc: 'How early a line in the log warns of a certificate (push.*.ca_file) that ends.',
    }),
    key_age_warning_days: fallback(integer(0, 3650, 'days'), 365, {
      doc: 'A service account whose file is older than this deserves a new key, says a line in the log; 0 never.',
    }),
  })
  .check((context) => {
    const { apps, apns_keys: keys } = context.value;
    const scopes = keys.map(({ team_id: team, environments, topics }) => ({ team, environments, topics }));
    apps.forEach(({ provider, key, key_file: file, key_id: id, team_id: team, environment, match }, at) => {
      if (provider !== 'apns' || key !== undefined || file !== undefined || id !== undefined) return;
      checkKeys(context, ['apps', at], scopes, { team, environment, match });
    });
  });
