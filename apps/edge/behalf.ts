/** Registration on behalf, put together: accounts, the keeper of their registrations, and what the rest of the edge asks of them. */
import type { Config } from '../../lib/config/load.ts';
import { openSecretKeys } from '../../lib/config/secret-keys.ts';
import { type Account, Accounts } from '../../lib/behalf/accounts.ts';
import type { Login } from '../../lib/behalf/credentials.ts';
import { identityOf } from '../../lib/behalf/register-request.ts';
import { Registrations } from '../../lib/behalf/registrations.ts';
import type { Aor } from '../../lib/core/binding.ts';
import { ha1 } from '../../lib/core/digest.ts';
import type { DigestSecrets } from '../../lib/core/domain.ts';
import { sealingKey } from '../../lib/core/sealed-secret.ts';
import type { Agenda } from '../../lib/ports/agenda.ts';
import type { Client } from '../../lib/ports/client.ts';
import type { Clock } from '../../lib/ports/clock.ts';
import type { Ids } from '../../lib/ports/ids.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Records } from '../../lib/ports/records.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import { hostOf } from '../../lib/sip/flow.ts';
import { parseNameAddr } from '../../lib/sip/name-addr.ts';
import { findParam, parseUri } from '../../lib/sip/uri.ts';
import { domainFor, domainOf, type KnownDomain } from './middleware/classify.ts';
import { entriesOf } from './upstreams.ts';

export interface BehalfDeps {
  readonly records: Records;
  readonly registrations: Agenda;
  readonly client: Client;
  readonly clock: Clock;
  readonly precise: () => number;
  readonly ids: Ids;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** secret of all nodes */
  readonly secret: string;
  readonly contactKey: Buffer;
  readonly domains: readonly KnownDomain[];
}

export interface Behalf {
  readonly accounts: Accounts;
  readonly registrations: Registrations;
  hasAccount(aor: Aor): boolean;
  /** HA1s a phone of an account proves itself with */
  accountSecret(aor: Aor, realm: string): Promise<DigestSecrets | undefined>;
  loginOf(aor: Aor): Promise<Login | undefined>;
  /** Accounts as the config has them now. Never rejects. */
  reload(reread: () => Config): Promise<void>;
  close(): Promise<void>;
}

const countEveryMs = 30_000;

/** Throws EDGE_CONFIG_INVALID when a key cannot be used. */
export function openBehalf(config: Config, deps: BehalfDeps): Behalf {
  const { records, ids, log, telemetry, secret, domains } = deps;
  const keys = openSecretKeys(config).map(sealingKey);
  const accounts = new Accounts({ records, ids, log, configured: configuredAccounts(config), keys, secret });
  const { onBehalf } = config;
  const registrations = new Registrations({
    ...deps,
    accounts,
    agenda: deps.registrations,
    chance: Math.random,
    node: ids.hex(6),
    wayOf: (aor) => {
      const known = domainOf(domains, hostOfAor(aor));
      if (known === undefined) return undefined;
      const { upstream, edgeHost } = known.domain;
      return { nextHop: upstream, edgeHost };
    },
    policy: {
      expires: onBehalf.expires,
      refreshLeadSeconds: onBehalf.refreshLeadSeconds,
      refreshSpread: onBehalf.refreshSpreadPercent / 100,
      retrySeconds: onBehalf.retryInterval,
      retrySpread: onBehalf.retrySpreadPercent / 100,
      maxRetries: onBehalf.maxRetries,
      forbiddenRetrySeconds: onBehalf.forbiddenRetryInterval,
      fatalRetrySeconds: onBehalf.fatalRetryInterval,
      authRejectionPermanent: onBehalf.authRejectionPermanent,
      perSecond: onBehalf.registrationsPerSecond,
      answerMs: onBehalf.answerSeconds * 1000,
      renewAfterOutage: onBehalf.renewAfterOutage,
      deregisterOnStop: onBehalf.deregisterOnStop,
    },
  });
  registrations.start();
  const count = async (): Promise<void> => {
    const totals = await registrations.count().catch(() => undefined);
    if (totals !== undefined)
      for (const state of ['registered', 'registering', 'rejected', 'unregistered', 'stopped'] as const)
        telemetry.gauge('outboundRegistrations', totals[state], { state });
  };
  void count();
  const counting = setInterval(() => void count(), countEveryMs).unref();
  return {
    accounts,
    registrations,
    hasAccount: (aor) => accounts.has(aor),
    accountSecret: async (aor, realm) => {
      const account = await accounts.read(aor);
      const opened = account?.open();
      if (opened === undefined) return undefined;
      if (opened.is === 'locked') {
        log.error({ aor, reason: opened.why }, 'account cannot be used');
        return undefined;
      }
      const user = aor.slice(0, aor.lastIndexOf('@'));
      const secretIn = (algorithm: 'MD5' | 'SHA-256'): string => ha1(user, realm, opened.phonePassword, algorithm);
      return { md5: secretIn('MD5'), sha256: secretIn('SHA-256') };
    },
    loginOf: async (aor) => {
      const account = await accounts.read(aor);
      const opened = account?.open();
      if (account === undefined || opened?.is !== 'open') return undefined;
      return {
        identity: identityOf(account),
        domain: hostOfAor(aor),
        registrar: hostOf(account.registrar),
        user: account.authUser,
        password: opened.password,
        realm: account.realm,
        ...alongServiceRoute((await registrations.read(aor))?.one.serviceRoute ?? [], hostOfAor(aor), config),
        hex: ids.hex,
      };
    },
    reload: async (reread) => {
      try {
        const configured = configuredAccounts(reread());
        // domains are those of the start
        const served = [...configured].filter(([aor]) => servesAccount(aor, domains));
        if (served.length < configured.size)
          log.warn({ count: configured.size - served.length }, 'accounts of new domains need a restart of the edge');
        await registrations.reconfigure(new Map(served));
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        log.error({ reason }, 'the accounts could not be read again; the old ones stay in use');
      }
    },
    close: async () => {
      clearInterval(counting);
      await registrations.stop();
    },
  };
}

/** Whether accounts may be provisioned for this AOR, and how it is served then. */
export function servesAccount(aor: Aor, domains: readonly KnownDomain[]): boolean {
  const known = domainOf(domains, hostOfAor(aor));
  return known !== undefined && domainFor(known, aor, { hasAccount: () => true }).registration === 'on-behalf';
}

function hostOfAor(aor: Aor): string {
  return aor.slice(aor.lastIndexOf('@') + 1);
}

function configuredAccounts({ domains }: Config): ReadonlyMap<Aor, Account> {
  const accounts = domains.flatMap((domain) =>
    domain.accounts.map((each): [Aor, Account] => {
      const aor = `${each.name}@${domain.name}`;
      const user = each.user ?? each.name;
      const phone = each.phonePassword ?? each.password;
      return [
        aor,
        {
          aor,
          user,
          authUser: each.authUser ?? user,
          registrar: each.registrar ?? domain.name,
          ...(each.realm === undefined ? {} : { realm: each.realm }),
          ...(each.expires === undefined ? {} : { expires: each.expires }),
          ownPhonePassword: each.phonePassword !== undefined,
          source: 'config',
          open: () => ({ is: 'open', password: each.password.reveal(), phonePassword: phone.reveal() }),
        },
      ];
    }),
  );
  return new Map(accounts);
}

/** An outbound proxy comes before a Service-Route, and reads where it goes on; one that cannot be read is none. */
export function alongServiceRoute(
  routes: readonly string[],
  name: string,
  { domains }: Pick<Config, 'domains'>,
): Pick<Login, 'routes' | 'firstHop'> {
  const firstHop = firstHopOf(routes[0]);
  if (firstHop === undefined) return { routes: [], firstHop };
  const domain = domains.find((one) => one.name === name) ?? domains.find((one) => one.name === '*');
  const isBehindProxy = domain !== undefined && entriesOf(domain).some(({ outboundProxy }) => outboundProxy);
  return { routes, firstHop: isBehindProxy ? undefined : firstHop };
}

/** Where a Service-Route begins, as a next hop. */
function firstHopOf(route: string | undefined): string | undefined {
  const uri = parseUri(parseNameAddr(route ?? '')?.uri ?? '');
  if (uri === undefined) return undefined;
  const named = findParam(uri.params, 'transport')?.value?.toLowerCase();
  const transport = named ?? (uri.scheme === 'sips' ? 'tls' : undefined);
  return `sip:${uri.host}${uri.port === undefined ? '' : `:${uri.port}`}${transport === undefined ? '' : `;transport=${transport}`}`;
}
