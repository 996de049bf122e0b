/**
 * Requests of a phone to the PBX, made with the account of the edge: they go out under the name the PBX knows, along its Service-Route,
 * and challenges of the PBX are answered here (RFC 3261 22). A phone never sees one: it has no password for it.
 */
import { answerChallenge, type Challenge, isSamePlace, readChallenges } from '../core/digest-client.ts';
import type { Client, ClientAnswer, ClientRequest } from '../ports/client.ts';
import type { Dialog, DialogAnswer, DialogRequest } from '../ports/dialog.ts';
import type { Leg, LegEvents, LegRequest, Legs } from '../ports/leg.ts';
import type { Headers } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';
import { parseNameAddr, printNameAddr } from '../sip/name-addr.ts';
import { parseUri, printUri } from '../sip/uri.ts';

export interface Login {
  /** URI of From: `sip:user@registrar` */
  readonly identity: string;
  /** domain the phone calls by, and the one the PBX knows instead */
  readonly domain: string;
  readonly registrar: string;
  readonly user: string;
  readonly password: string;
  /** answer challenges of this realm only; of any when undefined */
  readonly realm: string | undefined;
  /** Service-Route of the registration (RFC 3608); begins every request outside dialogs */
  readonly routes: readonly string[];
  /** `sip:host:port;transport=t` where that begins; undefined: the request goes where it would go anyway */
  readonly firstHop: string | undefined;
  readonly hex: (octets: number) => string;
}

/** A challenge with a new nonce is answered so often for one request and place. */
const mostAnswers = 2;

/** The challenges of one request, answered one after another. */
class Answering {
  readonly #login: Login;
  readonly #known: { readonly challenge: Challenge; count: number; answers: number }[] = [];

  constructor(login: Login) {
    this.#login = login;
  }

  /** False when the answer is no challenge, or one that cannot be answered (any more). */
  take({ status, headers }: SipResponse): boolean {
    if (status !== 401 && status !== 407) return false;
    const asked = readChallenges(headers, this.#login.realm);
    if (asked.length === 0) return false;
    for (const challenge of asked) {
      const at = this.#known.findIndex((other) => isSamePlace(other.challenge, challenge));
      const before = this.#known[at];
      if (before !== undefined && (before.challenge.nonce === challenge.nonce || before.answers >= mostAnswers))
        return false;
      const next = { challenge, count: 0, answers: (before?.answers ?? 0) + 1 };
      if (before === undefined) this.#known.push(next);
      else this.#known[at] = next;
    }
    return true;
  }

  /** Adds the credentials for what was asked so far. */
  addTo(headers: Headers, method: string, uri: string, body: string): Headers {
    for (const known of this.#known) {
      known.count += 1;
      const ask = { method, uri, body, count: known.count, cnonce: this.#login.hex(8) };
      headers.add(...answerChallenge(known.challenge, this.#login, ask));
    }
    return headers;
  }
}

/** INVITEs; a challenged one is a new one with the same Call-ID and From tag and the next CSeq (RFC 3261 22.2). */
export function legsWith(legs: Legs, login: Login): Legs {
  return {
    start: (request, events) => {
      const own = underOwnName(request, login);
      const names = { callId: own.headers.get('Call-ID') ?? login.hex(16), tag: login.hex(8) };
      return new AnsweringLeg(legs, login, { ...request, ...own }, names, events);
    },
  };
}

class AnsweringLeg implements Leg {
  readonly #legs: Legs;
  readonly #login: Login;
  readonly #request: LegRequest;
  readonly #names: { readonly callId: string; readonly tag: string };
  readonly #events: LegEvents;
  readonly #answering: Answering;
  #cseq = 0;
  #leg: Leg;
  #cancelled = false;

  constructor(
    legs: Legs,
    login: Login,
    request: LegRequest,
    names: { callId: string; tag: string },
    events: LegEvents,
  ) {
    this.#legs = legs;
    this.#login = login;
    this.#request = request;
    this.#names = names;
    this.#events = events;
    this.#answering = new Answering(login);
    this.#leg = this.#start();
  }

  get callId(): string | undefined {
    return this.#names.callId;
  }

  cancel(reason?: string): void {
    this.#cancelled = true;
    this.#leg.cancel(reason);
  }

  move(nextHop: string): void {
    this.#leg.move(nextHop);
  }

  #start(): Leg {
    this.#cseq += 1;
    const { uri, nextHop, routes, body } = this.#request;
    const headers = this.#request.headers.copy();
    const from = parseNameAddr(headers.get('From') ?? '');
    if (from !== undefined)
      headers.set(
        'From',
        printNameAddr({ ...from, params: [...from.params, { name: 'tag', value: this.#names.tag }] }),
      );
    headers.set('Call-ID', this.#names.callId);
    headers.set('CSeq', `${this.#cseq} INVITE`);
    this.#answering.addTo(headers, 'INVITE', uri, body);
    return this.#legs.start(
      { uri, nextHop, headers, body, ...(routes && { routes }) },
      {
        progress: this.#events.progress,
        answered: (response, dialog, ack) => this.#events.answered(response, dialogWith(dialog, this.#login), ack),
        failed: (response, local) => {
          if (!local && !this.#cancelled && this.#answering.take(response)) this.#leg = this.#start();
          else this.#events.failed(local ? response : withoutChallenge(response), local);
        },
      },
    );
  }
}

/** Requests outside dialogs. */
export function clientWith(client: Client, login: Login): Client {
  return {
    send: async (request) => {
      const own = { ...request, ...underOwnName(request, login) };
      const answering = new Answering(login);
      let cseq = Number.parseInt(own.headers.get('CSeq') ?? '1', 10) || 1;
      let answer: ClientAnswer = await client.send(own);
      while (!answer.local && answering.take(answer.response)) {
        cseq += 1;
        const headers = own.headers.copy();
        headers.set('CSeq', `${cseq} ${own.method}`);
        answer = await client.send({ ...own, headers: answering.addTo(headers, own.method, own.uri, own.body) });
      }
      return {
        ...answer,
        response: answer.local ? answer.response : withoutChallenge(answer.response),
        ...(answer.dialog === undefined ? {} : { dialog: dialogWith(answer.dialog, login) }),
      };
    },
  };
}

/** The PBX's side of a call or subscription. Its target is the engine's knowledge, so the digest names the PBX. */
export function dialogWith(dialog: Dialog, login: Login): Dialog {
  return {
    callId: dialog.callId,
    localTag: dialog.localTag,
    remoteTag: dialog.remoteTag,
    request: async (request) => {
      const own = { ...request, headers: withoutCredentials(request.headers) };
      const answering = new Answering(login);
      let answer: DialogAnswer = await dialog.request(own);
      // a CANCEL has come meanwhile: the INVITE it was for is over
      const over = (): boolean => (own as DialogRequest).cancel?.aborted === true;
      while (!answer.local && !over() && answering.take(answer.response))
        answer = await dialog.request({
          ...own,
          headers: answering.addTo(own.headers.copy(), own.method, `sip:${login.registrar}`, own.body),
        });
      return answer.local ? answer : { ...answer, response: withoutChallenge(answer.response) };
    },
    onRequest: (listener) => dialog.onRequest(listener),
    onAck: (listener) => dialog.onAck(listener),
    onEnd: (listener) => dialog.onEnd(listener),
    close: () => dialog.close(),
  };
}

/** What the PBX refuses to the account is no question to the phone. */
function withoutChallenge(response: SipResponse): SipResponse {
  if (response.status !== 401 && response.status !== 407) return response;
  const headers = response.headers.copy();
  for (const name of ['WWW-Authenticate', 'Proxy-Authenticate']) headers.delete(name);
  return { ...response, status: 403, reason: 'Account Refused By PBX', headers };
}

function withoutCredentials(headers: Headers): Headers {
  const copy = headers.copy();
  for (const name of ['Authorization', 'Proxy-Authorization']) copy.delete(name);
  return copy;
}

/** From as the PBX knows the account, the domain of whoever is called likewise; nothing of the phone's own credentials. */
function underOwnName<T extends Pick<ClientRequest, 'uri' | 'headers' | 'nextHop' | 'routes'>>(
  request: T,
  login: Login,
): Pick<T, 'uri' | 'headers' | 'nextHop' | 'routes'> {
  const headers = withoutCredentials(request.headers);
  const from = parseNameAddr(headers.get('From') ?? '');
  if (from !== undefined) headers.set('From', printNameAddr({ ...from, uri: login.identity }));
  const to = parseNameAddr(headers.get('To') ?? '');
  if (to !== undefined) headers.set('To', printNameAddr({ ...to, uri: atRegistrar(to.uri, login) }));
  const nextHop = login.firstHop ?? request.nextHop;
  return {
    uri: atRegistrar(request.uri, login),
    headers,
    ...(nextHop === undefined ? {} : { nextHop }),
    ...(login.routes.length === 0 ? {} : { routes: login.routes }),
  } as Pick<T, 'uri' | 'headers' | 'nextHop' | 'routes'>;
}

function atRegistrar(text: string, { domain, registrar }: Login): string {
  const uri = parseUri(text);
  if (uri === undefined || domain === registrar || uri.host.toLowerCase() !== domain) return text;
  return printUri({ ...uri, host: registrar });
}
