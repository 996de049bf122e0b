/** Every key of the config: what it means, what it may be, its default and the environment variable that wins over the file. */
import { z } from 'zod';
import { behalfSection } from './behalf-schema.ts';
import { domainSection } from './domain-schema.ts';
import { limitsSection, timersSection } from './engine-sections.ts';
import { fallback, keysOf, type KeyRow, optional } from './keys.ts';
import { controlSecret, filePath, host, hostPort, integer, listOf, oneOf, secretText, text, yesOrNo } from './kinds.ts';
import { mistake } from './mistake.ts';
import { mediaSection } from './media-schema.ts';
import { nodesSection } from './nodes-schema.ts';
import { pushSection } from './push-schema.ts';
import { redisSection } from './redis-schema.ts';
import { repeated } from './repeated.ts';
import { sip } from './sip-schema.ts';
import { registrationSection, wakeSection } from './wake-schema.ts';

const engine = z
  .strictObject({
    kind: fallback(oneOf('embedded', 'drachtio'), 'embedded', {
      doc: 'SIP engine: the one inside the edge, or a drachtio-server.',
      env: 'REVEILLE_ENGINE',
    }),
    thread: fallback(oneOf('auto', 'own', 'shared'), 'auto', {
      doc: 'Where the embedded engine runs: in a thread of its own, in that of the edge, or as auto, in its own where the process may use two cores or more. On one core sharing costs less; on two, a thread of its own answers while the edge is busy.',
      env: 'REVEILLE_ENGINE_THREAD',
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
    doc: 'Where /metrics, /healthz, /readyz and the API are served; keep it off the public network. Port 0 takes a free one.',
    env: 'REVEILLE_HTTP_LISTEN',
  }),
  api_token: optional(secretText('16 or more characters without spaces', /^[!-~]{16,1024}$/), {
    doc: 'Bearer token of the HTTP API (/api/v1) and of the `reveille` commands. Without it an edge with an lmdb store makes one in the file api-token of the store folder, and any other has no API.',
    env: 'REVEILLE_API_TOKEN',
  }),
});

const sealingSecret = secretText(
  '32 octets as 64 hexadecimal digits or base64',
  /^(?:[0-9A-Fa-f]{64}|[A-Za-z0-9+/_-]{43}=?)$/,
);

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
    redis: redisSection.prefault({}),
    key_prefix: fallback(
      text('1 to 64 printable characters without spaces or braces', /^[!-z|~]{1,64}$/),
      'reveille:',
      {
        doc: 'First part of every key in Redis, so that several edges can share one.',
      },
    ),
    secret_key: optional(sealingSecret, {
      doc: 'Key that seals the passwords of provisioned accounts in the store; the same for all nodes. Left out: secret.key beside an lmdb store, made when missing.',
      env: 'REVEILLE_SECRET_KEY',
    }),
    secret_key_file: optional(filePath, {
      doc: 'The same key in a file that only its owner can read (mode 0600), instead of secret_key.',
      env: 'REVEILLE_SECRET_KEY_FILE',
    }),
    old_secret_keys: fallback(listOf(sealingSecret, 'a list of keys'), [], {
      doc: 'Keys of before: what they have sealed is opened and sealed anew with the present one at the start.',
    }),
  })
  .check((context) => {
    const { kind, redis_url: url, redis } = context.value;
    if (kind === 'redis' && url === undefined)
      mistake(context, ['redis_url'], 'an address, because store.kind is redis', 'nothing');
    if (context.value.secret_key !== undefined && context.value.secret_key_file !== undefined)
      mistake(context, ['secret_key_file'], 'either secret_key or secret_key_file', 'both');
    if (redis.cluster.length > 0 && redis.sentinels.length > 0)
      mistake(context, ['redis', 'cluster'], 'either sentinels or cluster', 'both');
    if ((redis.cert_file === undefined) !== (redis.key_file === undefined))
      mistake(context, ['redis', 'key_file'], 'cert_file and key_file together', 'one of them');
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
    nodes: nodesSection.prefault({}),
    domains: z
      .array(domainSection)
      .min(1)
      .prefault([{ name: '*', upstream: 'sip:127.0.0.1:5080;transport=udp' }]),
    registration: registrationSection.prefault({}),
    on_behalf: behalfSection.prefault({}),
    wake: wakeSection.prefault({}),
    push: pushSection.prefault({}),
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
        ring_budget_seconds: fallback(integer(0, 600, 'seconds'), 0, {
          doc: 'Longest wait for an answer to a call for a phone, holding and ringing together: a little less than the PBX waits. 0: only what the INVITE says in Expires.',
        }),
        expires_margin_ms: fallback(integer(0, 60_000, 'milliseconds'), 2000, {
          doc: 'An INVITE for a phone that says how long its sender waits (Expires, 10 seconds or more) is answered 480 so long before. 0, and for a shorter one: 487 when it is over.',
        }),
        early_ringing: fallback(oneOf('none', '180', '183'), 'none', {
          doc: 'What the PBX is told while a phone is being woken, for a PBX that gives up on a call that does not ring: nothing, 180, or 183 (without a session description).',
        }),
        early_ringing_ms: fallback(integer(0, 30_000, 'milliseconds'), 2000, {
          doc: 'How long after the INVITE that is said, when no phone rings by then.',
        }),
        redirects: fallback(oneOf('pass', 'follow'), 'pass', {
          doc: 'A phone that says 3xx: the caller is told where to call (pass), or the edge calls there itself (follow), when that is a user of the same domain or leads to its PBX.',
        }),
        identity_to_phones: fallback(oneOf('pass', 'strip'), 'pass', {
          doc: 'What the PBX asserts of callers and of the way a call took (P-Asserted-Identity, Remote-Party-ID, Diversion, History-Info): phones of calls are told, unless Privacy forbids it, or not. From phones none of it is believed.',
        }),
        max_subscriptions: fallback(integer(0, 10_000_000), 100_000, {
          doc: 'Most subscriptions (SUBSCRIBE) that pass through this process at once; one more gets 503.',
        }),
      })
      .prefault({}),
    media: mediaSection.prefault({}),
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
        held_seconds: fallback(integer(0, 60, 'seconds'), 10, {
          doc: 'How long calls that are held may still wait for their phones after SIGTERM, before they are answered 480; new calls get 503 at once.',
        }),
        call_seconds: fallback(integer(0, 86_400, 'seconds'), 30, {
          doc: 'How long calls go on after that before they are ended.',
        }),
      })
      .prefault({}),
    log: logSection.prefault({}),
  })
  .check((context) => {
    const { domains, push: pushed, sip: listening, engine: used } = context.value;
    const overTls = listening.listen.some(({ transport }) => transport === 'tls');
    domains.forEach(({ upstream, upstreams }, at) => {
      const needsTls = (peer: { readonly transport?: string } | undefined): boolean =>
        peer?.transport === 'tls' && used.kind === 'embedded' && !overTls;
      const because = 'a transport that sip.listen has as well';
      if (needsTls(upstream)) mistake(context, ['domains', at, 'upstream'], because, 'tls');
      for (const [entry, { uri, outbound_proxy: proxy }] of upstreams.entries())
        if (needsTls(proxy ?? uri))
          mistake(context, ['domains', at, 'upstreams', entry, proxy ? 'outbound_proxy' : 'uri'], because, 'tls');
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

export const configKeys: readonly KeyRow[] = keysOf(configSchema);
