/** What is on the edge's own side: certificates, files, the ring budget. Pure. */
import type { Finding } from './finding.ts';

export interface SeenCertificate {
  /** as `subjectAltName` of OpenSSL or the subject tells them */
  readonly names: string;
  /** ms since the epoch */
  readonly from: number;
  readonly until: number;
  /** why it is not for the name we want; undefined: it is */
  readonly otherName: string | undefined;
  /** why its chain is not trusted; undefined: it is, or nobody has looked */
  readonly untrusted: string | undefined;
}

const dayMs = 86_400_000;

/** `fixes`: what to do about the name, about the trust and about the end. */
export function judgeCertificate(
  about: string,
  seen: SeenCertificate,
  now: number,
  warnDays: number,
  fixes: { readonly name: string; readonly trust: string; readonly end: string },
): Finding {
  const check = 'certificate';
  const days = Math.floor((seen.until - now) / dayMs);
  const date = new Date(seen.until).toISOString().slice(0, 10);
  if (now > seen.until)
    return { check, about, result: 'fail', found: `ended on ${date}`, expected: 'a valid one', fix: fixes.end };
  if (now < seen.from) {
    const found = `begins on ${new Date(seen.from).toISOString().slice(0, 10)}`;
    return {
      check,
      about,
      result: 'fail',
      found,
      expected: 'one that has begun',
      fix: 'Look at the clock of this host.',
    };
  }
  if (seen.otherName !== undefined)
    return { check, about, result: 'fail', found: `is for ${seen.names}`, expected: seen.otherName, fix: fixes.name };
  if (seen.untrusted !== undefined)
    return { check, about, result: 'fail', found: seen.untrusted, expected: 'a trusted chain', fix: fixes.trust };
  if (days < warnDays)
    return {
      check,
      about,
      result: 'warn',
      found: `ends on ${date}`,
      expected: `${warnDays} days or more`,
      fix: fixes.end,
    };
  return { check, about, result: 'ok', found: `for ${seen.names}, until ${date}` };
}

/** `mode`: the bits of stat. */
export function judgeMode(file: string, mode: number): Finding {
  const check = 'permissions';
  const bits = (mode & 0o777).toString(8).padStart(3, '0');
  if ((mode & 0o007) !== 0)
    return {
      ...{ check, about: file, result: 'fail', found: `mode ${bits}: everybody on this host may read it` },
      ...{ expected: '600, or 640 with a group of its own', fix: `chmod 600 ${file}` },
    };
  return { check, about: file, result: 'ok', found: `mode ${bits}` };
}

export interface RingTimes {
  /** seconds; 0: only what the INVITE says */
  readonly budget: number;
  readonly hold: number;
  readonly ring: number;
  /** what the PBX waits for an answer, if somebody has said so */
  readonly pbx: number | undefined;
}

export function judgeRingBudget({ budget, hold, ring, pbx }: RingTimes): Finding {
  const about = 'calls';
  const check = 'ring budget';
  const most = budget === 0 ? hold + ring : Math.min(budget, hold + ring);
  const fix =
    'Set calls.ring_budget_seconds two seconds below what the PBX waits (Asterisk: the timeout of Dial(), FreeSWITCH: call_timeout, Kamailio: fr_inv_timer).';
  if (pbx !== undefined && most >= pbx)
    return {
      ...{ check, about, result: 'fail', found: `the edge may take ${most} s, the PBX gives up after ${pbx} s`, fix },
      expected: `less than ${pbx} s`,
    };
  if (budget > 0 && budget <= hold)
    return {
      ...{ check, about, result: 'warn', found: `budget ${budget} s, hold ${hold} s: no time is left to ring` },
      expected: 'a budget above wake.hold_seconds',
      fix: 'Lower wake.hold_seconds, or raise calls.ring_budget_seconds together with the limit of the PBX.',
    };
  if (pbx !== undefined) return { check, about, result: 'ok', found: `${most} s, the PBX waits ${pbx} s` };
  if (budget > 0)
    return { check, about, result: 'ok', found: `${budget} s (compare with the PBX: --pbx-ring SECONDS)` };
  return {
    ...{
      check,
      about,
      result: 'warn',
      found: `up to ${hold} s holding and ${ring} s ringing, less only by Expires`,
      fix,
    },
    expected: 'a budget below the limit of the PBX',
  };
}
