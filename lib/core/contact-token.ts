/**
 * The user part of the Contact under which a device is known to the PBX: opaque, the same at every refresh, readable by every node.
 * Deterministic authenticated encryption in the manner of RFC 5297: the MAC of the plain text is the IV of its encryption.
 */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import type { Aor } from './binding.ts';

export interface DeviceName {
  readonly aor: Aor;
  readonly bindingId: string;
}

/** In place of a binding id: every device of the AOR, as in the Contact of a registration that the edge keeps by itself. */
export const everyDevice = '*';

/** A letter in front, so that no PBX takes the user part for a telephone number. */
const prefix = 'v';
const ivOctets = 12;
/** what fits into the 255 octets that PBXs keep, with room for host and port */
const longest = 400;

/** Lower-case base32 after one letter; 8 characters for every 5 octets of 13, the id (10) and the AOR. */
export function sealContact(key: Buffer, name: DeviceName): string {
  const { mac, cipher, sealed, opened } = keysOf(key);
  return remembered(sealed, `${name.bindingId} ${name.aor}`, () => {
    const text = seal(mac, cipher, name);
    // the PBX lists it in its answer
    remembered(opened, text, () => ({ aor: name.aor, bindingId: name.bindingId }));
    return text;
  });
}

function seal(mac: Buffer, cipher: Buffer, name: DeviceName): string {
  const plain = pack(name);
  const iv = ivOf(mac, plain);
  const encryption = createCipheriv('aes-256-ctr', cipher, counterOf(iv));
  return prefix + toBase32(Buffer.concat([iv, encryption.update(plain), encryption.final()]));
}

/** undefined for anything this key has not sealed; upper case is read as lower case. */
export function openContact(key: Buffer, userPart: string): DeviceName | undefined {
  const text = userPart.toLowerCase();
  if (text.length > longest || !text.startsWith(prefix)) return undefined;
  const { mac, cipher, opened } = keysOf(key);
  const known = opened.get(text);
  if (known !== undefined) return known;
  const name = open(mac, cipher, text);
  // what does not open is not remembered: it would push out what does
  return name === undefined ? undefined : remembered(opened, text, () => name);
}

function open(mac: Buffer, cipher: Buffer, text: string): DeviceName | undefined {
  const sealed = fromBase32(text.slice(prefix.length));
  if (sealed === undefined || sealed.length <= ivOctets) return undefined;
  const iv = sealed.subarray(0, ivOctets);
  const decryption = createDecipheriv('aes-256-ctr', cipher, counterOf(iv));
  const plain = Buffer.concat([decryption.update(sealed.subarray(ivOctets)), decryption.final()]);
  return timingSafeEqual(iv, ivOf(mac, plain)) ? unpack(plain) : undefined;
}

interface Keys {
  readonly mac: Buffer;
  readonly cipher: Buffer;
  /** answers given before; both directions are functions of their input, and each costs more than the rest of a small REGISTER */
  readonly sealed: Map<string, string>;
  readonly opened: Map<string, DeviceName>;
}

/** About 5 MB when full. */
const mostRemembered = 10_000;

function remembered<T>(answers: Map<string, T>, question: string, work: () => T): T {
  const known = answers.get(question);
  if (known !== undefined) return known;
  const answer = work();
  const oldest = answers.size >= mostRemembered ? answers.keys().next() : undefined;
  if (oldest?.done === false) answers.delete(oldest.value);
  answers.set(question, answer);
  return answer;
}

/** Derived once for every key object: this runs on every REGISTER. */
const derived = new WeakMap<Buffer, Keys>();

function keysOf(key: Buffer): Keys {
  let keys = derived.get(key);
  if (keys === undefined) {
    const derive = (use: string): Buffer => createHmac('sha256', key).update(use).digest();
    keys = {
      mac: derive('contact-token mac'),
      cipher: derive('contact-token cipher'),
      sealed: new Map(),
      opened: new Map(),
    };
    derived.set(key, keys);
  }
  return keys;
}

function ivOf(mac: Buffer, plain: Buffer): Buffer {
  return createHmac('sha256', mac).update(plain).digest().subarray(0, ivOctets);
}

/** The last four octets count blocks. */
function counterOf(iv: Buffer): Buffer {
  const counter = Buffer.alloc(16);
  iv.copy(counter);
  return counter;
}

/** Length of the id, with the high bit set when the id is hexadecimal and takes half of that room; the id; the AOR. */
function pack({ aor, bindingId }: DeviceName): Buffer {
  const hex = /^(?:[0-9a-f]{2}){1,127}$/.test(bindingId);
  const id = Buffer.from(bindingId, hex ? 'hex' : 'utf8');
  if (id.length > 127) throw new RangeError('binding id too long');
  return Buffer.concat([Buffer.of(hex ? id.length | 0x80 : id.length), id, Buffer.from(aor, 'utf8')]);
}

function unpack(plain: Buffer): DeviceName | undefined {
  const first = plain[0];
  if (first === undefined) return undefined;
  const end = 1 + (first & 0x7f);
  if (plain.length < end) return undefined;
  return { bindingId: plain.toString(first >= 0x80 ? 'hex' : 'utf8', 1, end), aor: plain.toString('utf8', end) };
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

function toBase32(octets: Buffer): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const octet of octets) {
    value = ((value << 8) | octet) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(value >> bits) & 31];
    }
  }
  return bits === 0 ? text : text + alphabet[(value << (5 - bits)) & 31];
}

/** undefined for other characters, for lengths that encode no whole octets and for set bits in the padding. */
function fromBase32(text: string): Buffer | undefined {
  const octets = Buffer.alloc(Math.floor((text.length * 5) / 8));
  let bits = 0;
  let value = 0;
  let at = 0;
  for (const c of text) {
    const digit = alphabet.indexOf(c);
    if (digit < 0) return undefined;
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      octets[at++] = (value >> bits) & 0xff;
    }
  }
  return bits < 5 && (value & ((1 << bits) - 1)) === 0 ? octets : undefined;
}
