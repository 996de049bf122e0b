/** What each answer of FCM means to us. The code in the details counts, the status only where there is none: the two may differ. */
import type { Answer } from '../../delivery/session.ts';
import { type Judged, retryAfterMs, type Verdict } from '../../delivery/verdict.ts';

const verdicts: Readonly<Record<string, Verdict>> = {
  UNREGISTERED: 'dead',
  SENDER_ID_MISMATCH: 'dead',
  THIRD_PARTY_AUTH_ERROR: 'config',
  QUOTA_EXCEEDED: 'throttled',
  UNAVAILABLE: 'transient',
  INTERNAL: 'transient',
};

interface ErrorBody {
  readonly code: string | undefined;
  readonly status: string | undefined;
  /** what an INVALID_ARGUMENT is about */
  readonly aboutToken: boolean;
}

export function judgeFcm(answer: Answer, now: number): Judged {
  const { status } = answer;
  if (status === 200) return { verdict: 'accepted', reason: 'accepted' };
  const body = readError(answer.body);
  const wait = retryAfterMs(answer.headers['retry-after'], now);
  return {
    verdict: verdictOf(status, body),
    reason: body.code ?? body.status ?? `status ${status}`,
    // Google asks for a minute when it names no time
    ...(wait !== undefined ? { retryAfterMs: wait } : status === 429 ? { retryAfterMs: 60_000 } : {}),
  };
}

function verdictOf(status: number, { code, status: grpc, aboutToken }: ErrorBody): Verdict {
  // the API is off, or the role is missing
  if (status === 403 && (code ?? grpc) === 'PERMISSION_DENIED') return 'credential';
  if (code !== undefined && Object.hasOwn(verdicts, code)) return verdicts[code] ?? 'config';
  if (status === 400) return aboutToken ? 'dead' : 'config';
  if (status === 401) return 'renew-token';
  if (status === 429) return 'throttled';
  return status >= 500 || status === 408 ? 'transient' : 'config';
}

function readError(text: string): ErrorBody {
  const none = { code: undefined, status: undefined, aboutToken: false };
  let error: { status?: unknown; message?: unknown; details?: unknown } | undefined;
  try {
    error = (JSON.parse(text) as { error?: typeof error } | null)?.error;
  } catch {
    return none;
  }
  if (typeof error !== 'object' || error === null) return none;
  const details = Array.isArray(error.details) ? (error.details as Readonly<Record<string, unknown>>[]) : [];
  const code = details.find((one) => String(one?.['@type']).endsWith('FcmError'))?.['errorCode'];
  const fields = details
    .flatMap((one) => (Array.isArray(one?.['fieldViolations']) ? (one['fieldViolations'] as unknown[]) : []))
    .map((one) => (one as { field?: unknown } | null)?.field);
  return {
    code: typeof code === 'string' ? wordOf(code) : undefined,
    status: typeof error.status === 'string' ? wordOf(error.status) : undefined,
    aboutToken:
      fields.includes('message.token') || String(error.message).includes('not a valid FCM registration token'),
  };
}

/** Only what looks like one of Google's words reaches a log. */
function wordOf(text: string): string | undefined {
  return /^[A-Z_]{1,40}$/.test(text) ? text : undefined;
}
