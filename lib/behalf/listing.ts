/** What operators see of registrations: those of accounts at PBXs (outbound) and those of phones here (inbound), in pages. */
import type { Aor, Binding } from '../core/binding.ts';
import { liveBindings } from '../core/binding-set.ts';
import type { OutboundRegistration, OutboundState } from '../core/outbound-registration.ts';
import type { LocationStore } from '../ports/location-store.ts';
import { type Account, type Accounts, namesOf } from './accounts.ts';
import type { Kept } from './kept.ts';
import type { Registrations } from './registrations.ts';

/** Times in ISO 8601; what is not known or not planned is null. */
export interface OutboundRow {
  readonly aor: Aor;
  readonly user: string;
  readonly authUser: string;
  readonly host: string;
  readonly source: Account['source'];
  readonly state: OutboundState;
  /** seconds until the PBX forgets it */
  readonly expires: number | null;
  readonly lastRegistration: string | null;
  readonly lastAttempt: string | null;
  readonly nextRegistration: string | null;
  readonly failures: number;
  readonly lastFailure: { readonly at: string; readonly status: number; readonly reason: string } | null;
  readonly serviceRoute: readonly string[];
  readonly path: readonly string[];
}

export interface InboundRow {
  readonly aor: Aor;
  readonly device: string;
  readonly instanceId: string | null;
  readonly push: string | null;
  readonly app: string | null;
  readonly state: InboundState;
  readonly provisioned: boolean;
  readonly expires: number;
  readonly upstreamExpires: number | null;
  readonly transport: string | null;
  readonly remote: string | null;
  readonly userAgent: string | null;
  readonly lastRegistration: string;
}

export type InboundState = 'awake' | 'asleep' | 'plain' | 'unpushable';

export interface ListQuery {
  readonly direction: 'outbound' | 'inbound' | 'both';
  readonly state: string | undefined;
  readonly domain: string | undefined;
  readonly aor: Aor | undefined;
  readonly limit: number;
  /** '' begins */
  readonly cursor: string;
}

export interface ListPage {
  readonly outbound: readonly OutboundRow[];
  readonly inbound: readonly InboundRow[];
  /** undefined: that was all. A page may be short or empty and have a next one all the same. */
  readonly next: string | undefined;
}

export interface ListingDeps {
  readonly accounts: Accounts;
  readonly registrations: Registrations;
  readonly store: LocationStore;
  readonly now: () => number;
  /** whether a call would try the flow before a push */
  readonly isAwake: (binding: Binding) => boolean;
}

/** So many AORs are read for one page at most, however few of them fit: nobody else waits for a list. */
const mostRead = 1000;
const stepSize = 100;

export async function listRegistrations(query: ListQuery, deps: ListingDeps): Promise<ListPage> {
  const outbound: OutboundRow[] = [];
  const inbound: InboundRow[] = [];
  const { direction, aor, limit } = query;
  if (aor !== undefined) {
    if (direction !== 'inbound') {
      const account = await deps.accounts.read(aor);
      const kept = account === undefined ? await deps.registrations.read(aor) : undefined;
      if (account !== undefined) outbound.push(...(await outboundRows([account], query, deps)));
      else if (kept !== undefined) outbound.push(...leavingRows([[aor, kept]], query, deps));
    }
    if (direction !== 'outbound') inbound.push(...(await inboundRows(aor, query, deps)));
    return { outbound, inbound, next: undefined };
  }
  let read = 0;
  let at = placeOf(query);
  while (at !== undefined && read < mostRead && outbound.length + inbound.length < limit) {
    const room = Math.min(stepSize, limit - outbound.length - inbound.length);
    const { in: stage, cursor } = at;
    let next: string | undefined;
    if (stage === 'config') {
      const all = [...deps.accounts.configured.values()];
      const from = Number(cursor) || 0;
      const some = all.slice(from, from + room);
      read += some.length;
      outbound.push(...(await outboundRows(some, query, deps)));
      next = from + room < all.length ? String(from + room) : undefined;
    } else if (stage === 'api') {
      const page = await deps.accounts.scan(cursor, room);
      read += page.accounts.length;
      outbound.push(...(await outboundRows(page.accounts, query, deps)));
      next = page.next;
    } else if (stage === 'leaving') {
      const page = await deps.registrations.scan(cursor, room);
      read += page.found.length;
      outbound.push(...leavingRows(page.found, query, deps));
      next = page.next;
    } else {
      const page = await deps.store.scan(cursor, room);
      read += Math.max(1, page.aors.length);
      const rows = await Promise.all(page.aors.map((each) => inboundRows(each, query, deps)));
      inbound.push(...rows.flat());
      next = page.next;
    }
    at = next === undefined ? after(stage, direction) : { in: stage, cursor: next };
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return { outbound, inbound, next: at === undefined ? undefined : `${at.in}:${at.cursor}` };
}

interface Place {
  readonly in: 'config' | 'api' | 'leaving' | 'phones';
  readonly cursor: string;
}

function placeOf({ cursor, direction }: ListQuery): Place | undefined {
  const [, stage, rest = ''] = /^(config|api|leaving|phones):(.*)$/s.exec(cursor) ?? [];
  if (stage !== undefined) return { in: stage as Place['in'], cursor: rest };
  return direction === 'inbound' ? { in: 'phones', cursor: '' } : { in: 'config', cursor: '0' };
}

function after(stage: Place['in'], direction: ListQuery['direction']): Place | undefined {
  if (stage === 'config') return { in: 'api', cursor: '' };
  if (stage === 'api') return { in: 'leaving', cursor: '' };
  return stage === 'leaving' && direction === 'both' ? { in: 'phones', cursor: '' } : undefined;
}

function isIn(aor: Aor, domain: string | undefined): boolean {
  return domain === undefined || aor.slice(aor.lastIndexOf('@') + 1) === domain.toLowerCase();
}

async function outboundRows(
  accounts: readonly Account[],
  { state, domain }: ListQuery,
  deps: ListingDeps,
): Promise<readonly OutboundRow[]> {
  const rows = await Promise.all(
    accounts.filter(({ aor }) => isIn(aor, domain)).map((account) => outboundRow(account, deps)),
  );
  return rows.filter((row) => state === undefined || row.state === state);
}

/** Of accounts that are gone, while their registrations are taken back. */
function leavingRows(
  found: readonly (readonly [Aor, Kept, ...unknown[]])[],
  { state, domain }: ListQuery,
  { accounts, now }: ListingDeps,
): readonly OutboundRow[] {
  return found
    .filter(([aor]) => isIn(aor, domain) && !accounts.has(aor))
    .map(([aor, kept]) => {
      const former = {
        aor,
        source: 'removed',
        ...namesOf(kept.identity),
        authUser: kept.login?.authUser ?? '',
      } as const;
      return rowOf(former, { ...kept.one, state: 'stopped' }, now());
    })
    .filter((row) => state === undefined || row.state === state);
}

async function outboundRow(account: Account, { registrations, now }: ListingDeps): Promise<OutboundRow> {
  return rowOf(account, (await registrations.read(account.aor))?.one, now());
}

function rowOf(
  account: Pick<Account, 'aor' | 'user' | 'authUser' | 'registrar' | 'source'>,
  one: OutboundRegistration | undefined,
  now: number,
): OutboundRow {
  const left = one?.expiresAt === undefined ? undefined : Math.round((one.expiresAt - now) / 1000);
  const failure = one?.failure;
  return {
    aor: account.aor,
    user: account.user,
    authUser: account.authUser,
    host: account.registrar,
    source: account.source,
    state: one?.state ?? 'unregistered',
    expires: left === undefined || left <= 0 ? null : left,
    lastRegistration: timeOf(one?.registeredAt),
    lastAttempt: timeOf(one?.triedAt),
    nextRegistration: timeOf(one?.nextAt),
    failures: one?.failures ?? 0,
    lastFailure:
      failure === undefined ? null : { at: timeOf(failure.at) ?? '', status: failure.status, reason: failure.reason },
    serviceRoute: one?.serviceRoute ?? [],
    path: one?.path ?? [],
  };
}

async function inboundRows(
  aor: Aor,
  { state, domain }: ListQuery,
  { store, now, isAwake }: ListingDeps,
): Promise<readonly InboundRow[]> {
  if (!isIn(aor, domain)) return [];
  return liveBindings((await store.read(aor)).bindings, now())
    .map((binding): InboundRow => {
      const { push, flow, upstreamExpiresAt } = binding;
      const reached = flow.engine !== 'none';
      const seconds = (until: number): number => Math.max(0, Math.round((until - now()) / 1000));
      return {
        aor,
        device: binding.id,
        instanceId: binding.instanceId ?? null,
        push: push?.provider ?? null,
        app: push?.app ?? null,
        state:
          push === undefined
            ? 'plain'
            : push.deadSince !== undefined
              ? 'unpushable'
              : isAwake(binding)
                ? 'awake'
                : 'asleep',
        provisioned: binding.provisioned === true,
        expires: seconds(binding.expiresAt),
        upstreamExpires: upstreamExpiresAt === undefined ? null : seconds(upstreamExpiresAt),
        transport: reached ? flow.transport : null,
        remote: reached ? `${flow.address}:${flow.port}` : null,
        userAgent: binding.userAgent ?? null,
        lastRegistration: timeOf(binding.registeredAt) ?? '',
      };
    })
    .filter((row) => state === undefined || row.state === state);
}

function timeOf(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
