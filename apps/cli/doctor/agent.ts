/** A SIP agent on a free port of its own towards one server, and what comes of one request. */
import type { Outcome } from '../../../lib/doctor/judge-upstream.ts';
import { RouteTable } from '../../../lib/engine/transport/route.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { type Credentials } from '../../demo/digest.ts';
import { newCallId, newTag, UserAgent } from '../../demo/ua.ts';

export interface Place {
  readonly transport: 'udp' | 'tcp' | 'tls';
  /** IP address without brackets */
  readonly address: string;
  readonly port: number;
  /** what its certificate must be for */
  readonly name: string;
}

export interface Agent {
  readonly ua: UserAgent;
  /** a request that this agent has sent came back to it */
  cameBack(): boolean;
  /** ms at which OPTIONS for it came that were not its own */
  readonly qualified: readonly number[];
}

const routes = new RouteTable();

/** Rejects when there is no way or no connection within the time. The caller closes it. */
export async function openAgent({ transport, address, port, name }: Place, withinMs: number): Promise<Agent> {
  const source = routes.sourceOf(address);
  if (source === undefined) throw new Error(`no route to ${address}`);
  const opening = UserAgent.open({
    transport,
    address: source,
    outbound: { transport, address, port, ...(transport === 'tls' ? { unchecked: { name: nameOf(name) } } : {}) },
  });
  const ua = await within(opening, withinMs, `no connection within ${Math.round(withinMs / 1000)} s`, (late) =>
    late.close(),
  );
  const qualified: number[] = [];
  let back = false;
  ua.take((incoming) => {
    const { method, headers } = incoming.request;
    const ours = ua
      .seen('out', method)
      .some(({ message }) => message.headers.get('Call-ID') === headers.get('Call-ID'));
    if (ours) back = true;
    else if (method === 'OPTIONS') qualified.push(performance.now());
    if (method !== 'ACK') incoming.respond(ours ? 482 : method === 'OPTIONS' ? 200 : 480);
    return true;
  });
  return { ua, cameBack: () => back, qualified };
}

/** SNI takes no addresses. */
function nameOf(name: string): string | undefined {
  return /[a-z]/i.test(name) && !name.includes(':') ? name : undefined;
}

export interface Asked {
  readonly method: 'OPTIONS' | 'REGISTER';
  readonly uri: string;
  /** AOR as a URI; of the doctor itself when left out */
  readonly aor?: string;
  readonly fields?: readonly (readonly [name: string, value: string])[];
  readonly callId?: string;
  readonly cseq?: number;
  readonly credentials?: Credentials | undefined;
}

/** Never rejects. */
export async function ask({ ua, cameBack }: Agent, asked: Asked, withinMs: number): Promise<Outcome> {
  const { method, uri, aor, fields = [], callId = newCallId(), cseq = 1, credentials } = asked;
  const headers = Headers.of([
    ['From', `<${aor ?? ua.uri('doctor')}>;tag=${newTag()}`],
    ['To', `<${aor ?? uri}>`],
    ['Call-ID', callId],
    ['CSeq', `${cseq} ${method}`],
    ['Accept', 'application/sdp'],
    ...fields,
  ]);
  const begun = performance.now();
  try {
    const { transaction, answer } = await within(
      ua.authenticated(method, uri, { headers }, credentials),
      withinMs,
      'silent',
    );
    const sent = ua.crossings.findLast(({ direction, message, copy }) => {
      return direction === 'out' && !copy && message === transaction.request;
    });
    const heard = ua.crossings.findLast(({ direction, message }) => direction === 'in' && message === answer);
    const ms = sent === undefined || heard === undefined ? performance.now() - begun : heard.atMs - sent.atMs;
    return cameBack() ? { is: 'came-back' } : { is: 'answered', response: answer, ms };
  } catch {
    return cameBack() ? { is: 'came-back' } : { is: 'silent', ms: performance.now() - begun };
  }
}

export function messageOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ECONNREFUSED' ? 'the connection is refused' : (message ?? String(error));
}

/** Rejects with `why` after the time; what comes later is given to `late`. */
export function within<T>(promise: Promise<T>, ms: number, why: string, late?: (value: T) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    let over = false;
    const timer = setTimeout(
      () => {
        over = true;
        reject(new Error(why));
      },
      Math.max(0, ms),
    );
    promise.then(
      (value) => {
        clearTimeout(timer);
        if (over) late?.(value);
        else resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error as Error);
      },
    );
  });
}
