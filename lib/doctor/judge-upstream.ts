/** What the answers of a PBX mean for phones that sleep. Pure: the messages and times are values. */
import { hintOf } from '../core/refusal-hints.ts';
import { parseContacts, readExpires } from '../sip/contact.ts';
import type { SipResponse } from '../sip/message.ts';
import type { Finding } from './finding.ts';

/** What came of one request. */
export type Outcome =
  | { readonly is: 'answered'; readonly response: SipResponse; readonly ms: number }
  | { readonly is: 'silent'; readonly ms: number }
  /** no connection: refused, no route, TLS */
  | { readonly is: 'unreachable'; readonly why: string }
  /** our own request came to us */
  | { readonly is: 'came-back' };

const slowMs = 300;
const skewSeconds = 30;
/** Below this a phone is pushed more than once in ten minutes only to stay registered. */
const shortSeconds = 600;

export function judgeOptions(about: string, outcome: Outcome, byPath: boolean): readonly Finding[] {
  const check = 'reachable';
  switch (outcome.is) {
    case 'silent':
      return [
        {
          ...{ check, about, result: 'fail', found: `no answer to OPTIONS within ${Math.round(outcome.ms / 1000)} s` },
          expected: 'any answer',
          fix: 'Compare host, port and transport in domains[].upstream with where the PBX listens, and let its firewall (fail2ban, access list) pass the address of the edge.',
        },
      ];
    case 'unreachable':
      return [
        {
          ...{ check, about, result: 'fail', found: outcome.why, expected: 'a connection' },
          fix: 'Compare port and transport in domains[].upstream with a listener of the PBX.',
        },
      ];
    case 'came-back':
      return [loopOf(about)];
    case 'answered':
      break;
    default:
      return outcome satisfies never;
  }
  const { response, ms } = outcome;
  const said = `${response.status} ${response.reason}`.trim();
  const software = response.headers.get('Server') ?? response.headers.get('User-Agent');
  const reachable: Finding =
    response.status === 503
      ? {
          ...{ check, about, result: 'fail', found: said, expected: 'any answer but 503' },
          fix: 'The PBX says that it is overloaded or stopping: look at its log.',
        }
      : response.status === 403
        ? {
            ...{ check, about, result: 'warn', found: said, expected: '200' },
            fix: 'An access list of the PBX knows nothing of this address: add the edge (Asterisk: identify/match, FreeSWITCH: acl, Kamailio: permissions).',
          }
        : { check, about, result: 'ok', found: software === undefined ? said : `${said} (${software})` };
  const loops = response.status === 482 || response.status === 483;
  return [
    reachable,
    ms > slowMs
      ? {
          ...{ check: 'round trip', about, result: 'warn', found: `${Math.round(ms)} ms` },
          expected: `less than ${slowMs} ms`,
          fix: 'Put the edge nearer to the PBX: a call to a sleeping phone waits for this several times.',
        }
      : { check: 'round trip', about, result: 'ok', found: `${ms.toFixed(1)} ms` },
    loops ? loopOf(about, said) : { check: 'loop', about, result: 'ok', found: 'the request ended at the PBX' },
    judgeSupported(about, response, byPath),
  ];
}

function loopOf(about: string, said = 'our own OPTIONS came back to us'): Finding {
  return {
    ...{ check: 'loop', about, result: 'fail', found: said, expected: 'a PBX that answers by itself' },
    fix: 'The PBX sends its own domain to the edge: give the domain to the PBX itself (Kamailio: alias, FreeSWITCH: domain or alias of the profile), and route only single users or prefixes to the edge.',
  };
}

function judgeSupported(about: string, { headers }: SipResponse, byPath: boolean): Finding {
  const tags = headers.list('Supported').map((tag) => tag.trim().toLowerCase());
  if (tags.includes('path')) return { check: 'path', about, result: 'ok', found: 'Supported: path' };
  if (!byPath)
    return { check: 'path', about, result: 'ok', found: 'not announced; this registration mode does without it' };
  return {
    ...{ check: 'path', about, result: 'warn', found: 'OPTIONS brings no "Supported: path"', expected: 'path' },
    fix: 'Try with --user, which sees whether Path is kept; if it is not: Asterisk support_path=yes in the aor, Kamailio use_path of registrar, else registration: mid-registrar.',
  };
}

/** `ms`: how long the answer was on its way; `now` (ms since the epoch) when it came. */
export function judgeClock(about: string, date: string | undefined, now: number, ms: number): Finding {
  const check = 'clock';
  if (date === undefined)
    return { check, about, result: 'skipped', found: 'no Date in its answers, so nothing to compare' };
  const theirs = Date.parse(date);
  if (Number.isNaN(theirs)) return { check, about, result: 'warn', found: 'a Date that cannot be read' };
  // a Date is cut off at the second
  const skew = Math.round((now - ms / 2 - theirs - 500) / 1000);
  if (Math.abs(skew) <= skewSeconds)
    return { check, about, result: 'ok', found: `within ${Math.max(1, Math.abs(skew))} s of ours` };
  return {
    ...{ check, about, result: 'warn', found: `${Math.abs(skew)} s ${skew > 0 ? 'behind' : 'ahead of'} ours` },
    expected: `at most ${skewSeconds} s`,
    fix: 'Let both hosts follow NTP: the tokens of push services and certificates need the right time.',
  };
}

export interface Trial {
  /** the user part and host of the Contact that was tried */
  readonly contact: string;
  readonly path: string;
  readonly asked: number;
  readonly byPath: boolean;
  /** contacts that were there before */
  readonly others: readonly string[];
}

/** The last answer to a trial REGISTER; `shortest`: Min-Expires of a 423 that came before. */
export function judgeRegister(
  about: string,
  outcome: Outcome,
  trial: Trial,
  shortest: number | undefined,
): readonly Finding[] {
  const check = 'register';
  if (outcome.is !== 'answered') {
    const found = outcome.is === 'unreachable' ? outcome.why : 'no answer to REGISTER';
    const fix =
      'OPTIONS tells whether the PBX can be reached at all; if it can, its registrar or its access list is silent.';
    return [{ check, about, result: 'fail', found, expected: '200', fix }];
  }
  const { response } = outcome;
  if (response.status >= 300) {
    const unsupported = response.headers.list('Unsupported').map((tag) => tag.trim().toLowerCase());
    const facts = { status: response.status, unsupported, byPath: true, requirePath: false, throttled: false };
    const found = `${response.status} ${response.reason}`.trim();
    const fix =
      response.status === 401 || response.status === 407
        ? 'The password or the auth user is wrong, or the realm is not that of this user.'
        : (hintOf(facts) ?? 'The log of the PBX says why.');
    return [{ check, about, result: 'fail', found, expected: '200', fix }];
  }
  const contacts = parseContacts(response.headers);
  const listed = contacts === 'malformed' || contacts === '*' ? [] : contacts;
  const ours = listed.find(({ uriText }) => uriText.includes(trial.contact));
  const granted = ours?.expires ?? readExpires(response.headers.get('Expires'));
  const lost = trial.others.filter((other) => !listed.some(({ uriText }) => uriText === other));
  const findings: Finding[] = [
    ours === undefined
      ? {
          ...{ check, about, result: 'warn', found: '200 without our Contact', expected: 'our Contact in the 200' },
          fix: 'The PBX rewrites Contacts (Asterisk: rewrite_contact, FreeSWITCH: NDLB-force-rport and aggressive-nat-detection): switch that off for endpoints behind the edge.',
        }
      : { check, about, result: 'ok', found: `${response.status} ${response.reason}, our Contact is kept` },
    judgeExpiry(about, granted, trial.asked),
    shortest === undefined
      ? { check: 'shortest expiry', about, result: 'skipped', found: 'no 423 came' }
      : { check: 'shortest expiry', about, result: 'ok', found: `Min-Expires ${shortest} s` },
    judgePath(about, response, trial),
  ];
  if (lost.length > 0)
    findings.push({
      ...{ check: 'contacts', about, result: 'warn', found: `${lost.length} other contact(s) were thrown out` },
      expected: 'room for every device of a user',
      fix: 'Raise max_contacts (Asterisk, Kamailio) or multiple-registrations (FreeSWITCH) to the number of devices of a user.',
    });
  return findings;
}

function judgeExpiry(about: string, granted: number | undefined, asked: number): Finding {
  const check = 'expiry';
  const fix =
    'Raise the cap (Asterisk: maximum_expiration of the aor, Kamailio: max_expires of registrar, FreeSWITCH: no sip-force-expires), or let the edge keep the rhythm: upstream_mode: throttled.';
  if (granted === undefined)
    return { check, about, result: 'warn', found: 'the 200 does not say', expected: 'expires of our Contact', fix };
  if (granted < shortSeconds)
    return {
      ...{ check, about, result: 'warn', found: `${granted} s granted of ${asked} s`, fix },
      expected: `${shortSeconds} s or more, so that phones are not pushed all the time only to stay registered`,
    };
  const capped = granted < asked ? ` of ${asked} s: phones are pushed once in that time to stay registered` : '';
  return { check, about, result: 'ok', found: `${granted} s granted${capped}` };
}

function judgePath(about: string, { headers }: SipResponse, { path, byPath }: Trial): Finding {
  const kept = headers.list('Path').some((value) => value.includes(path));
  const check = 'path kept';
  if (kept) return { check, about, result: 'ok', found: 'Path comes back in the 200' };
  const found = 'the 200 has no Path of ours';
  if (!byPath) return { check, about, result: 'ok', found: `${found}; this registration mode does without it` };
  return {
    ...{ check, about, result: 'fail', found, expected: 'Path in the 200 (RFC 3327 5.3)' },
    fix: 'Asterisk: support_path=yes in the aor; Kamailio: use_path and path_mode of registrar; else registration: mid-registrar.',
  };
}

/** `times`: ms at which OPTIONS for the contact came while it was watched. */
export function judgeQualify(about: string, times: readonly number[], watchedSeconds: number): Finding {
  const check = 'qualify';
  if (times.length === 0)
    return {
      ...{ check, about, result: 'ok', found: `no OPTIONS for the contact within ${watchedSeconds} s` },
      expected: 'qualify, if the PBX is to know that a phone is gone (Asterisk: qualify_frequency)',
    };
  const gaps = times.slice(1).map((time, at) => (time - (times[at] ?? time)) / 1000);
  const every = gaps.length === 0 ? undefined : Math.min(...gaps);
  const found = `${times.length} OPTIONS within ${watchedSeconds} s${every === undefined ? '' : `, every ${every.toFixed(1)} s`}`;
  if (every === undefined || every >= 10) return { check, about, result: 'ok', found };
  return {
    ...{ check, about, result: 'warn', found, expected: 'not more than one in 10 s' },
    fix: 'The edge answers for sleeping phones, so the PBX may ask less often: Asterisk qualify_frequency=60, FreeSWITCH ping 60, Kamailio natping_interval 60.',
  };
}
