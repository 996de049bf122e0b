/** The routes of the HTTP API (/api/v1/push) by which an operator checks credentials and pushes one phone. No answer has a token in it. */
import { randomUUID } from 'node:crypto';
import type { ApiAnswer, ApiRoute } from '../../lib/adapters/http/api.ts';
import type { PushRecord, PushToken } from '../../lib/core/binding.ts';
import { liveBindings } from '../../lib/core/binding-set.ts';
import type { PushClass } from '../../lib/core/push-class.ts';
import type { Clock } from '../../lib/ports/clock.ts';
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { PushOutcome, PushRequest, PushService } from '../../lib/ports/push-service.ts';
import { aorOf } from '../../lib/sip/aor.ts';
import { pushHints } from '../../lib/sip/push-hints.ts';
import { pridHash } from '../../lib/telemetry/log-fields.ts';
import type { PushServices } from './push-services.ts';
import type { PushWatch } from './push-watch.ts';

export interface PushApiDeps {
  readonly watch: PushWatch;
  readonly services: PushServices;
  readonly push: PushService;
  readonly store: LocationStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly deadlineMs: number;
}

type Fields = Readonly<Record<string, unknown>>;

const classes: readonly PushClass[] = ['call', 'cancel', 'message', 'notify', 'refresh'];
const kinds: readonly PushToken['kind'][] = ['voip', 'alert', 'fcm', 'webpush', 'webhook'];
/** What a test call may last, ms. */
const wakeMs = 30_000;

export function pushRoutes(deps: PushApiDeps): readonly ApiRoute[] {
  return [
    {
      method: 'POST',
      path: '/push/test',
      does: 'asks each push service whether its credentials are good, without waking a phone; {"app": NAME} asks one',
      handle: async ({ body }) => {
        const app = textOf(fieldsOf(body)['app']);
        const known = deps.services.checks();
        if (app !== undefined && !known.some((one) => one.app === app))
          return complain(404, `No push app is named ${app}; there are ${nameList(known)}.`);
        const apps = await deps.watch.check(app);
        return { status: 200, body: { good: apps.every(({ result }) => result.is === 'good'), apps } };
      },
    },
    {
      method: 'POST',
      path: '/push/reload',
      does: 'reads the push section of the config and its files again',
      handle: async () => {
        await deps.watch.reload();
        return { status: 200, body: { apps: nameList(deps.services.checks()) } };
      },
    },
    {
      method: 'POST',
      path: '/push/send',
      does: 'pushes one phone: {"aor"} and perhaps {"binding"}, or {"app", "kind", "token"}; "class", and "ring": true for a VoIP token',
      handle: ({ body }) => send(fieldsOf(body), deps),
    },
  ];
}

interface Target {
  readonly app: string;
  readonly push: Pick<PushRecord, 'environment' | 'param' | 'tokens'>;
  readonly about: Partial<PushRequest>;
  /** how the target is called in the answer */
  readonly binding?: string;
}

async function send(fields: Fields, deps: PushApiDeps): Promise<ApiAnswer> {
  const pushClass = classes.find((one) => one === (fields['class'] ?? 'refresh'));
  if (pushClass === undefined) return complain(400, `class: expected one of ${classes.join(', ')}, found another.`);
  const found = textOf(fields['token']) === undefined ? await storedTargets(fields, deps) : givenTarget(fields, deps);
  if ('status' in found) return found;
  const rings = found.filter(({ push }) => pushClass === 'call' && push.tokens.some(({ kind }) => kind === 'voip'));
  if (rings.length > 0 && fields['ring'] !== true)
    return complain(409, 'That is a VoIP token: the phone will ring. Say so with "ring": true (--ring).');
  const sent = await Promise.all(found.map((target) => pushOne(target, pushClass, deps)));
  return { status: 200, body: { accepted: sent.every(({ outcome }) => outcome === 'accepted'), pushes: sent } };
}

interface Sent {
  readonly app: string;
  readonly binding?: string;
  readonly class: PushClass;
  readonly token: string;
  readonly outcome: PushOutcome['is'];
  readonly reason?: string;
  readonly ms: number;
}

async function pushOne(
  { app, push, about, binding }: Target,
  pushClass: PushClass,
  { push: service, clock, log, deadlineMs }: PushApiDeps,
): Promise<Sent> {
  const now = clock.now();
  const outcome = await service.push(
    {
      ...{ app, class: pushClass, environment: push.environment, param: push.param, tokens: push.tokens },
      ...(pushClass === 'cancel' ? { reason: 'caller-cancelled' as const } : {}),
      instanceId: undefined,
      callId: `test-${randomUUID()}`,
      from: { uri: 'sip:reveille@invalid', display: 'Reveille' },
      to: '',
      hasVideo: false,
      deadline: now + deadlineMs,
      wakeUntil: now + wakeMs,
      ...about,
    },
    new AbortController().signal,
  );
  const token = pridHash(push.tokens[0]?.token ?? '');
  const reason = 'reason' in outcome ? outcome.reason : undefined;
  log.info({ app, bindingId: binding, kind: pushClass, pridHash: token, outcome: outcome.is, reason }, 'test push');
  return {
    app,
    ...(binding === undefined ? {} : { binding }),
    class: pushClass,
    token: `sha256:${token}`,
    outcome: outcome.is,
    ...(reason === undefined ? {} : { reason }),
    ms: Math.round(clock.now() - now),
  };
}

async function storedTargets(fields: Fields, { store, clock }: PushApiDeps): Promise<readonly Target[] | ApiAnswer> {
  const asked = textOf(fields['aor']);
  const aor = asked === undefined ? undefined : aorOf(/^sips?:/i.test(asked) ? asked : `sip:${asked}`);
  if (aor === undefined) return complain(400, 'aor: expected user@domain (or app, kind and token), found none.');
  const id = textOf(fields['binding']);
  const live = liveBindings((await store.read(aor)).bindings, clock.now());
  const pushable = live.filter((one) => one.push !== undefined && (id === undefined || one.id === id));
  if (pushable.length === 0)
    return complain(
      404,
      `No phone of that user can be pushed (${live.length} registered); GET /api/v1 lists what shows them.`,
    );
  return pushable.flatMap((binding): readonly Target[] => {
    const { push } = binding;
    if (push === undefined) return [];
    const about = { instanceId: binding.instanceId, hints: pushHints(binding.contact), to: `sip:${binding.aor}` };
    return [{ app: push.app, push, about, binding: binding.id }];
  });
}

function givenTarget(fields: Fields, { services }: PushApiDeps): readonly Target[] | ApiAnswer {
  const [app, token] = [textOf(fields['app']), textOf(fields['token'])];
  const kind = kinds.find((one) => one === fields['kind']);
  const checks = services.checks();
  const known = checks.find((one) => one.app === app);
  if (app === undefined || known === undefined)
    return complain(400, `app: expected one of ${nameList(checks)}, found ${app ?? 'none'}.`);
  if (kind === undefined || token === undefined) return complain(400, `kind: expected one of ${kinds.join(', ')}.`);
  const environment = fields['environment'] === 'sandbox' ? 'sandbox' : undefined;
  // APNs finds the topic in it; `about` of its check ends with the bundle
  const bundle = known.about.split(' ').at(-1) ?? '';
  const param = textOf(fields['param']) ?? (known.provider === 'apns' ? `.${bundle}` : undefined);
  return [{ app, push: { environment, param, tokens: [{ kind, token }] }, about: {} }];
}

function fieldsOf(body: unknown): Fields {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Fields) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function nameList(known: readonly { readonly app: string }[]): string {
  const names = [...new Set(known.map(({ app }) => app))];
  return names.length === 0 ? 'none' : names.join(', ');
}

function complain(status: number, error: string): ApiAnswer {
  return { status, body: { error } };
}
