/** Keys of `push`: the apps and services that can be pushed, with their credentials. */
import { z } from 'zod';
import { fallback, optional, required } from './keys.ts';
import { filePath, httpsUrl, integer, isHost, listOf, oneOf, parsed, secretText, text, yesOrNo } from './kinds.ts';
import { ladderKeys, ownLadder } from './ladder-schema.ts';
import { mistake } from './mistake.ts';

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
    team_id: optional(text('the 10 letters and digits of the Apple team', /^[A-Z0-9]{10}$/), {
      doc: 'APNs: team identifier, the issuer of the token.',
    }),
    key_id: optional(text('the 10 letters and digits of the key', /^[A-Z0-9]{10}$/), {
      doc: 'APNs: identifier of the signing key.',
    }),
    key_file: optional(filePath, { doc: 'APNs: the .p8 file from Apple, an EC P-256 private key in PEM.' }),
    key: optional(secretText('an EC P-256 private key in PEM', /^[\s\S]{1,8192}$/), {
      doc: 'The same key as text, instead of key_file.',
    }),
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
    profile: fallback(oneOf('generic', 'linphone', 'pjsip'), 'generic', {
      doc: 'Shape of the payload the app expects.',
    }),
    privacy: fallback(oneOf('full', 'name', 'none'), 'full', {
      doc: 'What of the caller the push service may see: address and name, the name only, or nothing.',
    }),
    call_expiration: fallback(expiration, 'window', {
      doc: 'apns-expiration of a call: the time left of the hold (window), or seconds from now; 0 is one attempt only.',
    }),
  })
  .check((context) => {
    const { provider, key, key_file: file, service_account_file: account, team_id: team, key_id: id } = context.value;
    if (provider === 'fcm') {
      if (account === undefined)
        mistake(context, ['service_account_file'], 'a file, because provider is fcm', 'nothing');
      for (const [name, value] of Object.entries({ key, key_file: file, team_id: team, key_id: id }))
        if (value !== undefined) mistake(context, [name], 'nothing, because provider is fcm', 'a value');
      return;
    }
    if (account !== undefined)
      mistake(context, ['service_account_file'], 'nothing, because provider is apns', 'a value');
    if (team === undefined) mistake(context, ['team_id'], 'a team, because provider is apns', 'nothing');
    if (id === undefined) mistake(context, ['key_id'], 'a key, because provider is apns', 'nothing');
    if ((key === undefined) === (file === undefined))
      mistake(context, [], 'either key_file or key', key === undefined ? 'neither' : 'both');
  });

const hostPattern = parsed<string>('a host name, *.domain for every name below one, or *', (value) =>
  value === '*' || isHost(value.replace(/^\*\./, '')) ? value.toLowerCase() : undefined,
);

const webpush = z.strictObject({
  vapid_key_file: required(filePath, {
    doc: 'EC P-256 private key in PEM; its public half is what pages subscribe with. Keep it: a new one makes every subscription useless.',
  }),
  subject: required(
    text(
      'mailto:somebody@example.com or an https address, not localhost',
      /^(?:mailto:[^\s@]+@[^\s@]+\.[^\s@]+|https:\/\/(?!localhost)[^\s]+)$/,
    ),
    {
      doc: 'Whom push services write to when something is wrong (RFC 8292 2.1).',
    },
  ),
  allow_hosts: fallback(
    listOf(hostPattern, 'a list of host names', 1),
    ['fcm.googleapis.com', '*.push.services.mozilla.com', 'web.push.apple.com', '*.notify.windows.com'],
    { doc: 'Hosts a phone may name as its push service; the addresses behind them must be public.' },
  ),
  allow_ports: fallback(listOf(integer(1, 65_535), 'a list of ports'), [], { doc: 'Ports beside 443.' }),
  allow_private: fallback(yesOrNo, false, {
    doc: 'Push to private addresses and to hosts given as addresses; only for stand-ins and services of your own network.',
  }),
  ca_file: optional(filePath, { doc: 'PEM certificates to trust instead of those Node knows.' }),
});

const webhook = z.strictObject({
  name: required(text('a short name: letters, digits, dot, dash, underscore', /^[A-Za-z0-9._-]{1,64}$/), {
    doc: 'Name in logs and in stored bindings; keep it for good.',
  }),
  provider: required(
    text(
      'a pn-provider of your own: lower-case letters, digits, dot, dash',
      /^(?!(?:apns|fcm|webpush)$)[a-z0-9][a-z0-9.-]{0,31}$/,
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
  ca_file: optional(filePath, { doc: 'PEM certificates to trust instead of those Node knows.' }),
});

export const pushSection = z.strictObject({
  apps: z.array(app).prefault([]),
  webpush: webpush.optional(),
  webhooks: z.array(webhook).prefault([]),
  ladder: z.strictObject(ladderKeys('')).prefault({}),
  ladders: z.array(ownLadder).prefault([]),
  policy_file: optional(filePath, {
    doc: 'Your own rules for single pushes: a module (.mjs, .js, or .ts where TypeScript is installed) whose default export is a PushPolicy (push-policy.md).',
  }),
  policy_timeout_ms: fallback(integer(1, 200, 'milliseconds'), 20, {
    doc: 'An answer of the policy that takes longer is not waited for: the rules of the config hold.',
  }),
  allow_shared_token: fallback(yesOrNo, false, {
    doc: 'One token under several addresses of record wakes the phone for all of them, as an app with several accounts needs it; else it moves to the one that registered it last.',
  }),
  deadline_ms: fallback(integer(500, 30_000, 'milliseconds'), 5000, {
    doc: 'A push without an answer for so long counts as failed.',
  }),
});
