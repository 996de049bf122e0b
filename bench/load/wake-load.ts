/**
 * Calls to sleeping phones at a fixed rate: the PBX calls, the push stand-in wakes the phone, the phone registers from a new port
 * and answers, one of the two hangs up. Everything is timed where it can be seen from outside: on the wire.
 */
import { randomFrom, Samples, type Spread } from '../figures.ts';
import { Caller, type Call } from './caller.ts';
import { Phone, type WakeRegister } from './phone.ts';
import { indexOfToken, phoneIdentity } from './phone-identity.ts';
import type { Pbx } from './pbx.ts';
import type { PushStandIn } from './push-stand-in.ts';
import { paced, pause } from './pace.ts';
import { RegisterLoad } from './register-load.ts';
import { wallMs } from './sip-text.ts';
import type { HostPort, Transport } from './wire.ts';

export interface WakePlan {
  readonly transport: Transport;
  readonly server: HostPort;
  readonly phonesHost: string;
  /** calls that count, one phone each */
  readonly calls: number;
  /** calls before, at twice the rate, so that code and connections are warm */
  readonly warmUp: number;
  /** calls a second */
  readonly rate: number;
  /** from answer to BYE, ms */
  readonly talkMs: number;
  /** wake with random bursts: repetitions, several ports, three Call-IDs, a 401 in between; the number is the seed */
  readonly bursts: number | undefined;
}

export interface WakeFigures {
  readonly calls: number;
  /** 200 and ACK both ways, BYE both ways */
  readonly answered: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly pushes: number;
  readonly invitesAtPhones: number;
  readonly phonesWithOneInvite: number;
  /** INVITE before any 200 to the phone's REGISTERs */
  readonly invitedEarly: number;
  readonly registers: number;
  readonly registerRefusals: number;
  readonly repeatedByPbx: number;
  readonly repeatedInvites: number;
  /** INVITE sent by the PBX to push request complete at the push service */
  readonly inviteToPushMs: Spread | null;
  /** first REGISTER sent by the phone to INVITE at the phone; the PBX's turn included */
  readonly registerToInviteMs: Spread | null;
  /** 200 at the phone to INVITE at the phone */
  readonly acceptedToInviteMs: Spread | null;
  /** INVITE sent by the PBX to its 200, ring time included */
  readonly inviteToAnswerMs: Spread | null;
  readonly seconds: number;
}

/** Registers the phones once and lets them sleep: their sockets are gone. */
export async function registerSleepers(plan: {
  readonly transport: Transport;
  readonly server: HostPort;
  readonly phonesHost: string;
  readonly phones: number;
  readonly team: string;
}): Promise<void> {
  const load = await RegisterLoad.open({
    transport: plan.transport,
    server: plan.server,
    localHost: plan.phonesHost,
    phones: plan.phones,
    wires: plan.transport === 'tcp' ? plan.phones : 64,
    inFlight: 16,
    rate: undefined,
    seconds: 0,
    team: plan.team,
  });
  await load.registerAll();
  const { accepted } = load;
  load.close();
  if (accepted !== plan.phones) throw new Error(`only ${accepted} of ${plan.phones} phones could register`);
}

export async function runWakes(
  plan: WakePlan,
  pbx: Pbx,
  standIn: PushStandIn,
  onWindow: (at: 'begin' | 'end') => void,
  onOver: () => void,
): Promise<WakeFigures> {
  const total = plan.warmUp + plan.calls;
  const team = standIn.access.teamId;
  await registerSleepers({ ...plan, phones: total, team });
  const random = randomFrom(plan.bursts ?? 1);
  const phones: Phone[] = [];
  const pushedAt = new Float64Array(total).fill(Number.NaN);
  const answeredAt = new Float64Array(total).fill(Number.NaN);
  const calls: Call[] = [];
  const awake = new Set<Phone>();
  let over = 0;
  const check = (index: number): void => {
    const call = calls[index] as Call;
    const phone = phones[index] as Phone;
    if (call.bye === 'none' || call.bye === 'sent' || phone.bye === 'none' || phone.bye === 'sent' || !awake.has(phone))
      return;
    end(phone);
  };
  const end = (phone: Phone): void => {
    over += 1;
    onOver();
    awake.delete(phone);
    // a second INVITE that comes late shall be seen
    setTimeout(() => phone.sleep(), 1500);
  };
  for (let n = 0; n < total; n++) {
    phones.push(
      new Phone(phoneIdentity(n), {
        transport: plan.transport,
        server: plan.server,
        host: plan.phonesHost,
        team,
        ringMs: 40,
        onLegOver: (phone) => check(phone.identity.index),
      }),
    );
    if (plan.bursts !== undefined && random() < 0.3) pbx.challenged.add(phoneIdentity(n).user);
  }
  const caller = new Caller(pbx, `w${process.pid}`, {
    onAnswered: (call) => {
      answeredAt[call.index] = wallMs();
      setTimeout(() => {
        if (call.index % 2 === 0) caller.hangUp(call);
        else phones[call.index]?.hangUp();
      }, plan.talkMs);
    },
    onBye: (call) => check(call.index),
    onFailed: (call) => end(phones[call.index] as Phone),
  });
  standIn.onPush = (token, at) => {
    const phone = phones[indexOfToken(token)];
    if (phone === undefined) return;
    phone.pushes += 1;
    if (phone.pushes > 1) return;
    pushedAt[phone.identity.index] = at;
    phone.wake(plan.bursts === undefined ? [{ after: 0, port: 0, callId: 0, again: false }] : burst(random));
  };

  const repeater = setInterval(() => {
    const now = wallMs();
    for (const phone of awake) phone.repeat(now);
  }, 250);
  const place = async (until: number, rate: number): Promise<void> => {
    const first = calls.length;
    await paced(until - first, rate, (n) => {
      const phone = phones[first + n] as Phone;
      awake.add(phone);
      calls.push(caller.call(first + n, phone.identity.user));
    });
    const giveUpAt = wallMs() + 65_000;
    while (over < until && wallMs() < giveUpAt) await pause(10);
  };
  if (plan.warmUp > 0) await place(plan.warmUp, plan.rate * 2);
  onWindow('begin');
  const measuredFrom = wallMs();
  await place(total, plan.rate);
  onWindow('end');
  const seconds = (wallMs() - measuredFrom) / 1000;
  // late INVITEs
  await pause(2000);
  clearInterval(repeater);
  caller.close();
  for (const phone of phones) phone.sleep();
  return { ...figuresOf(plan, phones, calls, pushedAt, answeredAt, caller), seconds };
}

function figuresOf(
  plan: WakePlan,
  phones: readonly Phone[],
  calls: readonly Call[],
  pushedAt: Float64Array,
  answeredAt: Float64Array,
  caller: Caller,
): Omit<WakeFigures, 'seconds'> {
  const toPush = new Samples();
  const registerToInvite = new Samples();
  const acceptedToInvite = new Samples();
  const toAnswer = new Samples();
  const failures: Record<string, number> = {};
  const sum = { answered: 0, pushes: 0, invites: 0, one: 0, early: 0, registers: 0, refusals: 0, repeated: 0 };
  const add = (samples: Samples, value: number): void => {
    if (!Number.isNaN(value)) samples.add(value);
  };
  for (let n = plan.warmUp; n < calls.length; n++) {
    const phone = phones[n] as Phone;
    const call = calls[n] as Call;
    add(toPush, (pushedAt[n] as number) - call.invitedAt);
    add(registerToInvite, phone.invitedAt - phone.firstRegisterAt);
    add(acceptedToInvite, phone.invitedAt - phone.acceptedAt);
    add(toAnswer, (answeredAt[n] as number) - call.invitedAt);
    sum.pushes += phone.pushes;
    sum.invites += phone.invites.size;
    sum.registers += phone.registers;
    sum.refusals += phone.registerRefusals;
    sum.repeated += phone.repeatedInvites;
    if (phone.invites.size === 1) sum.one += 1;
    if (phone.invitedEarly) sum.early += 1;
    const why = failureOf(call, phone);
    if (why === undefined) sum.answered += 1;
    else failures[why] = (failures[why] ?? 0) + 1;
  }
  return {
    calls: plan.calls,
    answered: sum.answered,
    failures,
    pushes: sum.pushes,
    invitesAtPhones: sum.invites,
    phonesWithOneInvite: sum.one,
    invitedEarly: sum.early,
    registers: sum.registers,
    registerRefusals: sum.refusals,
    repeatedByPbx: caller.repeated,
    repeatedInvites: sum.repeated,
    inviteToPushMs: toPush.spread(),
    registerToInviteMs: registerToInvite.spread(),
    acceptedToInviteMs: acceptedToInvite.spread(),
    inviteToAnswerMs: toAnswer.spread(),
  };
}

function failureOf(call: Call, phone: Phone): string | undefined {
  if (phone.pushes === 0) return `no push, ${call.final === 0 ? 'no answer' : `caller got ${call.final}`}`;
  if (phone.invites.size === 0)
    return `no INVITE at the phone, ${call.final === 0 ? 'no answer' : `caller got ${call.final}`}`;
  if (call.final !== 200) return call.final === 0 ? 'no final response' : `caller got ${call.final}`;
  if (!phone.acked) return 'no ACK at the phone';
  if (phone.bye === 'none' || phone.bye === 'sent')
    return `BYE of the ${call.index % 2 === 0 ? 'PBX not at the phone' : 'phone not answered'}`;
  if (call.bye === 'none' || call.bye === 'sent')
    return `BYE of the ${call.index % 2 === 0 ? 'PBX not answered' : 'phone not at the PBX'}`;
  return undefined;
}

/** One to five REGISTERs within 40 ms from up to three ports and with up to three Call-IDs, some of them repetitions. */
function burst(random: () => number): WakeRegister[] {
  const count = 1 + Math.floor(random() * 5);
  const ports = 1 + Math.floor(random() * 3);
  const callIds = 1 + Math.floor(random() * 3);
  return Array.from({ length: count }, () => ({
    after: Math.floor(random() * 40),
    port: Math.floor(random() * ports),
    callId: Math.floor(random() * callIds),
    again: random() < 0.4,
  }));
}
