/**
 * What a REGISTER asks for, judged against what is stored (RFC 3261 10.3 steps 5 to 7, RFC 8599 5.6.1), before any registrar
 * has agreed. Changes nothing.
 */
import type { Aor, Binding } from '../core/binding.ts';
import { bindingId, isFormerAddress, liveBindings, matchDevice, wakeableBindings } from '../core/binding-set.ts';
import type { DeviceName } from '../core/contact-token.ts';
import type { Domain } from '../core/domain.ts';
import { modeOf, type Mode } from '../core/modes.ts';
import { judgeOutbound } from '../core/outbound.ts';
import {
  decideRegister,
  type RegisterDecision,
  type RegisterPolicy as DecisionPolicy,
} from '../core/register-decision.ts';
import type { RefreshPolicy } from '../core/refresh-schedule.ts';
import type { Agenda } from '../ports/agenda.ts';
import type { Client } from '../ports/client.ts';
import type { Clock } from '../ports/clock.ts';
import type { BindingSet, LocationStore } from '../ports/location-store.ts';
import type { Log } from '../ports/log.ts';
import type { NodeBus } from '../ports/node-bus.ts';
import type { ServerTransaction } from '../ports/server-transaction.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { type Contact, parseContacts, readExpires } from '../sip/contact.ts';
import { readFeatureCaps } from '../sip/feature-caps.ts';
import { Headers } from '../sip/headers.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { type Dialect, readPush, stripPush, type PushAsk } from '../sip/push-params.ts';
import { findParam, parseUri } from '../sip/uri.ts';
import { pridHash } from '../telemetry/log-fields.ts';
import type { TokenUsers } from './token-users.ts';
import type { TokenMover } from '../tokens/owners.ts';

export interface RegisterDeps {
  readonly store: LocationStore;
  readonly agenda: Agenda;
  readonly bus: NodeBus;
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** key of the opaque Contact towards the PBX */
  readonly contactKey: Buffer;
  /** key of the flow tokens in Path */
  readonly flowKey: Buffer;
  /** key of temporary GRUUs */
  readonly gruuKey: Buffer;
  /** secret behind binding ids and nonces, shared by all nodes of one store */
  readonly edgeSecret: string;
  readonly tokenUsers: TokenUsers;
  /** the newest pn-purr of a binding (RFC 8599 6.2.1); when left out none are given */
  readonly purr?: ((name: DeviceName) => string) | undefined;
  /** takes tokens from whoever had them before; undefined: a token may be shared */
  readonly mover?: TokenMover | undefined;
  readonly policy: RegisterPolicy;
}

export interface RegisterPolicy extends DecisionPolicy {
  /** seconds */
  readonly defaultExpires: number;
  readonly maxExpires: number;
  readonly maxBindings: number;
  /**
   * what becomes of push parameters that came over UDP, TCP or WS from this address (RFC 8599 13); those of a proxy that is believed are
   * not looked at
   */
  readonly pushOverClear: (address: string) => 'accept' | 'ignore' | 'refuse';
  /** how long after its registration a phone can still be woken, ms; 0: not at all */
  readonly wakeLapsedMs: number;
  /** one more is refused, or takes the place of the oldest; refuse when left out */
  readonly whenFull?: 'refuse' | 'replace_oldest';
  /** when sleeping phones are pushed to refresh; undefined: never */
  readonly refresh: RefreshPolicy | undefined;
  /** VAPID public key by provider, for sip.vapid (PN-REG-11) */
  readonly vapid: ReadonlyMap<string, string>;
  /** value of sip.pnsreg, seconds, above 120 (PN-REG-13) */
  readonly pnsreg: number;
  /** what is understood beside RFC 8599 */
  readonly dialects: readonly Dialect[];
  /** how long the PBX may take to answer, ms */
  readonly upstreamTimeoutMs: number;
}

/** One Contact of the REGISTER with everything that was decided about it before the registrar was asked. */
export interface AskedContact {
  readonly contact: Contact;
  readonly ask: PushAsk;
  readonly decision: Exclude<RegisterDecision, { is: 'refuse' }>;
  /** seconds the phone asked for; 0 removes */
  readonly expires: number;
  /** the stored binding of this device, if any */
  readonly known: Binding | undefined;
  /** id of the binding, also when it is yet to be made */
  readonly id: string;
  /** it takes back an address that the phone has left already: the binding stays */
  readonly isFormer: boolean;
}

/** A REGISTER that passed the door: what both kinds of registrar start from. */
export interface Asked {
  readonly transaction: ServerTransaction;
  readonly domain: Domain;
  /** how this REGISTER is served: that of the domain, but for phones that do not know Path */
  readonly mode: Mode;
  readonly aor: Aor;
  readonly callId: string;
  readonly cseq: number;
  /** option tags of Supported, in lower case */
  readonly supported: ReadonlySet<string>;
  /** one Via: nobody stands between the phone and us that would tell */
  readonly firstHop: boolean;
  /** Path of proxies that are believed; nobody else's (EDGE-PRX-16) */
  readonly path: readonly string[];
  /** Feature-Caps of such proxies may pass, nobody else's (PN-SEC-12) */
  readonly fromProxy: boolean;
  /** `Require: outbound` belongs into our 2xx */
  readonly outbound: boolean;
  /** empty: the phone only wants to see its bindings */
  readonly contacts: readonly AskedContact[] | '*';
  readonly stored: readonly Binding[];
  /** the set these are from: the first try to store begins with it */
  readonly read: BindingSet;
}

/** Where a REGISTER has come from. */
export interface Registering {
  readonly transaction: ServerTransaction;
  readonly domain: Domain;
  readonly aor: Aor;
  /** it was sent by a proxy that we believe, not by the phone */
  readonly fromProxy: boolean;
}

/** Reads the request against what is stored; undefined when it has been answered with an error. Rejects with EdgeError. */
export async function readRegister(registering: Registering, deps: RegisterDeps): Promise<Asked | undefined> {
  const { transaction, domain, aor, fromProxy } = registering;
  const { headers } = transaction.request;
  const refuse = async (status: number, fields?: Headers): Promise<undefined> => {
    deps.telemetry.count('registrations', { result: 'rejected' });
    await transaction.respond(fields === undefined ? { status } : { status, headers: fields });
    return undefined;
  };
  const callId = headers.get('Call-ID');
  const cseq = Number.parseInt(headers.get('CSeq') ?? '', 10);
  if (callId === undefined || !Number.isInteger(cseq)) return refuse(400);
  const parsed = parseContacts(headers);
  if (parsed === 'malformed') return refuse(400);

  const supported = new Set(headers.list('Supported').map((tag) => tag.toLowerCase()));
  const path = fromProxy ? headers.list('Path') : [];
  const firstHop = headers.list('Via').length === 1;
  const mode = modeOf(domain.registration, {
    supportsPath: supported.has('path') || parsed === '*' || parsed.length === 0,
    outbound: parsed !== '*' && parsed.some(hasRegId),
    withoutPath: domain.withoutPath,
  });
  if (mode === 421) return refuse(421, Headers.of([['Require', 'path']]));
  if (mode.facesPhone === 'edge' && path.length > 0 && !supported.has('path') && domain.withoutPath === 'refuse')
    return refuse(420, Headers.of([['Unsupported', 'path']]));

  const expiresHeader = readExpires(headers.get('Expires'));
  if (parsed === '*') {
    // `*` stands alone and only removes (EDGE-REG-06)
    if (expiresHeader !== 0) return refuse(400);
    const about = { transaction, domain, mode, aor, callId, cseq, supported, firstHop, path, fromProxy };
    return { ...about, outbound: false, contacts: '*', ...(await readStored(aor, deps)) };
  }
  // nobody can be called at another scheme from here (RFC 4475 3.3.4)
  if (parsed.some(({ uri }) => uri === undefined)) return refuse(400);
  // more than could ever be stored, and each is compared with every other
  if (parsed.length > 2 * deps.policy.maxBindings) return refuse(403);
  if (parsed.some((contact) => leadsBack(contact, aor))) return refuse(403);

  const expiresOf = (contact: Contact): number => contact.expires ?? expiresHeader ?? deps.policy.defaultExpires;
  const kept = parsed.filter((contact) => expiresOf(contact) > 0);
  const outbound = judgeOutbound({
    kept: kept.length,
    regId: kept.some(hasRegId),
    supported: supported.has('outbound'),
    firstHop,
    pathHasOb: hasOb(path[0]),
  });
  // where the PBX is the phone's registrar it judges itself
  if (outbound.is === 'refuse' && mode.facesPhone === 'edge') return refuse(outbound.status);
  const byRegId = outbound.is === 'used' || mode.facesPhone === 'pbx' || kept.length === 0;

  const { stored, read } = await readStored(aor, deps);
  const now = deps.clock.now();
  const indicated = fromProxy ? readFeatureCaps(headers).map(({ pns }) => pns) : [];
  const contacts: AskedContact[] = [];
  for (const sent of parsed) {
    const contact = byRegId && hasRegId(sent) ? sent : withoutRegId(sent);
    const expires = expiresOf(contact);
    const sentAsk = readPush(contact, headers, deps.policy.dialects);
    const exposed = sentAsk.is === 'push' && expires > 0 && !fromProxy && isClear(transaction);
    const rule = exposed ? deps.policy.pushOverClear(transaction.flow.address) : 'accept';
    if (rule === 'refuse') return refuseExposed(transaction, deps);
    const ask: PushAsk = rule === 'ignore' ? { is: 'none' } : sentAsk;
    if (ask.is === 'push' && expires > 0) {
      const crowded = ask.tokens.find(({ token }) => !deps.tokenUsers.admits(token, aor, now));
      if (crowded !== undefined) return refuseToken(transaction, aor, crowded.token, deps);
    }
    const decision = decideRegister({ ask, expires, indicated }, deps.policy);
    if (decision.is === 'refuse') return answerRefusal(transaction, decision, deps);
    const known = matchDevice(wakeableBindings(read.bindings, now), contact, ask, callId);
    contacts.push({
      contact,
      ask,
      decision,
      expires,
      known,
      id: known?.id ?? bindingId(deps.edgeSecret, aor, contact, ask),
      isFormer: expires === 0 && known !== undefined && isFormerAddress(known, stripPush(contact.uriText)),
    });
  }
  return {
    // one by one: spreading is slow, and every REGISTER passes here
    transaction,
    domain,
    mode,
    aor,
    callId,
    cseq,
    supported,
    firstHop,
    path,
    fromProxy,
    outbound: outbound.is === 'used' && outbound.require,
    contacts,
    stored,
    read,
  };
}

function isClear({ flow }: ServerTransaction): boolean {
  return flow.transport === 'udp' || flow.transport === 'tcp' || flow.transport === 'ws';
}

async function refuseExposed(transaction: ServerTransaction, deps: RegisterDeps): Promise<undefined> {
  deps.telemetry.count('registrations', { result: 'rejected' });
  deps.telemetry.count('refusals', { reason: 'push-over-clear' });
  const { transport, address } = transaction.flow;
  deps.log.info({ transport, remote: address, status: 403, reason: 'push parameters without TLS' }, 'REGISTER refused');
  await transaction.respond({ status: 403, reason: 'Push Parameters Need TLS' });
  return undefined;
}

async function refuseToken(
  transaction: ServerTransaction,
  aor: Aor,
  token: string,
  deps: RegisterDeps,
): Promise<undefined> {
  deps.telemetry.count('registrations', { result: 'rejected' });
  deps.telemetry.count('refusals', { reason: 'token-users' });
  const facts = { aor, pridHash: pridHash(token), remote: transaction.flow.address };
  deps.log.warn({ ...facts, status: 403, reason: 'one push token of too many users' }, 'REGISTER refused');
  await transaction.respond({ status: 403, reason: 'Push Token In Use' });
  return undefined;
}

function hasRegId({ regId, instanceId }: Contact): boolean {
  return regId !== undefined && instanceId !== undefined;
}

function withoutRegId(contact: Contact): Contact {
  if (contact.regId === undefined) return contact;
  const { regId: _, ...others } = contact;
  return others;
}

function hasOb(path: string | undefined): boolean {
  const uri = parseUri(parseNameAddr(path ?? '')?.uri ?? '');
  return uri !== undefined && findParam(uri.params, 'ob') !== undefined;
}

/** A Contact at the domain of its own AOR: calls to it would come back to us for ever (RFC 5393 3, EDGE-REG-14). */
function leadsBack({ uri }: Contact, aor: Aor): boolean {
  return uri?.port === undefined && uri?.user !== undefined && aor.endsWith(`@${uri.host.toLowerCase()}`);
}

async function answerRefusal(
  transaction: ServerTransaction,
  decision: Extract<RegisterDecision, { is: 'refuse' }>,
  deps: RegisterDeps,
): Promise<undefined> {
  deps.telemetry.count('registrations', {
    result: decision.status === 555 ? 'bad-push-service' : decision.status === 423 ? 'too-brief' : 'rejected',
  });
  deps.log.info({ callId: transaction.request.headers.get('Call-ID'), status: decision.status }, 'REGISTER refused');
  await transaction.respond(
    decision.status === 423
      ? { status: 423, headers: Headers.of([['Min-Expires', String(decision.minExpires)]]) }
      : { status: decision.status },
  );
  return undefined;
}

async function readStored(aor: Aor, deps: RegisterDeps): Promise<Pick<Asked, 'stored' | 'read'>> {
  const read = await deps.store.read(aor);
  return { stored: liveBindings(read.bindings, deps.clock.now()), read };
}
