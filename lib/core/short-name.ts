/** Short names for long things, the same on every node and after every restart. */
import { createHmac, hash } from 'node:crypto';

/** `digits` hexadecimal digits that tell these values from others; nothing can be read from them, but a short secret can be guessed. */
export function shortName(values: readonly unknown[], digits: number): string {
  return hash('sha256', JSON.stringify(values), 'hex').slice(0, digits);
}

/** The same for values with secrets among them: without the key nobody can try guesses against it. */
export function keyedName(key: string, values: readonly unknown[], digits: number): string {
  return createHmac('sha256', key).update(JSON.stringify(values)).digest('hex').slice(0, digits);
}
