/**
 * A phone that can be woken by a push (RFC 8599 4.1): registers through the edge, sleeps with its sockets closed, wakes on
 * a new port or the old one, with one REGISTER or a burst of them. What it does with a call is up to its owner.
 */
import { Headers } from '../../lib/sip/headers.ts';
import type { SipResponse } from '../../lib/sip/message.ts';
import { tagOf } from '../../lib/sip/name-addr.ts';
import { IncomingCall, OutgoingCall } from './calls.ts';
import type { Credentials, DigestAlgorithm } from './digest.ts';
import { Mailbox } from './mailbox.ts';
import { type Crossing, newCallId, newTag, UserAgent } from './ua.ts';
import type { Remote } from './wire.ts';
import { printMessage } from '../../lib/sip/message.ts';

export interface PushIdentity {
  readonly provider: string;
  readonly param: string;
  readonly prid: string;
}

export interface PhoneOptions {
  readonly user: string;
  readonly domain: string;
  readonly password?: string;
  /** answers only challenges with this algorithm */
  readonly algorithm?: DigestAlgorithm;
  readonly address: string;
  /** a fixed port, in UDP and for the local end of TCP */
  readonly port?: number;
  /** `address:port` that it writes into its Contacts, when there is a NAT between it and the edge; its own when absent */
  readonly behindNat?: string;
  /** where everything is sent; its transport is the phone's */
  readonly edge: Remote;
  /** none: a plain phone */
  readonly push?: PushIdentity;
  /** urn:uuid:... */
  readonly instanceId?: string;
  /** seconds asked for; 3600 when absent */
  readonly expires?: number;
  readonly onCrossing?: (crossing: Crossing) => void;
}

export interface RegisterOptions {
  /** seconds; 0 removes the binding */
  readonly expires?: number;
  /** another Call-ID than the phone's own */
  readonly callId?: string;
  /** a whole Contact value instead of the phone's; '' for none (a fetch) */
  readonly contact?: string;
  readonly headers?: Headers;
  /** one of the phone's agents instead of the newest */
  readonly agent?: UserAgent;
  /** how often the same octets are sent at once, as impatient phones and networks do; 1 when absent */
  readonly copies?: number;
  readonly password?: string;
}

export interface WakeOptions {
  readonly samePort?: boolean;
  /** another address than the phone's own: it has moved to another network */
  readonly address?: string;
  /** REGISTERs at once, each with a Call-ID of its own; the phone's own Call-ID when 1 or absent */
  readonly callIds?: number;
  /** sockets that all register, one REGISTER each (times callIds) */
  readonly ports?: number;
  /** how often each is sent */
  readonly copies?: number;
  /** the app was started anew: another Call-ID, From tag and CSeq */
  readonly restarted?: boolean;
}

export class Phone {
  readonly options: PhoneOptions;
  /** crossings of all agents the phone ever had, in order */
  readonly crossings: Crossing[] = [];
  /** initial INVITEs that reached it, retransmissions not counted */
  readonly invites: IncomingCall[] = [];
  readonly #calls = new Mailbox<IncomingCall>();
  #agents: UserAgent[] = [];
  readonly #cseqs = new Map<string, number>();
  #callId = newCallId();
  #tag = newTag();
  #lastPort: number | undefined;
  /** pn-*; changed when the push service gives a new token */
  push: PushIdentity | undefined;
  /** where everything is sent from its next socket on, as when DNS or a load balancer gives it another edge */
  edge: Remote;

  constructor(options: PhoneOptions) {
    this.options = options;
    this.edge = options.edge;
    this.push = options.push;
    this.#lastPort = options.port;
  }

  get aor(): string {
    return `sip:${this.options.user}@${this.options.domain}`;
  }

  /** The newest agent; throws when the phone sleeps. */
  get ua(): UserAgent {
    const agent = this.#agents.at(-1);
    if (agent === undefined) throw new Error(`${this.options.user} sleeps`);
    return agent;
  }

  get awake(): boolean {
    return this.#agents.length > 0;
  }

  /** Opens a socket; no REGISTER yet. */
  async open(port?: number, address = this.options.address): Promise<UserAgent> {
    const { edge } = this;
    const { onCrossing } = this.options;
    const chosen = port ?? this.options.port;
    const agent = await UserAgent.open({
      transport: edge.transport,
      address,
      outbound: edge,
      ...(chosen === undefined ? {} : { port: chosen }),
      onCrossing: (crossing) => {
        this.crossings.push(crossing);
        onCrossing?.(crossing);
      },
    });
    agent.take((incoming) => {
      if (incoming.request.method !== 'INVITE' || tagOf(incoming.request.headers.get('To') ?? '') !== undefined)
        return false;
      const call = new IncomingCall(agent, incoming, `<${this.#uri(agent)}>`);
      this.invites.push(call);
      this.#calls.put(call);
      return true;
    });
    this.#agents.push(agent);
    this.#lastPort = agent.local.port;
    return agent;
  }

  /** To another network with everything it has in mind; it has not told anybody yet. Gives its new Contact. */
  async move(address: string): Promise<string> {
    await this.ua.move(address, this.edge);
    return `<${this.#uri(this.ua)}>`;
  }

  /** Where it thinks it is. */
  #uri(agent: UserAgent): string {
    const { user, behindNat } = this.options;
    return behindNat === undefined ? agent.uri(user) : `sip:${user}@${behindNat};transport=${this.edge.transport}`;
  }

  /** The Contact value of a REGISTER. */
  contact(agent: UserAgent = this.ua, extra = ''): string {
    const { push } = this;
    const pn = push === undefined ? '' : `;pn-provider=${push.provider};pn-param=${push.param};pn-prid=${push.prid}`;
    const instance = this.options.instanceId === undefined ? '' : `;+sip.instance="<${this.options.instanceId}>"`;
    return `<${this.#uri(agent)}${pn}>${instance}${extra}`;
  }

  /** One registration, a challenge answered when it comes and we know the password. Gives the last answer. */
  async register(options: RegisterOptions = {}): Promise<SipResponse> {
    const agent = options.agent ?? (this.awake ? this.ua : await this.open());
    const callId = options.callId ?? this.#callId;
    const { user, domain, algorithm } = this.options;
    const contact = options.contact ?? this.contact(agent);
    const fields = (): Headers => {
      const cseq = (this.#cseqs.get(callId) ?? 0) + 1;
      this.#cseqs.set(callId, cseq + 1); // one more for the answer to a challenge
      const headers = Headers.of([
        ['From', `<${this.aor}>;tag=${this.#tag}`],
        ['To', `<${this.aor}>`],
        ['Call-ID', callId],
        ['CSeq', `${cseq} REGISTER`],
        ['Supported', 'path, outbound'],
      ]);
      if (contact !== '') headers.add('Contact', contact);
      if (contact !== '' || options.expires !== undefined)
        headers.add('Expires', String(options.expires ?? this.options.expires ?? 3600));
      for (const [name, value] of options.headers?.entries() ?? []) headers.add(name, value);
      return headers;
    };
    const password = options.password ?? this.options.password;
    const credentials: Credentials | undefined =
      password === undefined ? undefined : { user, password, ...(algorithm === undefined ? {} : { algorithm }) };
    const pending = agent.authenticated('REGISTER', `sip:${domain}`, { headers: fields() }, credentials);
    const sent = agent.crossings.filter(({ direction }) => direction === 'out').at(-1)?.message;
    if (sent !== undefined) {
      for (let copy = 1; copy < (options.copies ?? 1); copy++) agent.sendRaw(printMessage(sent), this.edge);
    }
    return (await pending).answer;
  }

  /** Closes every socket, as the system does with an app it suspends. Bindings stay. */
  async sleep(): Promise<void> {
    const agents = this.#agents;
    this.#agents = [];
    await Promise.all(agents.map((agent) => agent.close()));
  }

  /** Comes back and registers; gives the last answer of each REGISTER. */
  async wake(options: WakeOptions = {}): Promise<readonly SipResponse[]> {
    await this.sleep();
    if (options.restarted === true) {
      this.#callId = newCallId();
      this.#tag = newTag();
    }
    const copies = options.copies ?? 1;
    const agents: UserAgent[] = [];
    for (let count = 0; count < (options.ports ?? 1); count++)
      agents.push(
        await this.open(options.samePort === true && count === 0 ? this.#lastPort : undefined, options.address),
      );
    const many = options.callIds ?? 1;
    return Promise.all(
      agents.flatMap((agent, index) =>
        Array.from({ length: many }, (_, number) =>
          this.register({ agent, copies, ...(index === 0 && number === 0 ? {} : { callId: newCallId() }) }),
        ),
      ),
    );
  }

  /** The next call that rings here. */
  nextCall(withinMs = 10_000): Promise<IncomingCall> {
    return this.#calls.next(() => true, withinMs, `a call at ${this.options.user}`);
  }

  call(
    user: string,
    options: { readonly body?: string; readonly headers?: Headers; readonly contact?: string } = {},
  ): OutgoingCall {
    const { domain, password, algorithm } = this.options;
    const uri = `sip:${user}@${domain}`;
    return new OutgoingCall(this.ua, uri, {
      from: `<${this.aor}>`,
      to: `<${uri}>`,
      contact: options.contact ?? `<${this.#uri(this.ua)}>`,
      remote: this.edge,
      ...(options.body === undefined ? {} : { body: options.body }),
      ...(options.headers === undefined ? {} : { headers: options.headers }),
      ...(password === undefined
        ? {}
        : { credentials: { user: this.options.user, password, ...(algorithm === undefined ? {} : { algorithm }) } }),
    });
  }

  /** What came in or went out over all agents, retransmissions left out. */
  seen(direction: 'in' | 'out', start: string): readonly Crossing[] {
    return this.crossings.filter(
      (one) =>
        !one.copy &&
        one.direction === direction &&
        (one.message.kind === 'request' ? one.message.method : String(one.message.status)) === start,
    );
  }
}
