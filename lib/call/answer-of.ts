/** How the answer to a request inside a dialog is told to the other side of a bridge. */
import { passAnswer, type PassOptions } from '../core/pass-headers.ts';
import type { DialogAnswer } from '../ports/dialog.ts';
import type { Answer } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';

/**
 * As it came. What the engine or the edge made up ends this transaction and nothing else: 500 with Retry-After (PN-PURR-13, RFC 5057
 * 5.1), except 481 of a dialog that does not exist any more. Never a 408 (RFC 4320 4.2).
 */
export function answerOf({ response, local }: DialogAnswer, border: PassOptions): Answer {
  if (local && response.status === 481) return { status: 481 };
  if (local || response.status === 408)
    return { status: 500, headers: Headers.of([['Retry-After', response.headers.get('Retry-After') ?? '30']]) };
  return {
    status: response.status,
    reason: response.reason,
    headers: passAnswer(response.headers, response.status, border),
    body: response.body,
  };
}
