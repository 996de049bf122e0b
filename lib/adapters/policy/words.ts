/** What the edge and the thread of a policy say to each other. */
import type { PushFacts } from '../../core/push-policy.ts';

export interface ToPolicy {
  readonly id: number;
  readonly facts: PushFacts;
}

export type FromPolicy =
  | { readonly is: 'ready' }
  | { readonly is: 'unusable'; readonly why: string }
  | { readonly is: 'decided'; readonly id: number; readonly decision: unknown }
  | { readonly is: 'failed'; readonly id: number; readonly why: string };
