/**
 * A fake PBX: accepts every REGISTER that the edge sends on and remembers the Contact it names, so that calls can go there.
 * Answers from one UDP port; requests and responses of calls go to the load that placed them.
 */
import { answer, field, methodOf, statusOf, uriIn, userIn } from './sip-text.ts';
import { openWire, type HostPort, type OnMessage, type Wire } from './wire.ts';

export class Pbx {
  /** REGISTERs received, repetitions too */
  registers = 0;
  /** answered with 401 because the AOR is in `challenged` and nothing was in Authorization */
  challenges = 0;
  /** users whose REGISTER without credentials gets a 401 */
  readonly challenged = new Set<string>();
  /** per user the URI under which the edge wants to be called */
  readonly contacts = new Map<string, string>();
  onCallMessage: OnMessage = () => undefined;
  #wire: Wire | undefined;

  /** Speaks to `edge` only, from `host`:`port`. */
  static async open(host: string, port: number, edge: HostPort): Promise<Pbx> {
    const pbx = new Pbx();
    pbx.#wire = await openWire('udp', host, edge, (text, wire) => pbx.#onMessage(text, wire), port);
    return pbx;
  }

  get wire(): Wire {
    if (this.#wire === undefined) throw new Error('the PBX is not open');
    return this.#wire;
  }

  close(): void {
    this.#wire?.close();
  }

  #onMessage(text: string, wire: Wire): void {
    if (statusOf(text) !== 0) return this.onCallMessage(text, wire);
    const method = methodOf(text);
    if (method === 'REGISTER') return this.#register(text, wire);
    if (method === 'OPTIONS') return wire.send(answer(text, '200 OK', 'pbx', ''));
    this.onCallMessage(text, wire);
  }

  #register(text: string, wire: Wire): void {
    this.registers += 1;
    const user = userIn(field(text, 'To'));
    if (this.challenged.size > 0 && this.challenged.has(user) && field(text, 'Authorization') === '') {
      this.challenges += 1;
      wire.send(
        answer(text, '401 Unauthorized', 'pbx', 'WWW-Authenticate: Digest realm="pbx", nonce="n1", algorithm=MD5\r\n'),
      );
      return;
    }
    const contact = field(text, 'Contact');
    this.contacts.set(user, uriIn(contact));
    const expires = contact.includes(';expires=') ? '' : ';expires=3600';
    wire.send(answer(text, '200 OK', 'pbx', `Contact: ${contact}${expires}\r\n`));
  }
}
