/**
 * Tokens that APNs has said to be of another bundle than the one they were pushed for (push-providers 3.6). Only the pair is of no use:
 * the token may be good for the topic of another registration, and the topic is good for others. A pair does not become right, so it is
 * not sent again for a day; in the memory of this process, as names that tell nothing of the token.
 */
import { createHash } from 'node:crypto';

const keptMs = 86_400_000;
const mostPairs = 10_000;

export class WrongPairs {
  /** until when, ms since the epoch; oldest first */
  readonly #until = new Map<string, number>();

  add(token: string, topic: string, now: number): void {
    const name = nameOf(token, topic);
    this.#until.delete(name);
    this.#until.set(name, now + keptMs);
    if (this.#until.size <= mostPairs) return;
    const [oldest] = this.#until.keys();
    if (oldest !== undefined) this.#until.delete(oldest);
  }

  has(token: string, topic: string, now: number): boolean {
    if (this.#until.size === 0) return false;
    const name = nameOf(token, topic);
    const until = this.#until.get(name);
    if (until === undefined) return false;
    if (until > now) return true;
    this.#until.delete(name);
    return false;
  }

  /** The operator has changed something: what was wrong may be so no more. */
  clear(): void {
    this.#until.clear();
  }
}

function nameOf(token: string, topic: string): string {
  return createHash('sha256').update(`${token.toLowerCase()} ${topic}`).digest('base64url').slice(0, 22);
}
