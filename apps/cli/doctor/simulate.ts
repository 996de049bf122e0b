/**
 * A call to a virtual sleeping phone through the running edge. The phone is real SIP on a real socket; its push comes here instead of
 * to a push service. The PBX is the real one where there are credentials for it, else it is played: what was which is told.
 */
import type { Config } from '../../../lib/config/load.ts';
import type { Finding } from '../../../lib/doctor/finding.ts';
import { RouteTable } from '../../../lib/engine/transport/route.ts';
import { EdgeError } from '../../../lib/errors.ts';
import { hostOf } from '../../../lib/sip/flow.ts';
import { OutgoingCall } from '../../demo/calls.ts';
import { drawLadder } from '../../demo/ladder.ts';
import { sessionDescription } from '../../demo/media.ts';
import { Pbx } from '../../demo/pbx.ts';
import { Phone } from '../../demo/phone.ts';
import { describe, type Column, type Rung } from '../../demo/rungs.ts';
import { type Crossing, monotonicMs, UserAgent } from '../../demo/ua.ts';
import type { Remote } from '../../demo/wire.ts';
import { complaint, type RunningEdge } from '../running-edge.ts';
import { messageOf, within } from './agent.ts';
import { firstServer, type Login } from './upstream.ts';

export interface SimulationWishes {
  readonly domain: string | undefined;
  readonly aor: string | undefined;
  /** of `aor` at the PBX */
  readonly login: Login | undefined;
  /** a second user, who calls */
  readonly caller: Login | undefined;
  readonly deadlineMs: number;
}

interface Prepared {
  readonly id: string;
  readonly user: string;
  readonly password: string;
  readonly provider: string;
  readonly param: string;
  readonly prid: string;
  readonly domain: string;
  readonly like: string;
  readonly registration: string;
  readonly seconds: { readonly hold: number; readonly ring: number };
}

type Tell = (finding: Finding) => void;

const routes = new RouteTable();
const answerMs = 10_000;

/** Gives the ladder as text. Whatever happens, nothing of it stays at the edge. */
export async function simulate(
  config: Config,
  edge: RunningEdge,
  wishes: SimulationWishes,
  findings: Finding[],
  colour: boolean,
): Promise<string> {
  const tell: Tell = (finding) => void findings.push(finding);
  const status = await asking(edge, 'GET', '/status');
  const listens = listenersIn(typeof status['listens'] === 'string' ? status['listens'] : '');
  const ladders: string[] = [];
  if (wishes.login !== undefined)
    ladders.push(await withPbx(config, edge, listens, wishes, wishes.login, tell, colour));
  if (wishes.caller === undefined) ladders.push(await played(config, edge, listens, wishes, tell, colour));
  return ladders.join('\n');
}

function listenersIn(text: string): readonly Remote[] {
  return text.split(' ').flatMap((one): readonly Remote[] => {
    const [, transport, told = '', port] = /^(udp|tcp|tls)\/\[?([^\]]*)\]?:(\d+)$/.exec(one) ?? [];
    if (transport === undefined) return [];
    const address = told === '0.0.0.0' || told === '' ? '127.0.0.1' : told === '::' ? '::1' : told;
    const unchecked = transport === 'tls' ? { unchecked: { name: undefined } } : {};
    return [{ transport: transport as 'udp' | 'tcp' | 'tls', address, port: Number(port), ...unchecked }];
  });
}

/** Over a stream a phone that sleeps is gone for good, as phones are. */
function forPhone(listens: readonly Remote[]): Remote {
  return need(listens, ['tcp', 'tls', 'udp']);
}

function need(listens: readonly Remote[], order: readonly string[]): Remote {
  const found = order.flatMap((transport) => listens.filter((one) => one.transport === transport))[0];
  if (found !== undefined) return found;
  throw new EdgeError('EDGE_NOT_REACHED', `a simulated call needs a listener over ${order.join(' or ')} in sip.listen`);
}

/** The PBX is us: registrar with digest where the domain has one, and the caller. */
async function played(
  config: Config,
  edge: RunningEdge,
  listens: readonly Remote[],
  wishes: SimulationWishes,
  tell: Tell,
  colour: boolean,
): Promise<string> {
  const about = 'simulated call (PBX played)';
  const ladder = new Ladder();
  const atEdge = need(listens, ['udp', 'tcp']);
  const source = sourceTowards(atEdge);
  const users: Record<string, string> = {};
  const options = { domain: '', users };
  const pbx = await Pbx.open(
    Object.assign(options, {
      transport: atEdge.transport as 'udp' | 'tcp',
      address: source,
      onCrossing: ladder.of('PBX'),
    }),
  );
  const wanted = wishes.aor?.slice(wishes.aor.lastIndexOf('@') + 1) ?? wishes.domain ?? config.domains[0]?.name ?? '*';
  const { port, transport } = pbx.ua.local;
  const place = { address: source, port, transport };
  try {
    const prepared = await prepare(edge, { domain: wanted, pbx: place });
    const { user, password, domain } = prepared;
    options.domain = domain;
    users[user] = password;
    tell({
      ...{ check: 'real', about, result: 'ok' },
      found: `the running edge: listeners, registration (${prepared.registration}), store, hold, choice of the push, ring, bridge`,
    });
    tell({
      ...{ check: 'played', about, result: 'skipped' },
      found: `by the doctor: PBX, phone and push service, in a domain like ${prepared.like} that is gone afterwards`,
    });
    await rehearse(
      edge,
      prepared,
      { phoneAt: forPhone(listens), login: { user, authUser: user, password } },
      ladder,
      tell,
      about,
      () => {
        const contact = pbx.bindings(user).at(-1);
        const to = `<sip:${user}@${domain}>`;
        const body = sessionDescription(source, 40_000);
        const from = `"Reveille doctor" <sip:doctor@${domain}>`;
        return contact === undefined
          ? pbx.dial(`sip:${user}@${domain}`, { to, from, body, remote: atEdge })
          : pbx.dial(contact.contact, { to, from, body, routes: contact.path, remote: atEdge });
      },
    );
  } finally {
    await pbx.close();
  }
  return ladder.draw(['PBX (played)', 'edge', 'phone', 'push (heard)'], colour);
}

/** Phone and caller are users of the real PBX. */
async function withPbx(
  config: Config,
  edge: RunningEdge,
  listens: readonly Remote[],
  { aor = '', caller }: SimulationWishes,
  login: Login,
  tell: Tell,
  colour: boolean,
): Promise<string> {
  const about = `simulated call for ${aor}`;
  const host = aor.slice(aor.lastIndexOf('@') + 1);
  const domain =
    config.domains.find(({ name }) => name === host.toLowerCase()) ?? config.domains.find(({ name }) => name === '*');
  const ladder = new Ladder();
  const prepared = { ...(await prepare(edge, { domain: host, aor })), domain: host };
  tell({
    ...{ check: 'real', about, result: 'ok' },
    found:
      caller === undefined
        ? 'the running edge and the registration at the PBX'
        : 'the running edge, the PBX, its registration and its call',
  });
  tell({ check: 'played', about, result: 'skipped', found: 'by the doctor: phone, push service and who calls' });
  const server = caller === undefined || domain === undefined ? undefined : await firstServer(config, domain);
  if (caller !== undefined && server === undefined)
    throw new EdgeError('EDGE_NOT_REACHED', `no server of the PBX of ${host} has an address`);
  let agent: UserAgent | undefined;
  if (server !== undefined) {
    const { transport, address, port, name } = server;
    const outbound = { transport, address, port, ...(transport === 'tls' ? { unchecked: { name } } : {}) };
    const opening = UserAgent.open({
      transport,
      address: sourceTowards(outbound),
      outbound,
      onCrossing: ladder.beyond,
    });
    agent = await within(opening, answerMs, 'no connection to the PBX', (late) => late.close());
  }
  const call = (): OutgoingCall => {
    if (agent === undefined || caller === undefined) throw new Error('nobody calls');
    return new OutgoingCall(agent, `sip:${login.user}@${hostOf(host)}`, {
      from: `<sip:${caller.user}@${hostOf(host)}>`,
      to: `<sip:${login.user}@${hostOf(host)}>`,
      contact: `<${agent.uri(caller.user)}>`,
      body: sessionDescription(agent.local.address, 40_000),
      credentials: { user: caller.authUser, password: caller.password },
    });
  };
  try {
    await rehearse(edge, prepared, { phoneAt: forPhone(listens), login }, ladder, tell, about, agent && call);
  } finally {
    await agent?.close();
  }
  return ladder.draw(['caller at PBX', 'edge', 'phone', 'push (heard)'], colour);
}

/** `call` undefined: the registration is all that is tried. */
async function rehearse(
  edge: RunningEdge,
  { id, domain, provider, param, prid, seconds }: Prepared,
  { phoneAt, login }: { readonly phoneAt: Remote; readonly login: Login },
  ladder: Ladder,
  tell: Tell,
  about: string,
  call: (() => OutgoingCall) | undefined,
): Promise<void> {
  let onBye: () => void = () => undefined;
  const hungUp = new Promise<void>((resolve) => {
    onBye = resolve;
  });
  const draw = ladder.of('phone');
  const phone = new Phone({
    user: login.user,
    domain,
    password: login.password,
    address: sourceTowards(phoneAt),
    edge: phoneAt,
    push: { provider, param, prid },
    // a run that is cut off leaves no more than this at a real PBX
    expires: 600,
    onCrossing: (crossing) => {
      draw(crossing);
      const { direction, message } = crossing;
      if (direction === 'in' && message.kind === 'request' && message.method === 'BYE') onBye();
    },
  });
  const ears = new AbortController();
  let registered = false;
  try {
    const answer = await phone.register();
    registered = answer.status < 300;
    const contacts = answer.headers.list('Contact').length;
    tell(
      registered
        ? { check: 'registers', about, result: 'ok', found: `${answer.status} ${answer.reason}` }
        : {
            ...{
              check: 'registers',
              about,
              result: 'fail',
              found: `${answer.status} ${answer.reason}`,
              expected: '200',
            },
            fix: '`reveille doctor` without --simulate tells more of the PBX; the log of the edge says who has refused.',
          },
    );
    if (!registered || call === undefined) return;
    if (contacts > 1) {
      const found = `${contacts - 1} other phone(s) of this user are registered and would ring: use another user`;
      tell({ check: 'rings', about, result: 'skipped', found });
      return;
    }
    await phone.sleep();
    ladder.note('phone', 'sleeps: no socket');
    const begun = monotonicMs();
    const wokenAt = hearPush(edge, id, ears.signal, (what) => {
      ladder.push(what);
      return phone.wake().then(() => undefined);
    });
    const ringing = phone.nextCall((seconds.hold + 5) * 1000);
    const placed = call();
    const final = placed.answer((seconds.hold + seconds.ring + 5) * 1000);
    final.catch(() => undefined);
    const first = await Promise.race([ringing, final.then((response) => response, messageOf)]).catch(messageOf);
    if (typeof first === 'string' || 'status' in first) {
      const said = typeof first === 'string' ? first : `the caller got ${first.status} ${first.reason}`;
      tell({
        ...{ check: 'rings', about, result: 'fail', found: said, expected: 'INVITE at the phone' },
        fix: 'The log of the edge tells the story of this call (ending, fault); compare wake.hold_seconds.',
      });
      ringing.catch(() => undefined);
      if (typeof first === 'string') placed.cancel();
      return;
    }
    const rungMs = monotonicMs() - begun;
    const pushMs = await within(wokenAt, 1000, 'no push').catch(() => undefined);
    tell(
      pushMs === undefined
        ? {
            check: 'push',
            about,
            result: 'warn',
            found: 'it rang without a push',
            expected: 'a push for a phone that sleeps',
          }
        : { check: 'push', about, result: 'ok', found: `${(pushMs - begun).toFixed(0)} ms after the call began` },
    );
    tell({ check: 'rings', about, result: 'ok', found: `${rungMs.toFixed(0)} ms after the call began` });
    first.ring();
    first.answer(sessionDescription(sourceTowards(phoneAt), 40_002));
    const answered = await final.catch(messageOf);
    if (typeof answered === 'string' || answered.status >= 300) {
      const found = typeof answered === 'string' ? answered : `${answered.status} ${answered.reason}`;
      const fix = 'The log of the edge tells the story of this call.';
      tell({ check: 'answered', about, result: 'fail', found, expected: '200 at the caller', fix });
      return;
    }
    tell({ check: 'answered', about, result: 'ok', found: `200 at the caller` });
    const [over] = await within(
      Promise.all([placed.dialog?.bye(), hungUp]),
      answerMs,
      'the BYE did not reach the phone',
    );
    tell({ check: 'hangs up', about, result: 'ok', found: `BYE reached the phone, ${over?.status ?? ''} came back` });
  } catch (error) {
    tell({ check: 'run', about, result: 'fail', found: messageOf(error), expected: 'a call from end to end' });
  } finally {
    ears.abort();
    if (registered) await phone.register({ expires: 0 }).catch(() => undefined);
    await phone.sleep();
    const removed = await asking(edge, 'DELETE', `/simulations/${id}`).catch(() => undefined);
    tell(
      removed === undefined
        ? {
            check: 'clean up',
            about,
            result: 'warn',
            found: 'the edge did not confirm; it forgets all of it after two minutes',
          }
        : { check: 'clean up', about, result: 'ok', found: 'no binding is left behind' },
    );
  }
}

/** When the push of the call came, as monotonicMs; rejects when the wait is over before. */
async function hearPush(
  edge: RunningEdge,
  id: string,
  signal: AbortSignal,
  onCall: (what: string) => Promise<void>,
): Promise<number> {
  for (let after = 0; !signal.aborted; ) {
    const told = await asking(edge, 'GET', `/simulations/${id}/pushes?after=${after}`);
    const pushes = told['pushes'] as readonly { readonly class: string }[];
    after += pushes.length;
    if (pushes.some((push) => push.class === 'call')) {
      const at = monotonicMs();
      await onCall('push (call)');
      return at;
    }
  }
  throw new Error('no push');
}

async function prepare(edge: RunningEdge, body: object): Promise<Prepared> {
  return (await asking(edge, 'POST', '/simulations', body)) as unknown as Prepared;
}

async function asking(
  edge: RunningEdge,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: object,
): Promise<Readonly<Record<string, unknown>>> {
  const answer = await edge.ask({ method, path, ...(body === undefined ? {} : { body }) });
  if (answer.status !== 200) throw new EdgeError('EDGE_NOT_REACHED', complaint(answer));
  return answer.body as Readonly<Record<string, unknown>>;
}

function sourceTowards({ address }: Remote): string {
  const source = routes.sourceOf(address);
  if (source === undefined) throw new EdgeError('EDGE_NOT_REACHED', `no route to ${address}`);
  return source;
}

/** What crossed the wires of the played ones, as it is drawn. */
class Ladder {
  readonly #rungs: Rung[] = [];
  readonly #begun = monotonicMs();

  /** of somebody who speaks with the edge */
  of(who: 'PBX' | 'phone'): (crossing: Crossing) => void {
    return ({ atMs, direction, message, copy }) => {
      if (copy) return;
      const [from, to]: [Column, Column] = direction === 'out' ? [who, 'edge'] : ['edge', who];
      this.#rungs.push({ atMs: atMs - this.#begun, from, to, ...describe(message) });
    };
  }

  /** of the caller, who speaks with the PBX: the edge is not seen from there */
  readonly beyond = ({ atMs, direction, message, copy }: Crossing): void => {
    const { what } = describe(message);
    if (!copy)
      this.#rungs.push({
        ...{ atMs: atMs - this.#begun, from: 'PBX', to: 'PBX', kind: 'note' },
        what: direction === 'out' ? `sends ${what}` : `gets ${what}`,
      });
  };

  note(at: Column, what: string): void {
    this.#rungs.push({ atMs: monotonicMs() - this.#begun, from: at, to: at, what, kind: 'note' });
  }

  push(what: string): void {
    const atMs = monotonicMs() - this.#begun;
    this.#rungs.push(
      { atMs, from: 'edge', to: 'APNs', what, kind: 'push' },
      { atMs, from: 'APNs', to: 'phone', what: 'wakes', kind: 'push' },
    );
  }

  draw(heads: readonly string[], colour: boolean): string {
    const rungs = this.#rungs.toSorted((a, b) => a.atMs - b.atMs);
    return `${drawLadder(rungs, [], colour, heads)}\n`;
  }
}
