/** CSeq (RFC 3261 20.16): a number below 2^32 and the method it counts. */

export interface CSeq {
  readonly number: number;
  readonly method: string;
}

const pattern = /^(\d{1,12})[ \t]+([A-Za-z0-9\-.!%*_+`'~]+)$/;

/** Reads one CSeq value; undefined when it is not a number below 2^32 followed by a method (RFC 4475 3.1.2.4). */
export function parseCSeq(value: string): CSeq | undefined {
  const found = pattern.exec(value);
  if (found === null) return undefined;
  const number = Number(found[1]);
  return number > 0xffff_ffff ? undefined : { number, method: found[2] as string };
}
