/** Every key of the config: what it means, what it may be, its default and the environment variable that wins over the file. */
import { z } from 'zod';
import { limitsSection, timersSection } from './engine-sections.ts';
import { fallback, keysOf, optional, required, type KeyRow } from './keys.ts';
import { mistake } from './mistake.ts';
import { sip } from './sip-schema.ts';
import {
  host,
  hostPort,
  httpsUrl,
  integer,
  isHost,
  listOf,
  oneOf,
  parsed,
  controlSecret,
  secretText,
  sipPeer,
  subnet,
  text,
  yesOrNo,
} from './kinds.ts';

const filePath = text('the path of a file, relative to the folder of the config file', /^[^\0]{1,4096}$/);
const expiration = {
  schema: z.union([z.literal('window'), z.int().min(0).max(3600)]),
  expected: 'window, or a whole number of seconds, 0 to 3600',
};
const domainName = parsed<string>('a domain name, or "*" for every domain not listed', (value) =>
  value === '*' || isHost(value) ? value.toLowerCase() : undefined,
);

const engine = z
  .strictObject({
    kind: fallback(oneOf('embedded', 'drachtio'), 'embedded', {
      doc: 'SIP engine: the one inside the edge, or a drachtio-server.',
      env: 'REVEILLE_ENGINE',
    }),
    drachtio: z
      .strictObject({
        host: fallback(host, '127.0.0.1', {
          doc: 'Where the drachtio-server takes control connections.',
          env: 'DRACHTIO_HOST',
        }),
        port: fallback(integer(1, 65_535), 9022, { doc: 'Its control port.', env: 'DRACHTIO_PORT' }),
        secret: optional(controlSecret('the secret of the drachtio-server'), {
          doc: 'Its shared secret; required when engine.kind is drachtio.',
          env: 'DRACHTIO_SECRET',
        }),
        transport: fallback(oneOf('tcp', 'tls'), 'tcp', {
          doc: 'How to reach the control port. Without TLS everybody on the way reads the secret and every message.',
          env: 'DRACHTIO_TRANSPORT',
        }),
        ca_file: optional(filePath, {
          doc: 'PEM certificates to trust at the control port instead of those Node knows; read when transport is tls.',
        }),
        server_name: optional(host, { doc: 'Name in the certificate of the control port, when it is not the host.' }),
        max_frame_octets: fallback(integer(4096, 1_000_000, 'octets'), 12_200, {
          doc: 'Largest message with its control line. A drachtio-server goes deaf beyond the default; `npm run engine` takes 1000000.',
        }),
      })
      .prefault({}),
    limits: limitsSection.prefault({}),
    timers: timersSection.prefault({}),
  })
  .check((context) => {
    const { kind, drachtio } = context.value;
    if (kind === 'drachtio' && drachtio.secret === undefined)
      mistake(context, ['drachtio', 'secret'], 'the secret, because engine.kind is drachtio', 'nothing');
  });

const http = z.strictObject({
  listen: fallback(hostPort, '0.0.0.0:9090', {
    doc: 'Where /metrics, /healthz and /readyz are served; keep it off the public network. Port 0 takes a free one.',
    env: 'REVEILLE_HTTP_LISTEN',
  }),
});

const store = z
  .strictObject({
    kind: fallback(oneOf('lmdb', 'redis', 'memory'), 'lmdb', {
      doc: 'Where bindings live: a folder of this node, a Redis shared by several, or memory only (forgotten at a restart).',
      env: 'REVEILLE_STORE',
    }),
    path: fallback(
      text('the path of a folder, relative to the folder of the config file', /^[^\0]{1,4096}$/),
      './data',
      {
        doc: 'Folder of the lmdb store; made when missing.',
        env: 'REVEILLE_STORE_PATH',
      },
    ),
    redis_url: optional(
      secretText('redis://[user:password@]host[:port][/db] or rediss://...', /^rediss?:\/\/[^\s]{1,1024}$/i),
      {
        doc: 'Address of Redis; required when store.kind is redis.',
        env: 'REVEILLE_REDIS_URL',
      },
    ),
    key_prefix: fallback(
      text('1 to 64 printable characters without spaces or braces', /^[!-z|~]{1,64}$/),
      'reveille:',
      {
        doc: 'First part of every key in Redis, so that several edges can share one.',
      },
    ),
  })
  .check((context) => {
    const { kind, redis_url: url } = context.value;
    if (kind === 'redis' && url === undefined)
      mistake(context, ['redis_url'], 'an address, because store.kind is redis', 'nothing');
  });

const user = z
  .strictObject({
    name: required(text('a user name without spaces, @ or colon', /^[^\s@:"<>\0]{1,128}$/), {
      doc: 'User part of the AOR and name in the digest.',
    }),
    password: optional(secretText('a password as text (in quotes when it looks like a number)'), {
      doc: 'Digest password; from it every HA1 is made.',
    }),
    ha1_md5: optional(secretText('32 hexadecimal digits', /^[0-9a-f]{32}$/i), {
      doc: 'MD5 of user:realm:password, instead of the password.',
    }),
    ha1_sha256: optional(secretText('64 hexadecimal digits', /^[0-9a-f]{64}$/i), {
      doc: 'SHA-256 of user:realm:password, instead of the password.',
    }),
  })
  .check((context) => {
    const { password, ha1_md5: md5, ha1_sha256: sha256 } = context.value;
    if ((password === undefined) === (md5 === undefined && sha256 === undefined)) {
      mistake(
        context,
        [],
        'either password, or ha1_md5 and/or ha1_sha256',
        password === undefined ? 'none of them' : 'both',
      );
    }
  });

const domain = z
  .strictObject({
    name: required(domainName, { doc: 'Domain of the AORs, or "*" for every domain not listed.' }),
    registration: fallback(oneOf('mid-registrar', 'path', 'registrar'), 'mid-registrar', {
      doc: 'mid-registrar: the PBX accepts each REGISTER and keeps the users, and gets a Contact of the edge. path: it gets the Contact of the phone, push parameters included, and calls it by Path (RFC 3327). registrar: the edge accepts, and the PBX uses it as a trunk.',
    }),
    without_path: fallback(oneOf('accept', 'refuse'), 'accept', {
      doc: 'A phone that does not say `Supported: path`: with registration path, served as by a mid-registrar, or refused with 421; elsewhere, behind a proxy that has added Path, accepted, or refused with 420.',
    }),
    require_path: fallback(yesOrNo, true, {
      doc: 'With registration path: `Require: path` to the PBX, so that one that does not know Path says 420 instead of calling past the edge. false for a PBX that knows Path and refuses the word.',
    }),
    proxies: fallback(listOf(subnet, 'a list of addresses or subnets'), [], {
      doc: 'Proxies between phones and edge whose Path and Feature-Caps in a REGISTER are believed; from anybody else both are dropped.',
    }),
    service_route: fallback(yesOrNo, false, {
      doc: 'With registration registrar: phones are told by Service-Route (RFC 3608) to send their own requests through the edge.',
    }),
    upstream: required(sipPeer, {
      doc: 'The PBX of this domain. The variable sets it for the domain "*".',
      env: 'REVEILLE_UPSTREAM',
    }),
    trusted: fallback(listOf(subnet, 'a list of addresses or subnets'), [], {
      doc: 'Addresses calls for phones may come from, besides those of the upstream itself.',
    }),
    users: z.array(user).prefault([]),
    realm: optional(text('text without quotes, 1 to 128 characters', /^[^"\\\0\r\n]{1,128}$/), {
      doc: 'Realm of our digest challenges; the domain itself when left out.',
    }),
    algorithms: fallback(listOf(oneOf('SHA-256', 'MD5'), 'a list of SHA-256, MD5', 1), ['SHA-256', 'MD5'], {
      doc: 'Digest algorithms offered in registrar mode, the preferred one first.',
    }),
  })
  .check((context) => {
    const { registration, users } = context.value;
    if (registration !== 'registrar' && users.length > 0) {
      mistake(
        context,
        ['users'],
        'no users but with registration registrar: here the PBX knows them',
        `${users.length}`,
      );
    }
    repeated(users.map((one) => one.name)).forEach(([at]) =>
      mistake(context, ['users', at, 'name'], 'a name no other user of this domain has', 'the same name twice'),
    );
  });

const registration = z
  .strictObject({
    min_expires: fallback(integer(1, 3599, 'seconds'), 600, {
      doc: 'Shortest registration of a phone that asks for pushes; a shorter one is refused with 423 (RFC 3261 10.3). Plain phones may register for less.',
    }),
    default_expires: fallback(integer(60, 604_800, 'seconds'), 3600, { doc: 'Granted when a phone names no expiry.' }),
    max_expires: fallback(integer(3600, 31_536_000, 'seconds'), 604_800, { doc: 'Longest expiry granted to a phone.' }),
    max_bindings: fallback(integer(1, 100), 10, { doc: 'Most devices of one AOR; one more is refused.' }),
    unsupported_push: fallback(oneOf('accept', 'reject'), 'accept', {
      doc: 'A push service no app is configured for: register the phone as a plain one, or refuse with 555.',
    }),
    push_dialects: fallback(
      listOf(
        oneOf('outside-brackets', 'legacy', 'x-mpush', 'x-push'),
        'a list of outside-brackets, legacy, x-mpush, x-push',
      ),
      ['outside-brackets', 'legacy', 'x-mpush', 'x-push'],
      {
        doc: 'Push parameters understood beside those of RFC 8599: outside-brackets (pn-* as parameters of the Contact header), legacy (app-id, pn-type, pn-tok, pn-uri), x-mpush and x-push (header fields of Mizutech and PortSIP).',
      },
    ),
    pnsreg_seconds: fallback(integer(30, 3600, 'seconds'), 180, {
      doc: 'How early a phone that wakes itself is asked to refresh (sip.pnsreg).',
    }),
    refresh_pushes: fallback(yesOrNo, true, {
      doc: 'Push sleeping phones before their registration ends, so that they stay reachable. Never by a VoIP push.',
    }),
    refresh_push_lead_seconds: fallback(integer(120, 86_400, 'seconds'), 300, {
      doc: 'How long before its end a sleeping phone is pushed first; and once more at half of what is left.',
    }),
    refresh_pushes_per_second: fallback(integer(1, 10_000), 200, {
      doc: 'Most sleeping phones looked at for a refresh push in a second, by each node.',
    }),
    purr_hours: fallback(integer(0, 168, 'hours'), 0, {
      doc: 'Phones get a reference for their dialogs (sip.pnspurr), a new one after so many hours; 0 gives none. Dialogs of the edge wake phones without it.',
    }),
    refresh_lead_seconds: fallback(integer(30, 3600, 'seconds'), 120, {
      doc: 'Room a refresh needs before a binding ends: a phone granted no more than this and 30 s is registered, but not pushed.',
    }),
  })
  .check((context) => {
    const { min_expires: least, default_expires: usual, max_expires: most } = context.value;
    if (usual < least || usual > most) {
      mistake(context, ['default_expires'], `from min_expires (${least}) to max_expires (${most})`, `${usual}`);
    }
  });

const wake = z.strictObject({
  hold_seconds: fallback(integer(5, 60, 'seconds'), 30, {
    doc: 'Longest wait for a phone to wake (the bucket timer); then the caller gets 480.',
    env: 'REVEILLE_HOLD_SECONDS',
  }),
  request_hold_seconds: fallback(integer(4, 20, 'seconds'), 10, {
    doc: 'The same for any other request (MESSAGE, NOTIFY, SUBSCRIBE, requests inside calls), whose sender gives up after 32 s.',
  }),
  silent_flow_ms: fallback(integer(200, 10_000, 'milliseconds'), 1500, {
    doc: 'A flow that gives no answer for so long counts as asleep, and the phone is pushed.',
  }),
  udp_flow_awake_ms: fallback(integer(0, 3_600_000, 'milliseconds'), 0, {
    doc: 'How long after a REGISTER the UDP flow of a pushable phone is tried before a push; 0 pushes at once.',
  }),
  ring_seconds: fallback(integer(10, 600, 'seconds'), 190, {
    doc: 'Longest ringing of a phone that has been reached.',
  }),
  late_phone: fallback(oneOf('nothing', 'cancelled_invite', 'end_push'), 'nothing', {
    doc: 'A phone that was pushed and registers only after its call has ended: hears nothing, gets the INVITE and its CANCEL at once, or was sent another push at the end (never a VoIP push; apps with profile generic and webhooks only).',
  }),
  call_uuid: fallback(yesOrNo, true, {
    doc: 'INVITEs for phones carry X-Call-UUID, the call-uuid of their push; the PBX never sees it.',
  }),
  max_held: fallback(integer(1, 1_000_000), 20_000, {
    doc: 'Most requests held at once by this process; one more is refused.',
  }),
  max_held_per_device: fallback(integer(1, 1_000_000), 20_000, {
    doc: 'Most requests held at once for one phone; one more is refused. The default leaves it to max_held.',
  }),
});

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

const push = z.strictObject({
  apps: z.array(app).prefault([]),
  webpush: webpush.optional(),
  webhooks: z.array(webhook).prefault([]),
  deadline_ms: fallback(integer(500, 30_000, 'milliseconds'), 5000, {
    doc: 'A push without an answer for so long counts as failed.',
  }),
});

export const logSection = z.strictObject({
  level: fallback(oneOf('silent', 'error', 'warn', 'info', 'debug'), 'info', {
    doc: 'Least important line that is written.',
    env: 'REVEILLE_LOG_LEVEL',
  }),
});

/** The whole file; the names are those of YAML. */
export const configSchema = z
  .strictObject({
    sip: sip.prefault({}),
    engine: engine.prefault({}),
    http: http.prefault({}),
    store: store.prefault({}),
    domains: z
      .array(domain)
      .min(1)
      .prefault([{ name: '*', upstream: 'sip:127.0.0.1:5080;transport=udp' }]),
    registration: registration.prefault({}),
    wake: wake.prefault({}),
    push: push.prefault({}),
    calls: z
      .strictObject({
        heartbeat_seconds: fallback(integer(0, 3600, 'seconds'), 60, {
          doc: 'How often both sides of a call are asked by OPTIONS whether they are still there; 0 never.',
        }),
        busy: fallback(oneOf('device', 'all'), 'device', {
          doc: 'A phone that says 486: the other phones of the user ring on (device), or the call ends for all.',
        }),
        decline: fallback(oneOf('device', 'all'), 'all', {
          doc: 'The same for 603. RFC 3261 ends the call for all.',
        }),
        max_subscriptions: fallback(integer(0, 10_000_000), 100_000, {
          doc: 'Most subscriptions (SUBSCRIBE) that pass through this process at once; one more gets 503.',
        }),
      })
      .prefault({}),
    messages: z
      .strictObject({
        store: fallback(yesOrNo, false, {
          doc: 'Take over a MESSAGE whose phone does not come in time: 202 to its sender, delivery after the next REGISTER.',
        }),
        lifetime_hours: fallback(integer(1, 720, 'hours'), 72, {
          doc: 'How long a message waits; its own Expires may shorten that.',
        }),
        max_per_user: fallback(integer(1, 1000), 100, { doc: 'Most messages that wait for one user.' }),
        max_octets: fallback(integer(1, 60_000, 'octets'), 4096, { doc: 'Longer messages are not taken over.' }),
      })
      .prefault({}),
    shutdown: z
      .strictObject({
        call_seconds: fallback(integer(0, 86_400, 'seconds'), 30, {
          doc: 'How long calls go on after SIGTERM before they are ended.',
        }),
      })
      .prefault({}),
    log: logSection.prefault({}),
  })
  .check((context) => {
    const { domains, push: pushed, sip: listening, engine: used } = context.value;
    const overTls = listening.listen.some(({ transport }) => transport === 'tls');
    domains.forEach(({ upstream }, at) => {
      if (upstream.transport === 'tls' && used.kind === 'embedded' && !overTls)
        mistake(context, ['domains', at, 'upstream'], 'a transport that sip.listen has as well', 'tls');
    });
    repeated(domains.map((one) => one.name)).forEach(([at, name]) =>
      mistake(context, ['domains', at, 'name'], 'each domain once', `"${name}" again`),
    );
    const names = [...pushed.webhooks, ...pushed.apps].map((one) => one.name);
    repeated(names).forEach(([at, name]) =>
      mistake(
        context,
        at < pushed.webhooks.length
          ? ['push', 'webhooks', at, 'name']
          : ['push', 'apps', at - pushed.webhooks.length, 'name'],
        'each app name once',
        `"${name}" again`,
      ),
    );
    const matches = pushed.apps.flatMap((one, index) => one.match.map((value) => ({ value, index })));
    repeated(matches.map((one) => one.value)).forEach(([at, value]) =>
      mistake(
        context,
        ['push', 'apps', matches[at]?.index ?? 0, 'match'],
        'each value in one app only',
        `"${value}" again`,
      ),
    );
  });

function repeated(values: readonly string[]): [number, string][] {
  return values.flatMap((value, at): [number, string][] => (values.indexOf(value) < at ? [[at, value]] : []));
}

export const configKeys: readonly KeyRow[] = keysOf(configSchema);
