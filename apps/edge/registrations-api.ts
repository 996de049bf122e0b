/**
 * The routes of the HTTP API about registrations: the list, accounts the edge registers with, phones that are known by it alone.
 * No answer ever holds a password or a push token.
 */
import { z } from 'zod';
import { type ApiAnswer, type ApiRequest, type ApiRoute, wrong } from '../../lib/adapters/http/api.ts';
import type { Account, NewAccount } from '../../lib/behalf/accounts.ts';
import { type ListingDeps, listRegistrations } from '../../lib/behalf/listing.ts';
import { type PhonesDeps, putPhone, removePhone } from '../../lib/behalf/phones.ts';
import type { Wish } from '../../lib/behalf/registrations.ts';
import type { Aor } from '../../lib/core/binding.ts';
import { aorOf } from '../../lib/sip/aor.ts';

export interface RegistrationsApiDeps extends ListingDeps {
  readonly phones: PhonesDeps;
  /** whether accounts of this AOR would be served: its domain is one of ours */
  readonly serves: (aor: Aor) => boolean;
  /** bindings by state as last counted; undefined: not yet */
  readonly counted: () => Readonly<Record<string, number>> | undefined;
}

const plainName = z.string().regex(/^[^\s@:"<>\0]{1,128}$/, 'a user name without spaces, @ or colon');
const password = z.string().regex(/^[^\0\r\n]{1,4096}$/, 'a password of 1 to 4096 characters');
const accountBody = z.strictObject({
  password,
  user: plainName.optional(),
  auth_user: plainName.optional(),
  registrar: z
    .string()
    .regex(/^(?=.{1,253}$)[A-Za-z0-9_.:-]+$/, 'a host name or an IP address')
    .optional(),
  realm: z
    .string()
    .regex(/^[^"\\\0\r\n]{1,128}$/, 'text without quotes, 1 to 128 characters')
    .optional(),
  expires: z.int().min(60).max(604_800).optional(),
  phone_password: password.optional(),
});
const token = (longest: number) =>
  z.string().regex(new RegExp(`^[!-~]{1,${longest}}$`), 'printable text without spaces');
const phoneBody = z.strictObject({
  provider: token(64),
  param: token(512).optional(),
  prid: token(4096),
  instance_id: z
    .string()
    .regex(/^urn:[A-Za-z0-9:._-]{1,200}$/, 'a URN such as urn:uuid:...')
    .optional(),
});
const withAor = <T extends z.ZodRawShape>(body: z.ZodObject<T>) => body.extend({ aor: z.string() });

const states = [
  'registered',
  'registering',
  'rejected',
  'unregistered',
  'stopped',
  'awake',
  'asleep',
  'plain',
  'unpushable',
];
const wishes: readonly Wish[] = ['register', 'start', 'stop'];

export function registrationsRoutes(deps: RegistrationsApiDeps): readonly ApiRoute[] {
  const { accounts, registrations } = deps;
  const forAor = (handle: (aor: Aor, request: ApiRequest) => Promise<ApiAnswer>) => async (request: ApiRequest) => {
    const aor = readAor(request.params['aor'] ?? '');
    return aor === undefined ? wrong(400, expectedAor) : handle(aor, request);
  };
  const account = async (aor: Aor): Promise<ApiAnswer> => {
    const found = await accounts.read(aor);
    return found === undefined ? wrong(404, `${aor} has no account here.`) : { status: 200, body: shown(found) };
  };
  const put = async (aor: Aor, body: z.output<typeof accountBody>, only: 'new' | 'any'): Promise<ApiAnswer> => {
    if (!deps.serves(aor)) return wrong(404, `No domain of this edge serves ${aor}.`);
    const done = await accounts.put(aor, newAccount(aor, body), only);
    if (typeof done === 'object') return wrong(409, `${done.why}.`);
    await registrations.changed(aor);
    const { body: row } = await account(aor);
    return { status: done === 'created' ? 201 : 200, body: row };
  };
  const phone = async (aor: Aor, { provider, param, prid, instance_id: instanceId }: z.output<typeof phoneBody>) => {
    if (!deps.serves(aor)) return wrong(404, `No domain of this edge serves ${aor}.`);
    const done = await putPhone(aor, { provider, param, prid, instanceId }, deps.phones);
    if (done.is === 'refused') return wrong(422, `${done.why}.`);
    return { status: done.is === 'created' ? 201 : 200, body: { aor, device: done.id, provisioned: true } };
  };
  return [
    {
      method: 'GET',
      path: '/registrations',
      does: 'registrations at PBXs (outbound) and of phones (inbound): ?direction, state, domain, aor, limit, cursor',
      handle: ({ query }) => list(query, deps),
    },
    {
      method: 'GET',
      path: '/registrations/:aor',
      does: 'those of one AOR',
      handle: forAor(async (aor) => {
        const query = { direction: 'both', state: undefined, domain: undefined, aor, limit: 100, cursor: '' } as const;
        const { outbound, inbound } = await listRegistrations(query, deps);
        if (outbound.length + inbound.length === 0)
          return wrong(404, `${aor} has neither an account nor a phone here.`);
        return { status: 200, body: { outbound, inbound } };
      }),
    },
    {
      method: 'POST',
      path: '/registrations/:aor/:wish',
      does: 'register an account now, stop it (and de-register), start it again: register, stop, start',
      handle: forAor(async (aor, { params }) => {
        const wish = wishes.find((each) => each === params['wish']);
        if (wish === undefined) return wrong(404, `Expected ${wishes.join(', ')}, found "${params['wish'] ?? ''}".`);
        const kept = await registrations.wish(aor, wish);
        if (kept === undefined) return wrong(404, `${aor} has no account here.`);
        return { status: 202, body: { aor, state: kept.one.state } };
      }),
    },
    {
      method: 'POST',
      path: '/registrations',
      does: 'register every account anew, at on_behalf.registrations_per_second: {"all": true}',
      handle: async ({ body }) => {
        if (!z.strictObject({ all: z.literal(true) }).safeParse(body).success)
          return wrong(400, 'Expected {"all": true}.');
        return {
          status: 202,
          body: { registering: await registrations.renewAll(undefined, Number.POSITIVE_INFINITY) },
        };
      },
    },
    { method: 'GET', path: '/accounts/:aor', does: 'an account, without its passwords', handle: forAor(account) },
    {
      method: 'POST',
      path: '/accounts',
      does: 'a new account: {aor, password, user, auth_user, registrar, realm, expires, phone_password}',
      handle: ({ body }) =>
        reading(withAor(accountBody), body, async ({ aor, ...rest }) => {
          const named = readAor(aor);
          return named === undefined ? wrong(400, expectedAor) : put(named, rest, 'new');
        }),
    },
    {
      method: 'PUT',
      path: '/accounts/:aor',
      does: 'a new or changed account; what is left out has its default',
      handle: forAor((aor, { body }) => reading(accountBody, body, (read) => put(aor, read, 'any'))),
    },
    {
      method: 'DELETE',
      path: '/accounts/:aor',
      does: 'de-registers an account at its PBX and forgets it',
      handle: forAor(async (aor) => {
        const found = await accounts.read(aor);
        if (found === undefined) return wrong(404, `${aor} has no account here.`);
        if (found.source === 'config') return wrong(409, `${aor} is an account of the configuration.`);
        await accounts.remove(aor);
        const registration = await registrations.remove(found);
        return { status: 200, body: { aor, removed: true, registration } };
      }),
    },
    {
      method: 'POST',
      path: '/phones',
      does: 'a phone that need not register: {aor, provider, param, prid, instance_id}',
      handle: ({ body }) =>
        reading(withAor(phoneBody), body, async ({ aor, ...rest }) => {
          const named = readAor(aor);
          return named === undefined ? wrong(400, expectedAor) : phone(named, rest as z.output<typeof phoneBody>);
        }),
    },
    {
      method: 'PUT',
      path: '/phones/:aor',
      does: 'the same; a phone with this prid or instance_id is changed',
      handle: forAor((aor, { body }) => reading(phoneBody, body, (read) => phone(aor, read))),
    },
    {
      method: 'DELETE',
      path: '/phones/:aor/:device',
      does: 'takes away one phone, registered or not',
      handle: forAor(async (aor, { params }) => {
        const device = params['device'] ?? '';
        const gone = await removePhone(aor, device, deps.phones);
        return gone ? { status: 200, body: { aor, device, removed: true } } : wrong(404, `${aor} has no such phone.`);
      }),
    },
  ];
}

const expectedAor = 'Expected an AOR such as alice@example.com.';

function readAor(text: string): Aor | undefined {
  return text.length > 255 || !/^[^@\s]+@[^@\s]+$/.test(text) ? undefined : aorOf(`sip:${text}`);
}

function userOf(aor: Aor, { user }: { readonly user?: string | undefined }): string {
  return user ?? aor.slice(0, aor.lastIndexOf('@'));
}

function hostOf(aor: Aor, { registrar }: { readonly registrar?: string | undefined }): string {
  return registrar ?? aor.slice(aor.lastIndexOf('@') + 1);
}

function newAccount(aor: Aor, body: z.output<typeof accountBody>): NewAccount {
  const user = userOf(aor, body);
  return {
    user,
    authUser: body.auth_user ?? user,
    registrar: hostOf(aor, body),
    ...(body.realm === undefined ? {} : { realm: body.realm }),
    ...(body.expires === undefined ? {} : { expires: body.expires }),
    password: body.password,
    ...(body.phone_password === undefined ? {} : { phonePassword: body.phone_password }),
  };
}

function shown({ aor, user, authUser, registrar, realm, expires, source, ownPhonePassword, open }: Account): object {
  const opened = open();
  return {
    aor,
    user,
    auth_user: authUser,
    registrar,
    realm: realm ?? null,
    expires: expires ?? null,
    source,
    own_phone_password: ownPhonePassword,
    ...(opened.is === 'locked' ? { problem: opened.why } : {}),
  };
}

/** What is wrong is said by key; a value is never shown, it may be a password. */
async function reading<T>(
  schema: z.ZodType<T>,
  body: unknown,
  handle: (read: T) => Promise<ApiAnswer>,
): Promise<ApiAnswer> {
  const read = schema.safeParse(body);
  if (!read.success) {
    const said = read.error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`);
    return wrong(400, said.join('; '));
  }
  return handle(read.data);
}

async function list(query: URLSearchParams, deps: RegistrationsApiDeps): Promise<ApiAnswer> {
  const known = new Set(['direction', 'state', 'domain', 'aor', 'limit', 'cursor']);
  const unknown = [...query.keys()].find((name) => !known.has(name));
  if (unknown !== undefined) return wrong(400, `Expected one of ${[...known].join(', ')}, found "${unknown}".`);
  const direction = query.get('direction') ?? 'both';
  if (direction !== 'both' && direction !== 'inbound' && direction !== 'outbound')
    return wrong(400, `direction: expected inbound, outbound or both, found "${direction}".`);
  const state = query.get('state') ?? undefined;
  if (state !== undefined && !states.includes(state))
    return wrong(400, `state: expected one of ${states.join(', ')}, found "${state}".`);
  const limit = Number(query.get('limit') ?? 100);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) return wrong(400, 'limit: expected 1 to 1000.');
  const given = query.get('aor');
  const aor = given === null ? undefined : readAor(given);
  if (given !== null && aor === undefined) return wrong(400, expectedAor);
  const domain = query.get('domain') ?? undefined;
  const cursor = query.get('cursor') ?? '';
  const page = await listRegistrations({ direction, state, domain, aor, limit, cursor }, deps);
  const isAll = [...query.keys()].every((name) => name === 'limit') && page.next === undefined;
  // what was counted some seconds ago would contradict a list that shows everything
  const totals = isAll
    ? {
        outbound: countStates(page.outbound, noOutbound),
        // who is registered no more is in no list
        inbound: countStates(page.inbound, { ...noInbound, lapsed: deps.counted()?.lapsed ?? 0 }),
      }
    : { outbound: await deps.registrations.count(), inbound: deps.counted() ?? null };
  return { status: 200, body: { outbound: page.outbound, inbound: page.inbound, totals, next: page.next ?? null } };
}

const noOutbound = { registered: 0, registering: 0, rejected: 0, unregistered: 0, stopped: 0 };
const noInbound = { awake: 0, asleep: 0, plain: 0, unpushable: 0 };

/** Every state is told, those of nobody with 0. */
function countStates(
  rows: readonly { readonly state: string }[],
  none: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const counts: Record<string, number> = { ...none };
  for (const { state } of rows) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
