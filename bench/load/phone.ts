/**
 * A phone that sleeps until it is pushed: then registers from a new port (or several times, when told to), takes INVITEs, answers
 * with 180 and 200, hangs up or is hung up. Counts every INVITE that reaches it.
 */
import { benchDomain, contactLine, identityLines, type PhoneIdentity } from './phone-identity.ts';
import { answer, branchOf, field, methodOf, sdp, statusOf, uriIn, wallMs } from './sip-text.ts';
import { openWire, type HostPort, type Transport, type Wire } from './wire.ts';

/** One REGISTER of a waking phone. */
export interface WakeRegister {
  /** ms after the push */
  readonly after: number;
  /** which of its sockets; a new one opens a new port */
  readonly port: number;
  /** which of its Call-IDs */
  readonly callId: number;
  /** the same bytes as the one before, if there was one on this port */
  readonly again: boolean;
}

export interface PhonePlan {
  readonly transport: Transport;
  readonly server: HostPort;
  readonly host: string;
  readonly team: string;
  /** from 180 to 200, ms */
  readonly ringMs: number;
  onLegOver(phone: Phone): void;
}

interface Leg {
  readonly invite: string;
  readonly wire: Wire;
  response: string;
  state: 'ringing' | 'answered' | 'talking' | 'over';
  sentAt: number;
}

export class Phone {
  readonly identity: PhoneIdentity;
  /** branches: an INVITE repeated by its transaction counts once */
  readonly invites = new Map<string, Leg>();
  repeatedInvites = 0;
  pushes = 0;
  firstRegisterAt = Number.NaN;
  acceptedAt = Number.NaN;
  invitedAt = Number.NaN;
  /** INVITE before the 200 to any REGISTER */
  invitedEarly = false;
  acked = false;
  bye: 'none' | 'sent' | 'answered' | 'received' = 'none';
  registers = 0;
  registerRefusals = 0;
  repeatedRegisters = 0;
  #unanswered = false;
  #registeredAt = 0;
  #cseq = 100;
  #lastRegister = new Map<number, string>();
  #wires = new Map<number, Promise<Wire>>();
  readonly #plan: PhonePlan;

  constructor(identity: PhoneIdentity, plan: PhonePlan) {
    this.identity = identity;
    this.#plan = plan;
  }

  wake(registers: readonly WakeRegister[]): void {
    for (const one of registers) {
      if (one.after === 0) void this.#register(one);
      else setTimeout(() => void this.#register(one), one.after);
    }
  }

  hangUp(): void {
    for (const leg of this.invites.values()) {
      if (leg.state !== 'talking') continue;
      const { invite, wire } = leg;
      const local = `${field(invite, 'To')}${field(invite, 'To').includes(';tag=') ? '' : ';tag=p'}`;
      this.bye = 'sent';
      wire.send(
        `BYE ${uriIn(field(invite, 'Contact'))} SIP/2.0\r\nVia: ${wire.via};rport;branch=z9hG4bKbye${this.identity.index}\r\nMax-Forwards: 70\r\nFrom: ${local}\r\nTo: ${field(invite, 'From')}\r\nCall-ID: ${field(invite, 'Call-ID')}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n`,
      );
    }
  }

  /** Sends again what UDP has lost: a REGISTER without any answer, a 200 without ACK. Called now and then. */
  repeat(now: number): void {
    if (this.#plan.transport === 'udp' && this.#unanswered && now - this.#registeredAt > 500) {
      this.#registeredAt = now;
      this.repeatedRegisters += 1;
      for (const [port, text] of this.#lastRegister) void this.#wires.get(port)?.then((wire) => wire.send(text));
    }
    for (const leg of this.invites.values()) {
      if (leg.state !== 'answered' || now - leg.sentAt < 500) continue;
      leg.sentAt = now;
      leg.wire.send(leg.response);
    }
  }

  sleep(): void {
    for (const wire of this.#wires.values()) void wire.then((open) => open.close());
    this.#wires.clear();
  }

  async #register(one: WakeRegister): Promise<void> {
    const { transport, host, server, team } = this.#plan;
    let opening = this.#wires.get(one.port);
    if (opening === undefined) {
      opening = openWire(transport, host, server, (text, from) => this.#onMessage(text, from));
      this.#wires.set(one.port, opening);
    }
    const wire = await opening;
    const before = this.#lastRegister.get(one.port);
    let text = before;
    if (text === undefined || !one.again) {
      text = this.#registerText(
        wire,
        one.callId === 0 ? `reg-${this.identity.user}` : `reg${one.callId}-${this.identity.user}`,
        team,
        '',
      );
      this.#lastRegister.set(one.port, text);
    }
    if (Number.isNaN(this.firstRegisterAt)) this.firstRegisterAt = wallMs();
    this.registers += 1;
    this.#unanswered = true;
    this.#registeredAt = wallMs();
    wire.send(text);
  }

  #registerText(wire: Wire, callId: string, team: string, authorization: string): string {
    this.#cseq += 1;
    const { identity } = this;
    return `REGISTER sip:${benchDomain} SIP/2.0\r\nVia: ${wire.via};rport;branch=z9hG4bKw${identity.index}.${this.#cseq}\r\nMax-Forwards: 70\r\n${identityLines(identity, callId)}${contactLine(identity, wire.local, wire.transport, team)}Expires: 3600\r\nUser-Agent: bench\r\nCSeq: ${this.#cseq} REGISTER\r\n${authorization}Content-Length: 0\r\n\r\n`;
  }

  #onMessage(text: string, wire: Wire): void {
    const status = statusOf(text);
    if (status !== 0) return this.#onResponse(text, status, wire);
    switch (methodOf(text)) {
      case 'INVITE':
        return this.#onInvite(text, wire);
      case 'ACK':
        return this.#onAck(text);
      case 'CANCEL':
        return this.#onCancel(text, wire);
      case 'BYE':
        wire.send(answer(text, '200 OK', '', ''));
        if (this.bye === 'none') {
          this.bye = 'received';
          this.#plan.onLegOver(this);
        }
        return;
      default:
        wire.send(answer(text, '200 OK', 'p', ''));
    }
  }

  #onResponse(text: string, status: number, wire: Wire): void {
    const cseq = field(text, 'CSeq');
    if (cseq.endsWith('REGISTER')) this.#unanswered = false;
    if (cseq.endsWith('BYE')) {
      if (status >= 200 && this.bye === 'sent') {
        this.bye = 'answered';
        this.#plan.onLegOver(this);
      }
    } else if (status === 200) {
      if (Number.isNaN(this.acceptedAt)) this.acceptedAt = wallMs();
    } else if (status === 401) {
      const callId = field(text, 'Call-ID').replace('@phone', '');
      this.registers += 1;
      wire.send(
        this.#registerText(
          wire,
          callId,
          this.#plan.team,
          'Authorization: Digest username="u", realm="pbx", nonce="n1", uri="sip:pbx", response="0"\r\n',
        ),
      );
    } else if (status > 200) this.registerRefusals += 1;
  }

  #onInvite(text: string, wire: Wire): void {
    const known = this.invites.get(branchOf(text));
    if (known !== undefined) {
      this.repeatedInvites += 1;
      if (known.state !== 'over') wire.send(known.response);
      return;
    }
    if (Number.isNaN(this.invitedAt)) {
      this.invitedAt = wallMs();
      this.invitedEarly = Number.isNaN(this.acceptedAt);
    }
    const contact = `Contact: <sip:${this.identity.user}@${wire.local}${wire.transport === 'tcp' ? ';transport=tcp' : ''}>\r\n`;
    const leg: Leg = {
      invite: text,
      wire,
      response: answer(text, '180 Ringing', 'p', contact),
      state: 'ringing',
      sentAt: 0,
    };
    this.invites.set(branchOf(text), leg);
    wire.send(leg.response);
    setTimeout(() => {
      if (leg.state !== 'ringing') return;
      leg.state = 'answered';
      leg.response = answer(text, '200 OK', 'p', `${contact}Content-Type: application/sdp\r\n`, sdp);
      leg.sentAt = wallMs();
      wire.send(leg.response);
    }, this.#plan.ringMs);
  }

  #onAck(text: string): void {
    for (const leg of this.invites.values()) {
      if (field(leg.invite, 'Call-ID') !== field(text, 'Call-ID') || leg.state !== 'answered') continue;
      leg.state = 'talking';
      this.acked = true;
    }
  }

  #onCancel(text: string, wire: Wire): void {
    wire.send(answer(text, '200 OK', 'p', ''));
    const leg = this.invites.get(branchOf(text));
    if (leg?.state !== 'ringing') return;
    leg.state = 'over';
    leg.response = answer(leg.invite, '487 Request Terminated', 'p', '');
    leg.wire.send(leg.response);
  }
}
