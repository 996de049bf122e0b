/** Bencoding (BitTorrent BEP 3), as rtpengine speaks it: text is UTF-8, keys of what we write are sorted. */

export type Bencoded = string | number | readonly Bencoded[] | { readonly [key: string]: Bencoded };

/** Deeper nesting is refused: nothing of rtpengine is as deep, and a stack has an end. */
const deepest = 32;

export function encode(value: Bencoded): Buffer {
  const parts: Buffer[] = [];
  write(value, parts);
  return Buffer.concat(parts);
}

function write(value: Bencoded, parts: Buffer[]): void {
  if (typeof value === 'string') {
    const octets = Buffer.from(value, 'utf8');
    parts.push(Buffer.from(`${octets.length}:`, 'latin1'), octets);
  } else if (typeof value === 'number') parts.push(Buffer.from(`i${Math.trunc(value)}e`, 'latin1'));
  else if (isList(value)) {
    parts.push(Buffer.from('l', 'latin1'));
    for (const one of value) write(one, parts);
    parts.push(Buffer.from('e', 'latin1'));
  } else {
    parts.push(Buffer.from('d', 'latin1'));
    const keys = Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8')));
    for (const key of keys) {
      write(key, parts);
      write(value[key] as Bencoded, parts);
    }
    parts.push(Buffer.from('e', 'latin1'));
  }
}

function isList(value: object): value is readonly Bencoded[] {
  return Array.isArray(value);
}

/** Undefined for octets that are not exactly one value. Never throws. */
export function decode(octets: Buffer): Bencoded | undefined {
  const reader = new Reader(octets);
  const value = reader.value(0);
  return value !== undefined && reader.at === octets.length ? value : undefined;
}

class Reader {
  at = 0;
  readonly #octets: Buffer;

  constructor(octets: Buffer) {
    this.#octets = octets;
  }

  value(depth: number): Bencoded | undefined {
    if (depth > deepest) return undefined;
    switch (this.#octets[this.at]) {
      case 0x69: // i
        this.at += 1;
        return this.#number('e');
      case 0x6c: // l
        this.at += 1;
        return this.#list(depth);
      case 0x64: // d
        this.at += 1;
        return this.#dictionary(depth);
      default:
        return this.#text();
    }
  }

  #list(depth: number): Bencoded | undefined {
    const found: Bencoded[] = [];
    while (!this.#ends()) {
      const one = this.value(depth + 1);
      if (one === undefined) return undefined;
      found.push(one);
    }
    return found;
  }

  #dictionary(depth: number): Bencoded | undefined {
    const found = new Map<string, Bencoded>();
    while (!this.#ends()) {
      const key = this.#text();
      const one = key === undefined ? undefined : this.value(depth + 1);
      if (key === undefined || one === undefined) return undefined;
      found.set(key, one);
    }
    // defines own properties, so a key named __proto__ is a key like any other
    return Object.fromEntries(found);
  }

  #ends(): boolean {
    if (this.#octets[this.at] !== 0x65) return false;
    this.at += 1;
    return true;
  }

  #text(): string | undefined {
    const length = this.#number(':');
    if (length === undefined || length < 0 || this.at + length > this.#octets.length) return undefined;
    this.at += length;
    return this.#octets.toString('utf8', this.at - length, this.at);
  }

  #number(end: string): number | undefined {
    // no number of rtpengine is longer
    const stop = this.#octets.subarray(this.at, this.at + 20).indexOf(end, 0, 'latin1');
    const text = stop < 0 ? '' : this.#octets.toString('latin1', this.at, this.at + stop);
    if (!/^(?:0|-?[1-9]\d*)$/.test(text)) return undefined;
    this.at += stop + 1;
    return Number(text);
  }
}
