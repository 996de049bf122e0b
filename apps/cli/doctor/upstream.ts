/** Looks at every server of the PBX of one domain, and with credentials tries a registration that it takes back. */
import { networkInterfaces } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { Config, DomainConfig } from '../../../lib/config/load.ts';
import type { Finding } from '../../../lib/doctor/finding.ts';
import { judgeCertificate } from '../../../lib/doctor/judge-local.ts';
import {
  judgeClock,
  judgeOptions,
  judgeQualify,
  judgeRegister,
  type Outcome,
} from '../../../lib/doctor/judge-upstream.ts';
import { type Located, Locator } from '../../../lib/engine/locating/locator.ts';
import { RouteTable } from '../../../lib/engine/transport/route.ts';
import { parseContacts } from '../../../lib/sip/contact.ts';
import { hostOf } from '../../../lib/sip/flow.ts';
import { newCallId } from '../../demo/ua.ts';
import { type Agent, ask, messageOf, openAgent, type Place } from './agent.ts';
import { shownCertificate } from './certificate.ts';

export interface Login {
  readonly user: string;
  readonly authUser: string;
  readonly password: string;
}

export interface UpstreamWishes {
  readonly login: Login | undefined;
  readonly watchSeconds: number;
  /** ms one request may take */
  readonly patienceMs: number;
}

/** What is asked for in the trial: seven days. */
const askedSeconds = 604_800;

type Peer = NonNullable<DomainConfig['upstream']>;

interface Entry {
  readonly uri: Peer;
  readonly next: Peer;
  readonly tlsName: string | undefined;
}

export async function lookAtUpstream(
  config: Config,
  domain: DomainConfig,
  wishes: UpstreamWishes,
  tell: (finding: Finding) => void,
): Promise<void> {
  const locator = locatorOf(config);
  try {
    let tried = false;
    for (const entry of entriesOf(domain)) {
      const { host, port, transport } = entry.next;
      const found = await locator.locate({ host, port, transport, secure: false });
      const about = `PBX of ${domain.name}: ${entry.uri.uri}`;
      tell(judgeNames(about, entry.next, found));
      for (const located of found) {
        const place = placeOf(located, entry.tlsName ?? host);
        const answered = place !== undefined && (await lookAtServer(config, domain, entry, place, wishes, tell));
        // one server of a PBX tells for all of them how it registers
        if (!answered || tried) continue;
        tried = true;
        if (wishes.login !== undefined) await tryRegistration(domain, entry, place, wishes.login, wishes, tell);
      }
    }
    if (wishes.login === undefined)
      tell({
        ...{ check: 'register', about: `PBX of ${domain.name}`, result: 'skipped' },
        found: 'expiry cap, Path and qualify need an account: --user NAME --password-env VARIABLE',
      });
  } finally {
    locator.close();
  }
}

function entriesOf({ upstream, upstreams }: DomainConfig): readonly Entry[] {
  const listed = upstream === undefined ? upstreams : [{ uri: upstream }];
  return listed.map((one) => ({
    uri: one.uri,
    next: ('outboundProxy' in one ? one.outboundProxy : undefined) ?? one.uri,
    tlsName: 'tlsName' in one ? one.tlsName : undefined,
  }));
}

function placeOf({ transport, address, port }: Located, name: string): Place | undefined {
  return transport === 'ws' || transport === 'wss' ? undefined : { transport, address, port, name };
}

function textOf({ transport, address, port }: Place): string {
  return `${transport}/${hostOf(address)}:${port}`;
}

function judgeNames(about: string, { host }: Peer, found: readonly Located[]): Finding {
  const check = 'names';
  if (found.length === 0)
    return {
      ...{ check, about, result: 'fail', found: `${host} leads to no address this host can send to` },
      expected: 'an address (NAPTR, SRV, A, AAAA)',
      fix: 'Look at the name in domains[].upstream, at DNS (sip.dns_servers), and that sip.listen has the transport.',
    };
  const places = found.map(({ transport, address, port }) => `${transport}/${hostOf(address)}:${port}`);
  return { check, about, result: 'ok', found: places.join(', ') };
}

/** True: it has answered. */
async function lookAtServer(
  config: Config,
  domain: DomainConfig,
  { uri }: Entry,
  place: Place,
  { patienceMs }: UpstreamWishes,
  tell: (finding: Finding) => void,
): Promise<boolean> {
  const about = `server ${textOf(place)}`;
  if (isOurs(config, place)) {
    tell({
      ...{ check: 'loop', about, result: 'fail', found: 'this is a listener of the edge itself' },
      expected: 'the address of the PBX',
      fix: 'Correct domains[].upstream, or move PBX and edge to different ports.',
    });
    return false;
  }
  if (place.transport === 'tls') await lookAtCertificate(config, place, about, patienceMs, tell);
  const byPath = domain.registration === 'path';
  let agent: Agent;
  try {
    agent = await openAgent(place, patienceMs);
  } catch (error) {
    for (const one of judgeOptions(about, { is: 'unreachable', why: messageOf(error) }, byPath)) tell(one);
    return false;
  }
  try {
    const target = `sip:${hostOf(uri.host)}${uri.port === undefined ? '' : `:${uri.port}`}`;
    const outcome = await ask(agent, { method: 'OPTIONS', uri: target }, patienceMs);
    const now = Date.now();
    for (const one of judgeOptions(about, outcome, byPath)) tell(one);
    if (outcome.is === 'answered') tell(judgeClock(about, outcome.response.headers.get('Date'), now, outcome.ms));
    return outcome.is === 'answered';
  } finally {
    await agent.ua.close();
  }
}

async function lookAtCertificate(
  config: Config,
  place: Place,
  about: string,
  patienceMs: number,
  tell: (finding: Finding) => void,
): Promise<void> {
  try {
    const seen = await shownCertificate(place, config.sip.tls.texts.ca, patienceMs);
    tell(
      judgeCertificate(about, seen, Date.now(), config.push.expiryWarningDays, {
        name: 'Name the PBX in domains[].upstream as its certificate does, or set tls_name of its entry in upstreams.',
        trust: 'Set sip.tls.ca_file to the CA of the PBX, and let the PBX send its whole chain.',
        end: 'Renew the certificate of the PBX.',
      }),
    );
  } catch (error) {
    tell({
      ...{ check: 'certificate', about, result: 'fail', found: messageOf(error), expected: 'TLS' },
      fix: 'Look whether the PBX speaks TLS on this port (Asterisk: a transport with protocol=tls).',
    });
  }
}

function isOurs({ sip, engine }: Config, { transport, address, port }: Place): boolean {
  if (engine.kind !== 'embedded') return false;
  const own = Object.values(networkInterfaces()).flatMap((each) => each?.map((one) => one.address) ?? []);
  const isLocal = own.includes(address) || address.startsWith('127.');
  return sip.listen.some(
    (one) =>
      one.transport === transport &&
      one.port === port &&
      (one.address === address || ((one.address === '0.0.0.0' || one.address === '::') && isLocal)),
  );
}

async function tryRegistration(
  { name, registration }: DomainConfig,
  { uri }: Entry,
  place: Place,
  { user, authUser, password }: Login,
  { watchSeconds, patienceMs }: UpstreamWishes,
  tell: (finding: Finding) => void,
): Promise<void> {
  const about = `registration of ${user} at ${textOf(place)}`;
  const host = name === '*' ? uri.host : name;
  const agent = await openAgent(place, patienceMs).catch(() => undefined);
  if (agent === undefined) return;
  const callId = newCallId();
  let cseq = 0;
  const send = (fields: readonly (readonly [string, string])[]): Promise<Outcome> => {
    cseq += 2; // one for the answer to a challenge
    return ask(
      agent,
      {
        ...{ method: 'REGISTER', uri: `sip:${hostOf(host)}`, aor: `sip:${user}@${hostOf(host)}`, callId, cseq, fields },
        credentials: { user: authUser, password },
      },
      patienceMs,
    );
  };
  try {
    const others = contactsOf(await send([]));
    if (others.length > 0) {
      tell({
        ...{ check: 'register', about, result: 'skipped' },
        found: `${others.length} contact(s) of others are registered, and a PBX with max_contacts=1 would throw them out: use an account of its own`,
      });
      return;
    }
    const contactUser = `doctor-${newCallId().slice(0, 8)}`;
    const { transport, address, port } = agent.ua.local;
    const contact = `<${agent.ua.uri(contactUser)}>`;
    const path = `path-${contactUser}@${hostOf(address)}:${port}`;
    const byPath = registration === 'path';
    const fields = (seconds: number): readonly (readonly [string, string])[] => [
      ['Contact', contact],
      ['Expires', String(seconds)],
      ['Supported', 'path'],
      ...(byPath ? [['Path', `<sip:${path};transport=${transport};lr>`] as const] : []),
    ];
    let asked = askedSeconds;
    let shortest: number | undefined;
    let outcome = await send(fields(asked));
    if (outcome.is === 'answered' && outcome.response.status === 423) {
      shortest = Number(outcome.response.headers.get('Min-Expires') ?? 0) || undefined;
      asked = Math.max(asked, shortest ?? 0);
      outcome = await send(fields(asked));
    }
    const trial = { contact: contactUser, path, asked, byPath, others };
    for (const one of judgeRegister(about, outcome, trial, shortest)) tell(one);
    if (outcome.is !== 'answered' || outcome.response.status >= 300) return;
    try {
      if (watchSeconds > 0) {
        const from = agent.qualified.length;
        await pause(watchSeconds * 1000);
        tell(judgeQualify(about, agent.qualified.slice(from), watchSeconds));
      } else tell({ check: 'qualify', about, result: 'skipped', found: 'watched with --watch SECONDS only' });
    } finally {
      const gone = await send(fields(0));
      const left = contactsOf(gone).filter((one) => one.includes(contactUser));
      const clean = gone.is === 'answered' && gone.response.status < 300 && left.length === 0;
      tell(
        clean
          ? { check: 'clean up', about, result: 'ok', found: 'the Contact is removed again' }
          : {
              ...{ check: 'clean up', about, result: 'warn', found: 'the PBX still has the Contact of this trial' },
              fix: `Remove the contact ${contactUser} at the PBX.`,
            },
      );
    }
  } finally {
    await agent.ua.close();
  }
}

function contactsOf(outcome: Outcome): readonly string[] {
  if (outcome.is !== 'answered' || outcome.response.status >= 300) return [];
  const contacts = parseContacts(outcome.response.headers);
  return contacts === 'malformed' || contacts === '*' ? [] : contacts.map(({ uriText }) => uriText);
}

/** The first address of the PBX of a domain. */
export async function firstServer(config: Config, domain: DomainConfig): Promise<Place | undefined> {
  const locator = locatorOf(config);
  try {
    for (const { next, tlsName } of entriesOf(domain)) {
      const { host, port, transport } = next;
      for (const located of await locator.locate({ host, port, transport, secure: false })) {
        const place = placeOf(located, tlsName ?? host);
        if (place !== undefined) return place;
      }
    }
    return undefined;
  } finally {
    locator.close();
  }
}

function locatorOf({ sip, engine }: Config): Locator {
  const routes = new RouteTable();
  const listening = [...new Set(sip.listen.map(({ transport }) => transport))];
  return new Locator(
    {
      transports: engine.kind === 'embedded' ? listening : ['udp', 'tcp', 'tls'],
      sourceOf: (_transport, address) => routes.sourceOf(address),
    },
    { servers: sip.dnsServers },
  );
}
