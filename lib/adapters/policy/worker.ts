/** The thread an operator's policy runs in: one message a question, one an answer. What it throws or never answers stays here. */
import { parentPort, workerData } from 'node:worker_threads';
import { pathToFileURL } from 'node:url';
import type { PushFacts, PushPolicy } from '../../core/push-policy.ts';
import type { FromPolicy, ToPolicy } from './words.ts';

const tell = (word: FromPolicy): void => parentPort?.postMessage(word);

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}

async function answer(policy: PushPolicy, id: number, facts: PushFacts): Promise<void> {
  try {
    tell({ is: 'decided', id, decision: await policy(freeze(facts)) });
  } catch (error) {
    tell({ is: 'failed', id, why: textOf(error) });
  }
}

function textOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 200);
}

try {
  const module = (await import(pathToFileURL((workerData as { readonly file: string }).file).href)) as {
    readonly default?: unknown;
  };
  const policy = module.default;
  if (typeof policy !== 'function') throw new Error('its default export is no function');
  parentPort?.on('message', ({ id, facts }: ToPolicy) => void answer(policy as PushPolicy, id, facts));
  tell({ is: 'ready' });
} catch (error) {
  tell({ is: 'unusable', why: textOf(error) });
}
