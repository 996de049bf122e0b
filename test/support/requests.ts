/** Requests outside calls, from either side of the edge, and subscriptions as a plain user agent keeps them. */
import type { ClientTransaction, ServerTransaction } from '../../apps/demo/transactions.ts';
import { newCallId, newTag, type UserAgent } from '../../apps/demo/ua.ts';
import type { Remote } from '../../apps/demo/wire.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { parseNameAddr } from '../../lib/sip/name-addr.ts';
import type { SipRequest, SipResponse } from '../../lib/sip/message.ts';
import { type Bed, homeDomain, pbxDomain } from './test-bed.ts';

type Fields = readonly (readonly [string, string])[];

export interface Said {
  readonly headers?: Fields;
  readonly body?: string;
}

/** From the PBX to the newest contact of a user, outside any dialog. */
export function fromPbx(bed: Bed, method: string, user: string, said: Said = {}): ClientTransaction {
  const contact = bed.pbx.bindings(user).at(-1)?.contact;
  if (contact === undefined) throw new Error(`${user} is not registered at the PBX`);
  return bed.pbx.ua.request(method, contact, options(bed, method, `<sip:${user}@${pbxDomain}>`, said));
}

/** From the PBX to a user of the home domain, by AOR. */
export function fromTrunk(bed: Bed, method: string, user: string, said: Said = {}): ClientTransaction {
  const uri = `sip:${user}@${homeDomain}`;
  return bed.pbx.ua.request(method, uri, {
    ...options(bed, method, `<${uri}>`, said),
    to: bed.edge.at(bed.pbx.ua.local.transport),
  });
}

/** From a phone to somebody at the PBX. */
export function fromPhone(phone: Phone, method: string, to: string, said: Said = {}): ClientTransaction {
  const uri = `sip:${to}@${pbxDomain}`;
  const headers = Headers.of([
    ['From', `<${phone.aor}>;tag=${newTag()}`],
    ['To', `<${uri}>`],
    ['Call-ID', newCallId()],
    ['CSeq', `1 ${method}`],
    ['Contact', `<${phone.ua.uri(phone.options.user)}>`],
    ...(said.headers ?? []),
  ]);
  return phone.ua.request(method, uri, { headers, body: said.body ?? '' });
}

function options(bed: Bed, method: string, to: string, { headers = [], body = '' }: Said) {
  return {
    headers: Headers.of([
      ['From', `"Bob" <sip:bob@${pbxDomain}>;tag=${newTag()}`],
      ['To', to],
      ['Call-ID', newCallId()],
      ['CSeq', `1 ${method}`],
      ['Contact', `<${bed.pbx.ua.uri('bob')}>`],
      ...headers,
    ]),
    body,
  };
}

/** One side of a dialog that a SUBSCRIBE has made (RFC 6665): sends inside it and counts. */
export class PeerDialog {
  readonly #ua: UserAgent;
  readonly #way: Remote | undefined;
  readonly #target: string;
  readonly #fields: readonly (readonly [string, string])[];
  #cseq: number;

  private constructor(
    ua: UserAgent,
    way: Remote | undefined,
    target: string,
    fields: readonly (readonly [string, string])[],
    cseq: number,
  ) {
    this.#ua = ua;
    this.#way = way;
    this.#target = target;
    this.#fields = fields;
    this.#cseq = cseq;
  }

  /** Of whoever accepted the SUBSCRIBE with `answer`. */
  static notifier(
    ua: UserAgent,
    incoming: ServerTransaction,
    answer: SipResponse,
    { way, sent = 0 }: { readonly way?: Remote; readonly sent?: number } = {},
  ): PeerDialog {
    const { headers } = incoming.request;
    return new PeerDialog(
      ua,
      way,
      targetOf(headers),
      [
        ['From', answer.headers.get('To') ?? ''],
        ['To', headers.get('From') ?? ''],
        ['Call-ID', headers.get('Call-ID') ?? ''],
      ],
      sent,
    );
  }

  /** Of whoever sent the SUBSCRIBE that got `answer`. */
  static subscriber(ua: UserAgent, asked: SipRequest, answer: SipResponse, way?: Remote): PeerDialog {
    return new PeerDialog(
      ua,
      way,
      targetOf(answer.headers),
      [
        ['From', asked.headers.get('From') ?? ''],
        ['To', answer.headers.get('To') ?? ''],
        ['Call-ID', asked.headers.get('Call-ID') ?? ''],
      ],
      1,
    );
  }

  request(method: string, { headers = [], body = '' }: Said = {}): ClientTransaction {
    const { local } = this.#ua;
    const own = Headers.of([
      ...this.#fields,
      ['CSeq', `${++this.#cseq} ${method}`],
      ['Contact', `<sip:peer@${local.address}:${local.port};transport=${local.transport}>`],
      ...headers,
    ]);
    return this.#ua.request(method, this.#target, {
      headers: own,
      body,
      ...(this.#way === undefined ? {} : { to: this.#way }),
    });
  }
}

function targetOf(headers: Headers): string {
  return parseNameAddr(headers.get('Contact') ?? '')?.uri ?? '';
}
