/** Randomness as a port. */

export interface Ids {
  /** lower-case hexadecimal text of `octets` random octets */
  hex(octets: number): string;
  /** a lower-case UUID, version 4 */
  uuid(): string;
}
