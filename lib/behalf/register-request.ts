/** The REGISTER of an account, and what its answer says (RFC 3261 10.2, RFC 3327, RFC 3608). */
import { answerChallenge, readChallenges } from '../core/digest-client.ts';
import type { OutboundEffect, OutboundRegistration, RegisterAnswer } from '../core/outbound-registration.ts';
import type { ClientRequest } from '../ports/client.ts';
import { hostOf } from '../sip/flow.ts';
import { Headers } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { findParam, parseUri } from '../sip/uri.ts';
import type { Account } from './accounts.ts';

type Send = Extract<OutboundEffect, { do: 'send' }>;

/** How the PBX calls the account. */
export function identityOf({ user, registrar }: Pick<Account, 'user' | 'registrar'>): string {
  return `sip:${user}@${hostOf(registrar)}`;
}

export function registerRequest(
  account: Pick<Account, 'user' | 'registrar' | 'authUser'>,
  { callId, tag }: OutboundRegistration,
  { cseq, contacts, expires, credentials }: Send,
  password: string,
  hex: (octets: number) => string,
): Omit<ClientRequest, 'nextHop' | 'timeoutMs'> {
  const identity = identityOf(account);
  const uri = `sip:${hostOf(account.registrar)}`;
  const headers = Headers.of([
    ['Max-Forwards', '70'],
    ['From', `<${identity}>;tag=${tag}`],
    ['To', `<${identity}>`],
    ['Call-ID', callId],
    ['CSeq', `${cseq} REGISTER`],
    ['Contact', contacts.map((each) => `<${each.uri}>;expires=${each.expires}`).join(', ')],
    ['Expires', String(expires)],
    ['Supported', 'path'],
    ['User-Agent', 'Reveille'],
  ]);
  const login = { user: account.authUser, password };
  for (const { challenge, count } of credentials)
    headers.add(...answerChallenge(challenge, login, { method: 'REGISTER', uri, body: '', count, cnonce: hex(8) }));
  return { method: 'REGISTER', uri, headers, body: '' };
}

/** `contact`: the URI that was registered; the host may come back changed, its user part is ours alone. */
export function readAnswer(
  { status, reason, headers }: SipResponse,
  contact: string,
  realm: string | undefined,
): RegisterAnswer {
  return {
    status,
    reason,
    challenges: readChallenges(headers, realm),
    granted: grantedTo(contact, headers),
    minExpires: seconds(headers.get('Min-Expires')),
    retryAfter: seconds(headers.get('Retry-After')),
    serviceRoute: headers.list('Service-Route'),
    path: headers.list('Path'),
  };
}

function grantedTo(contact: string, headers: Headers): number | undefined {
  const user = parseUri(contact)?.user?.toLowerCase();
  for (const value of headers.list('Contact')) {
    const addr = parseNameAddr(value);
    if (addr === undefined || parseUri(addr.uri)?.user?.toLowerCase() !== user) continue;
    const granted = seconds(findParam(addr.params, 'expires')?.value);
    if (granted !== undefined) return granted;
  }
  return seconds(headers.get('Expires'));
}

/** Retry-After may go on with a comment and parameters. */
function seconds(text: string | undefined): number | undefined {
  const found = /^\s*(\d{1,10})(?![\d.])/.exec(text ?? '')?.[1];
  return found === undefined ? undefined : Number(found);
}
