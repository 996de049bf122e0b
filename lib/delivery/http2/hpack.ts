/** Header compression of HTTP/2 (RFC 7541): what we write, and everything a peer may write. Knows no frame. */
import { huffmanText } from './huffman.ts';

/**
 * Name in lower case and value, both latin1 without control characters. `indexed` fields are few and come back: the peer remembers
 * them; `secret` ones tell everybody on the way never to.
 */
export interface Field {
  readonly name: string;
  readonly value: string;
  readonly as: 'indexed' | 'plain' | 'secret';
}

/** RFC 7541 appendix A; index 1 is the first. */
const fixed: readonly (readonly [name: string, value: string])[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''],
  ['accept-ranges', ''],
  ['accept', ''],
  ['access-control-allow-origin', ''],
  ['age', ''],
  ['allow', ''],
  ['authorization', ''],
  ['cache-control', ''],
  ['content-disposition', ''],
  ['content-encoding', ''],
  ['content-language', ''],
  ['content-length', ''],
  ['content-location', ''],
  ['content-range', ''],
  ['content-type', ''],
  ['cookie', ''],
  ['date', ''],
  ['etag', ''],
  ['expect', ''],
  ['expires', ''],
  ['from', ''],
  ['host', ''],
  ['if-match', ''],
  ['if-modified-since', ''],
  ['if-none-match', ''],
  ['if-range', ''],
  ['if-unmodified-since', ''],
  ['last-modified', ''],
  ['link', ''],
  ['location', ''],
  ['max-forwards', ''],
  ['proxy-authenticate', ''],
  ['proxy-authorization', ''],
  ['range', ''],
  ['referer', ''],
  ['refresh', ''],
  ['retry-after', ''],
  ['server', ''],
  ['set-cookie', ''],
  ['strict-transport-security', ''],
  ['transfer-encoding', ''],
  ['user-agent', ''],
  ['vary', ''],
  ['via', ''],
  ['www-authenticate', ''],
];

/** RFC 7541 4.1 */
const overhead = 32;
const standardTable = 4096;
/** Numbers by name, then by value: a key made of both would be a new text for every field of every push. */
type Numbers = Map<string, Map<string, number>>;
const fixedNames = new Map<string, number>();
const fixedFields: Numbers = new Map();
for (const [index, [name, value]] of fixed.entries()) {
  if (!fixedNames.has(name)) fixedNames.set(name, index + 1);
  setNumber(fixedFields, name, value, index + 1);
}

function setNumber(numbers: Numbers, name: string, value: string, number: number): void {
  const values = numbers.get(name);
  if (values === undefined) numbers.set(name, new Map([[value, number]]));
  else values.set(value, number);
}

// oxlint-disable-next-line no-control-regex -- these are what must not get onto the wire
const unprintable = /[^\t\x20-\x7e\x80-\xff]/;

/** Where the encoder writes. */
export class Octets {
  #bytes: Buffer;
  length = 0;

  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafe(size);
  }

  reserve(more: number): Buffer {
    if (this.length + more > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.length + more, 2 * this.#bytes.length));
      this.#bytes.copy(larger, 0, 0, this.length);
      this.#bytes = larger;
    }
    return this.#bytes;
  }

  octet(value: number): void {
    this.reserve(1)[this.length++] = value;
  }

  latin1(text: string): void {
    const bytes = this.reserve(text.length);
    bytes.write(text, this.length, 'latin1');
    this.length += text.length;
  }

  copy(from: Buffer, start = 0, end = from.length): void {
    from.copy(this.reserve(end - start), this.length, start, end);
    this.length += end - start;
  }

  uint32(at: number, value: number): void {
    this.#bytes.writeUInt32BE(value, at);
  }

  /** Takes what was written, and begins anew. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.length));
    this.length = 0;
    return taken;
  }
}

/** An integer behind `flags` in the octet of its prefix (RFC 7541 5.1). */
function writeInteger(out: Octets, flags: number, prefix: number, value: number): void {
  const most = 2 ** prefix - 1;
  if (value < most) {
    out.octet(flags | value);
    return;
  }
  out.octet(flags | most);
  let left = value - most;
  while (left >= 128) {
    out.octet((left % 128) | 128);
    left = Math.floor(left / 128);
  }
  out.octet(left);
}

function writeText(out: Octets, text: string): void {
  writeInteger(out, 0, 7, text.length);
  out.latin1(text);
}

/**
 * Writes header blocks of one connection. What was put into the peer's table stays: when it is full, the rest goes as literals, so
 * nothing is ever evicted and no index moves but by additions.
 */
export class HpackWriter {
  readonly #numbers: Numbers = new Map();
  #kept = 0;
  #size = 0;
  #room = standardTable;
  #tell = false;
  /** the credential of the last push, which is that of the next one too, as it went out: it stands in no table */
  #credential: { readonly value: string; readonly bytes: Buffer } | undefined;

  /** SETTINGS_HEADER_TABLE_SIZE of the peer; more than the standard is of no use to us. */
  limit(octets: number): void {
    const room = Math.min(standardTable, octets);
    if (room === this.#room) return;
    this.#room = room;
    this.#numbers.clear();
    this.#kept = 0;
    this.#size = 0;
    this.#tell = true;
  }

  /** Throws a RangeError for a field that could not be told apart from another message. */
  write(fields: readonly Field[], out: Octets): void {
    if (this.#tell) {
      // empties the peer's table as it empties ours
      writeInteger(out, 0x20, 5, 0);
      writeInteger(out, 0x20, 5, this.#room);
      this.#tell = false;
    }
    for (const field of fields) this.#field(field, out);
  }

  #field(field: Field, out: Octets): void {
    const { name, value, as } = field;
    if (as === 'indexed') {
      const known = fixedFields.get(name)?.get(value);
      const number = this.#numbers.get(name)?.get(value);
      if (known !== undefined || number !== undefined) {
        // the newest of the table has the lowest index
        writeInteger(out, 0x80, 7, known ?? fixed.length + this.#kept - (number ?? 0));
        return;
      }
    }
    if (as !== 'secret' || name !== 'authorization') return this.#literal(field, out);
    if (this.#credential?.value !== value) {
      const alone = new Octets(512);
      this.#literal(field, alone);
      this.#credential = { value, bytes: alone.take() };
    }
    out.copy(this.#credential.bytes);
  }

  #literal({ name, value, as }: Field, out: Octets): void {
    if (unprintable.test(value)) throw new RangeError(`header ${name} has characters that must not be sent`);
    const size = name.length + value.length + overhead;
    const kept = as === 'indexed' && this.#size + size <= this.#room;
    const nameIndex = fixedNames.get(name) ?? 0;
    if (kept) writeInteger(out, 0x40, 6, nameIndex);
    else writeInteger(out, as === 'secret' ? 0x10 : 0, 4, nameIndex);
    if (nameIndex === 0) writeText(out, name);
    writeText(out, value);
    if (!kept) return;
    setNumber(this.#numbers, name, value, this.#kept);
    this.#kept += 1;
    this.#size += size;
  }
}

/** A header block nobody can read: the connection cannot go on (RFC 9113 4.3). */
export class HpackError extends Error {}

/** The most a whole header list may say, octets. */
const longestList = 65_536;

/** Reads header blocks of one connection, in the order in which they came. */
export class HpackReader {
  /** newest last */
  #table: (readonly [name: string, value: string])[] = [];
  #size = 0;
  #limit = standardTable;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Throws HpackError. The last of several fields with one name wins. */
  read(block: Buffer): Record<string, string> {
    const fields: Record<string, string> = {};
    this.#bytes = block;
    this.#at = 0;
    let said = 0;
    let begun = false;
    while (this.#at < block.length) {
      const first = block[this.#at] ?? 0;
      if ((first & 0xe0) === 0x20) {
        if (begun) throw new HpackError('a table size behind a field');
        this.#resize(this.#integer(5));
        continue;
      }
      begun = true;
      const [name, value] = this.#field(first);
      said += name.length + value.length + overhead;
      if (said > longestList) throw new HpackError('a header list without end');
      fields[name] = value;
    }
    return fields;
  }

  #field(first: number): readonly [string, string] {
    if ((first & 0x80) !== 0) return this.#entry(this.#integer(7));
    const isKept = (first & 0x40) !== 0;
    const index = this.#integer(isKept ? 6 : 4);
    const name = index === 0 ? this.#text() : this.#entry(index)[0];
    const field = [name, this.#text()] as const;
    if (isKept) this.#keep(field);
    return field;
  }

  #keep(field: readonly [string, string]): void {
    this.#size += field[0].length + field[1].length + overhead;
    this.#table.push(field);
    this.#evict();
  }

  #resize(octets: number): void {
    if (octets > standardTable) throw new HpackError('a table larger than we offered');
    this.#limit = octets;
    this.#evict();
  }

  #evict(): void {
    let gone = 0;
    while (this.#size > this.#limit && gone < this.#table.length) {
      const [name, value] = this.#table[gone] ?? ['', ''];
      this.#size -= name.length + value.length + overhead;
      gone += 1;
    }
    if (gone > 0) this.#table.splice(0, gone);
  }

  #entry(index: number): readonly [string, string] {
    const found = index <= fixed.length ? fixed[index - 1] : this.#table[this.#table.length - (index - fixed.length)];
    if (found === undefined) throw new HpackError(`no field of index ${index}`);
    return found;
  }

  #integer(prefix: number): number {
    const most = 2 ** prefix - 1;
    let value = (this.#bytes[this.#at++] ?? 0) & most;
    if (value < most) return value;
    for (let factor = 1; factor <= 128 ** 3; factor *= 128) {
      const octet = this.#bytes[this.#at++];
      if (octet === undefined) throw new HpackError('an integer cut short');
      value += (octet & 127) * factor;
      if (octet < 128) return value;
    }
    throw new HpackError('an integer beyond all measure');
  }

  #text(): string {
    const isCoded = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new HpackError('a text cut short');
    if (!isCoded) return this.#bytes.toString('latin1', from, this.#at);
    const text = huffmanText(this.#bytes, from, this.#at);
    if (text === undefined) throw new HpackError('a Huffman code that is none');
    return text;
  }
}
