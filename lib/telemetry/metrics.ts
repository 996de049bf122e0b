/**
 * Every metric of the edge: name, sentence, label values, buckets. Labels are closed lists, so this page tells how many
 * series there can be (those of upstreams are as many as the config names); no AOR, contact, token or Call-ID is ever one. Knows nothing of the library that exposes them.
 */

type Labels = Readonly<Record<string, readonly string[]>>;

export interface CounterSpec<L extends Labels = Labels> {
  readonly type: 'counter';
  readonly name: string;
  readonly help: string;
  readonly labels: L;
}
export interface GaugeSpec<L extends Labels = Labels> {
  readonly type: 'gauge';
  readonly name: string;
  readonly help: string;
  readonly labels: L;
}
export interface HistogramSpec<L extends Labels = Labels> {
  readonly type: 'histogram';
  readonly name: string;
  readonly help: string;
  readonly labels: L;
  /** upper bounds in seconds, rising */
  readonly buckets: readonly number[];
}

const counter = <const L extends Labels>(
  name: `reveille_${string}_total`,
  help: string,
  labels: L,
): CounterSpec<L> => ({ type: 'counter', name, help, labels });
const gauge = <const L extends Labels>(name: `reveille_${string}`, help: string, labels: L): GaugeSpec<L> => ({
  type: 'gauge',
  name,
  help,
  labels,
});
const histogram = <const L extends Labels>(
  name: `reveille_${string}_seconds`,
  help: string,
  buckets: readonly number[],
  labels: L,
): HistogramSpec<L> => ({
  type: 'histogram',
  name,
  help,
  labels,
  buckets,
});

const none = {} as const;
const provider = ['apns', 'fcm', 'webpush', 'unifiedpush', 'webhook', 'log', 'other'] as const;
const pushOutcome = [
  'accepted',
  'token-dead',
  'token-suspect',
  'throttled',
  'not-applicable',
  'config-error',
  'unreachable',
  'cancelled',
] as const;
/** Values that come from the config: as many as it has entries. */
const configured: readonly string[] = [];
const pushReasons = [
  ...['accepted', 'cancelled', 'no-token', 'no-word', 'no-credentials', 'no-access-token', 'not-a-token', 'too-large'],
  ...['no-answer', 'deadline', 'connection', 'queue', 'breaker', 'guard', 'internal'],
  ...['4xx', '5xx', '429', '410', '404', '403', '401', '400'],
  ...['BadDeviceToken', 'Unregistered', 'ExpiredToken', 'DeviceTokenNotForTopic', 'TopicDisallowed', 'BadTopic'],
  ...[
    'InvalidProviderToken',
    'ExpiredProviderToken',
    'Forbidden',
    'BadEnvironmentKeyIdInToken',
    'UnrelatedKeyIdInToken',
  ],
  ...['PayloadTooLarge', 'TooManyRequests', 'TooManyProviderTokenUpdates'],
  ...['InternalServerError', 'ServiceUnavailable', 'Shutdown', 'IdleTimeout'],
  ...['UNREGISTERED', 'SENDER_ID_MISMATCH', 'INVALID_ARGUMENT', 'PERMISSION_DENIED', 'NOT_FOUND', 'UNAUTHENTICATED'],
  ...['THIRD_PARTY_AUTH_ERROR', 'QUOTA_EXCEEDED', 'UNAVAILABLE', 'INTERNAL'],
  'other',
] as const;
const method = [
  'REGISTER',
  'INVITE',
  'ACK',
  'BYE',
  'CANCEL',
  'OPTIONS',
  'PRACK',
  'UPDATE',
  'INFO',
  'REFER',
  'NOTIFY',
  'SUBSCRIBE',
  'MESSAGE',
  'PUBLISH',
  'other',
] as const;
const statusClass = ['1xx', '2xx', '3xx', '4xx', '5xx', '6xx', 'none'] as const;
const ending = ['answered', 'cancelled', 'unreachable', 'refused', 'failed'] as const;
const fault = ['none', 'caller', 'device', 'push-service', 'upstream', 'edge'] as const;

/** Half a millisecond for what the edge adds, minutes for what a phone takes. */
const seconds = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60,
] as const;

export const metrics = {
  registrations: counter('reveille_registrations_total', 'REGISTER requests by what became of them.', {
    result: [
      'accepted',
      'throttled',
      'removed',
      'queried',
      'challenged',
      'rejected',
      'too-brief',
      'bad-push-service',
      'stale',
      'upstream-timeout',
      'failed',
    ],
  }),
  outboundRegisters: counter(
    'reveille_outbound_registers_total',
    'REGISTERs that the edge has sent for accounts of its own, by answer; none: nobody answered.',
    { result: ['2xx', 'challenged', '3xx', '4xx', '5xx', '6xx', 'none'] },
  ),
  outboundRegistrations: gauge(
    'reveille_outbound_registrations',
    'Accounts the edge keeps registered at PBXs, by state; of all nodes of one store.',
    { state: ['registered', 'registering', 'rejected', 'unregistered', 'stopped'] },
  ),
  refusals: counter('reveille_refusals_total', 'Requests that were refused at the door, by why.', {
    reason: [
      'malformed',
      'hops',
      'extension',
      'uri-scheme',
      'no-such-domain',
      'domain-removed',
      'not-from-pbx',
      'unknown-contact',
      'unknown-gruu',
      'bad-flow-token',
      'foreign-flow-token',
      'not-registered',
      'loop',
      'draining',
      'push-over-clear',
      'token-users',
    ],
  }),
  bindings: gauge('reveille_bindings', 'Bindings in the store, by what a call would do with them.', {
    state: ['awake', 'asleep', 'plain', 'unpushable', 'lapsed'],
  }),
  heldInvites: gauge('reveille_held_invites', 'INVITEs and other requests that wait for a phone.', none),
  oldestHeld: gauge('reveille_oldest_held_seconds', 'Age of the request that has waited longest.', none),
  wakes: counter('reveille_wakes_total', 'Held INVITEs by how they ended and whose fault it was.', { ending, fault }),
  heldRequests: counter(
    'reveille_held_requests_total',
    'Requests for phones other than INVITE, in dialogs or not, by how they ended.',
    { method, ending },
  ),
  redirects: counter(
    'reveille_redirects_total',
    'Calls that a phone has sent elsewhere (3xx), where the edge follows (calls.redirects): followed to a user, passed to the caller because it leads elsewhere, or because it was diverted too often.',
    { outcome: ['followed', 'passed', 'too-many'] },
  ),
  mediaRelay: counter(
    'reveille_media_relay_total',
    'Questions to rtpengine (media.when), by what it was to do: done, not answered in time (silent), or refused.',
    { command: ['offer', 'answer', 'delete'], outcome: ['ok', 'silent', 'refused'] },
  ),
  messages: counter('reveille_messages_total', 'Messages taken over for phones that were away (messages.store).', {
    outcome: ['stored', 'full', 'delivered', 'refused', 'expired', 'retried'],
  }),
  pushes: counter('reveille_pushes_total', 'Pushes asked of a push service.', {
    provider,
    outcome: pushOutcome,
  }),
  pushBreakers: gauge(
    'reveille_push_breakers_open',
    'Push services that are not asked at the moment: they cannot be reached or do not work (transport), or do not accept our credentials.',
    { provider, kind: ['transport', 'credentials'] },
  ),
  pushBreakersOpened: counter('reveille_push_breakers_opened_total', 'Times a push service was given up for a while.', {
    provider,
    kind: ['transport', 'credentials'],
  }),
  pushSessions: gauge('reveille_push_sessions', 'HTTP/2 connections to a push service.', { provider }),
  pushStreams: gauge('reveille_push_streams', 'Pushes on their way to a push service.', { provider }),
  pushQueue: gauge('reveille_push_queue', 'Pushes that wait until one more may go to a push service.', { provider }),
  pushTokenAge: gauge('reveille_push_token_age_seconds', 'Age of the provider token or access token in use.', {
    provider,
    app: configured,
  }),
  pushTokenLeft: gauge(
    'reveille_push_token_left_seconds',
    'Time until the access token in use ends. A new one is due in the last quarter; below zero pushes fail.',
    { provider, app: configured },
  ),
  pushResults: counter(
    'reveille_push_results_total',
    'The same by app and reason. Apps have the names of the config, other is one that is gone; a reason that is not in the list is other.',
    {
      provider,
      app: configured,
      class: ['call', 'cancel', 'message', 'notify', 'refresh'],
      outcome: pushOutcome,
      reason: pushReasons,
    },
  ),
  pushSeconds: histogram('reveille_push_seconds', 'From a push asked for to its outcome.', seconds, {
    provider,
    app: configured,
  }),
  pushSelfTest: gauge(
    'reveille_push_credentials_good',
    '1 when the push service accepted the credentials of the app at the last check, 0 when it refused them, -1 when there was no answer (push.self_test).',
    { provider, app: configured },
  ),
  pushReloads: counter(
    'reveille_push_reloads_total',
    'Times the push services were read again; refused: something is wrong, and the old ones stay in use.',
    { result: ['accepted', 'unchanged', 'refused'] },
  ),
  pushClockAlarms: counter(
    'reveille_push_clock_alarms_total',
    'Times APNs called a fresh provider token expired: the clock of this host is wrong.',
    none,
  ),
  pushCredentialExpires: gauge(
    'reveille_push_certificate_expires_at_seconds',
    'When the first certificate of push.*.ca_file ends, in seconds since 1970. Keys of APNs and VAPID have no end.',
    { provider, app: configured },
  ),
  pushKeyAge: gauge('reveille_push_key_age_seconds', 'Age of the file of a service account.', {
    provider,
    app: configured,
  }),
  refreshPushes: counter(
    'reveille_refresh_pushes_total',
    'Pushes that ask a sleeping phone to register again before its binding ends.',
    {
      provider,
      outcome: pushOutcome,
    },
  ),
  pushTokens: counter(
    'reveille_push_tokens_total',
    'What became of push tokens: given up, suspected (dead after three suspects in a row), cleared of suspicion, found in the other environment, taken over by another address of record or device, or out of budget for VoIP or high-priority pushes.',
    {
      provider,
      event: ['dead', 'suspect', 'cleared', 'environment', 'moved', 'voip-budget', 'high-priority-budget'],
    },
  ),
  unansweredPushes: counter(
    'reveille_unanswered_pushes_total',
    'Pushes of a call that a push service accepted and no REGISTER followed while the call waited.',
    { provider },
  ),
  policyDecisions: counter(
    'reveille_push_policy_decisions_total',
    'Questions to the push policy of the operator: decided, or answered by the config because it was late, threw, decided what cannot be, or its thread was not running or had too much to do.',
    { outcome: ['decided', 'timeout', 'failed', 'invalid', 'stopped', 'busy'] },
  ),
  refreshImpossible: counter(
    'reveille_refresh_impossible_total',
    'Registrations of phones that no refresh push can reach: they have a VoIP token only and do not wake themselves.',
    none,
  ),
  inviteToPush: histogram(
    'reveille_invite_to_push_seconds',
    'From an INVITE to the push request on its way.',
    seconds,
    none,
  ),
  pushToRegister: histogram(
    'reveille_push_to_register_seconds',
    'From the push to the REGISTER of the woken phone accepted.',
    seconds,
    none,
  ),
  pushToRegisterByApp: histogram(
    'reveille_push_accepted_to_register_seconds',
    'From the push of a call accepted by its service to the REGISTER of the phone, on any node; 0 when the phone was faster.',
    seconds,
    { provider, app: configured },
  ),
  registerToInvite: histogram(
    'reveille_register_to_invite_seconds',
    'From the accepted REGISTER to the INVITE sent to the phone.',
    seconds,
    none,
  ),
  requests: counter('reveille_sip_requests_total', 'SIP requests received, by method and class of our final answer.', {
    method,
    status: statusClass,
  }),
  calls: gauge('reveille_calls', 'Calls with both sides connected.', none),
  otherNodes: gauge('reveille_other_nodes', 'Edges that share the store with this one and live.', none),
  takenOver: counter(
    'reveille_taken_over_total',
    'INVITEs a dead edge had held at a SIP engine of ours, answered by this one.',
    none,
  ),
  givenUp: counter(
    'reveille_given_up_total',
    'INVITEs this edge held when the others gave it up because it stood still; they have ended.',
    none,
  ),
  subscriptions: gauge('reveille_subscriptions', 'Subscriptions that pass through this process.', none),
  engineEvents: counter('reveille_engine_events_total', 'What the embedded SIP engine has seen; faults must stay 0.', {
    event: [
      'received',
      'sent',
      'malformed',
      'dropped',
      'retransmissions',
      'overload',
      'inDialogRefused',
      'connectionsRefused',
      'addressLimitRefused',
      'handshakesFailed',
      'handshakesLate',
      'upgradesRefused',
      'slowClosed',
      'idleClosed',
      'backlogClosed',
      'certificatesRefused',
      'controlRefused',
      'wrongSecrets',
      'appsBehind',
      'appsClosed',
      'dnsFailures',
      'failovers',
      'tcpForSize',
      'tcpFallbacks',
      'faults',
    ],
  }),
  engineObjects: gauge('reveille_engine_objects', 'What the embedded SIP engine holds now.', {
    kind: ['serverTransactions', 'clientTransactions', 'dialogs', 'connections', 'apps', 'appBacklog', 'guestCalls'],
  }),
  certificateReloads: counter(
    'reveille_certificate_reloads_total',
    'Times the certificate files were read again; refused: they were wrong, and the old ones stay in use.',
    { result: ['accepted', 'refused'] },
  ),
  certificateExpires: gauge(
    'reveille_certificate_expires_at_seconds',
    'When the certificate of the TLS and WSS listeners ends, in seconds since 1970; 0 when there is none.',
    none,
  ),
  upstreamUp: gauge(
    'reveille_upstream_up',
    '1 while at least one server of this upstream is not down (as written in the config).',
    { domain: configured, upstream: configured },
  ),
  upstreamFailovers: counter(
    'reveille_upstream_failovers_total',
    'Requests that left a server of this upstream for the next one, by why.',
    { domain: configured, upstream: configured, cause: ['timeout', 'refused', 'unreachable'] },
  ),
  controlUp: gauge('reveille_control_connection_up', '1 while the SIP engine is connected.', none),
  storeErrors: counter('reveille_store_errors_total', 'Operations the store did not carry out.', {
    operation: ['read', 'swap', 'scan', 'secret', 'shared', 'ping'],
  }),
} as const;

export type Metrics = typeof metrics;
export type MetricKey = keyof Metrics;
type KeyOf<T extends 'counter' | 'gauge' | 'histogram'> = {
  [K in MetricKey]: Metrics[K]['type'] extends T ? K : never;
}[MetricKey];
export type CounterKey = KeyOf<'counter'>;
export type GaugeKey = KeyOf<'gauge'>;
export type HistogramKey = KeyOf<'histogram'>;

/** The label names of a metric. */
export type LabelName<K extends MetricKey> = Extract<keyof Metrics[K]['labels'], string>;
/** The values one label may take. */
export type LabelValue<K extends MetricKey, N extends string> = N extends keyof Metrics[K]['labels']
  ? Metrics[K]['labels'][N] extends readonly (infer V)[]
    ? Extract<V, string>
    : never
  : never;
/** All labels of a metric, by name: what a call site writes. */
export type LabelsOf<K extends MetricKey> = { readonly [N in LabelName<K>]: LabelValue<K, N> };
/** A metric without labels takes none. */
export type LabelArguments<K extends MetricKey> = LabelName<K> extends never ? [] : [labels: LabelsOf<K>];

const knownProviders: ReadonlySet<string> = new Set(provider);
const knownReasons: ReadonlySet<string> = new Set(pushReasons);
const knownMethods: ReadonlySet<string> = new Set(method);

/** The label for a push provider; private ones share `other`. */
export function providerLabel(name: string): LabelValue<'pushes', 'provider'> {
  return knownProviders.has(name) ? (name as LabelValue<'pushes', 'provider'>) : 'other';
}

const ourReasons: readonly (readonly [RegExp, LabelValue<'pushResults', 'reason'>])[] = [
  [/^no token for class/, 'no-token'],
  [/has no word for class|must show something/, 'no-word'],
  [/^no credentials for app|has no topic/, 'no-credentials'],
  [/^(?:no access token|token endpoint)/, 'no-access-token'],
  [/^not a (?:device|registration) token/, 'not-a-token'],
  [/^payload too large/, 'too-large'],
  [/^deadline passed/, 'deadline'],
  [/^no answer/, 'no-answer'],
  [/breaker/, 'breaker'],
  [/queue|waiting/, 'queue'],
  [/^(?:not a URL|not https|credentials in the URL|an address instead|a port that|a host that|EACCES)/, 'guard'],
  [/^(?:connection|socket|E[A-Z]{4,}|UND_ERR|goaway|[A-Z]+_[A-Z_]+$)/i, 'connection'],
  [/^internal error/, 'internal'],
];

/** The label for why a push ended as it did; a service cannot make new series by inventing reasons. */
export function pushReasonLabel(reason: string): LabelValue<'pushResults', 'reason'> {
  if (knownReasons.has(reason)) return reason as LabelValue<'pushResults', 'reason'>;
  const status = /^status (\d)(\d\d)$/.exec(reason);
  if (status !== null) {
    const whole = `${status[1]}${status[2]}`;
    if (knownReasons.has(whole)) return whole as LabelValue<'pushResults', 'reason'>;
    return status[1] === '4' ? '4xx' : status[1] === '5' ? '5xx' : 'other';
  }
  return ourReasons.find(([pattern]) => pattern.test(reason))?.[1] ?? 'other';
}

/** The label for a SIP method; a peer cannot make new series by inventing methods. */
export function methodLabel(name: string): LabelValue<'requests', 'method'> {
  return knownMethods.has(name) ? (name as LabelValue<'requests', 'method'>) : 'other';
}

/** The label for a final status; `none` when no answer was sent. */
export function statusLabel(status: number | undefined): LabelValue<'requests', 'status'> {
  switch (status === undefined ? 0 : Math.floor(status / 100)) {
    case 1:
      return '1xx';
    case 2:
      return '2xx';
    case 3:
      return '3xx';
    case 4:
      return '4xx';
    case 5:
      return '5xx';
    case 6:
      return '6xx';
    default:
      return 'none';
  }
}
