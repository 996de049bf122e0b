/** One request as a stand-in saw and judged it, in the words of the page and the feed. */
import { createHash } from 'node:crypto';
import type { Fault } from './rules.ts';

export type LabService = 'apns' | 'fcm' | 'fcm-token' | 'webpush' | 'webhook';

/** One request as a stand-in judged it. */
export interface Sighting {
  readonly service: LabService;
  /** device token; '' when there was none to be read */
  readonly token: string;
  /** push type, priority or kind, as the service calls it; '' when none */
  readonly class: string;
  /** `accepted`, `refused` (it was wrong), `fault` (it was right, and the lab did as told), `check` (a question that wakes nobody) */
  readonly outcome: 'accepted' | 'refused' | 'fault' | 'check';
  /** of the answer; absent when there was none */
  readonly status?: number;
  /** why it was refused, or which fault it met */
  readonly why?: string;
}

export function shortHash(token: string): string {
  return token === '' ? '' : createHash('sha256').update(token).digest('hex').slice(0, 10);
}

/** A fault in the words of its rule. */
export function faultText(fault: Fault): string {
  switch (fault.do) {
    case 'answer':
      return `answer ${fault.status}${fault.html === true ? ' html' : ''}${fault.reason === undefined ? '' : ` ${fault.reason}`}`;
    case 'slow':
      return `delay ${fault.ms} ms`;
    case 'reset':
      return `reset ${fault.code}`;
    case 'goaway':
      return `goaway ${fault.mode}`;
    case 'drop':
      return `drop ${fault.when}`;
    case 'hang':
    case 'duplicate':
    case 'stall':
      return fault.do;
    default:
      return fault satisfies never;
  }
}
