/**
 * STUN Binding answered on the SIP port, so that a phone learns its mapped address and keeps it (RFC 5626 5.4 and 8; RFC 5389 7.3, 15).
 * No credentials are asked for (RFC 5626 8), and what is no whole, sound request gets no answer at all.
 */
import { crc32 } from 'node:zlib';

const magicCookie = 0x2112a442;
const bindingRequest = 0x0001;
const bindingSuccess = 0x0101;
const bindingError = 0x0111;
const errorCode = 0x0009;
const unknownAttributes = 0x000a;
const xorMappedAddress = 0x0020;
const fingerprint = 0x8028;
const fingerprintMask = 0x5354554e;
/** USERNAME, MESSAGE-INTEGRITY, REALM, NONCE and what ICE adds: they may be there, and nobody here needs them. */
const harmless: ReadonlySet<number> = new Set([0x0006, 0x0008, 0x0014, 0x0015, 0x0024, 0x0025]);
const mostUnknown = 16;

/** The answer to a Binding request; undefined when the datagram is none. `address` is the source in plain form. */
export function stunAnswer(datagram: Buffer, address: string, port: number): Buffer | undefined {
  if (datagram.length < 20 || datagram.readUInt16BE(0) !== bindingRequest || datagram.readUInt32BE(4) !== magicCookie)
    return undefined;
  if (datagram.readUInt16BE(2) !== datagram.length - 20) return undefined;
  const read = attributesOf(datagram);
  if (read === undefined) return undefined;
  const { unknown, signed } = read;
  if (unknown.length > 0) return answer(datagram, bindingError, [refusal(), list(unknown)], signed);
  const mapped = mappedAddress(datagram, address, port);
  return mapped === undefined ? undefined : answer(datagram, bindingSuccess, [mapped], signed);
}

/** Undefined when the attributes do not fill the message exactly, or its fingerprint is wrong. */
function attributesOf(datagram: Buffer): { readonly unknown: readonly number[]; readonly signed: boolean } | undefined {
  const unknown: number[] = [];
  let at = 20;
  while (at < datagram.length) {
    if (at + 4 > datagram.length) return undefined;
    const type = datagram.readUInt16BE(at);
    const length = datagram.readUInt16BE(at + 2);
    const next = at + 4 + Math.ceil(length / 4) * 4;
    if (next > datagram.length) return undefined;
    if (type === fingerprint) {
      // RFC 5389 15.5: the last attribute
      if (length !== 4 || next !== datagram.length) return undefined;
      const sound = datagram.readUInt32BE(at + 4) === checksum(datagram.subarray(0, at));
      return sound ? { unknown, signed: true } : undefined;
    }
    if (type < 0x8000 && !harmless.has(type) && unknown.length < mostUnknown) unknown.push(type);
    at = next;
  }
  return { unknown, signed: false };
}

function answer(request: Buffer, type: number, attributes: readonly Buffer[], signed: boolean): Buffer {
  const body = Buffer.concat(attributes);
  const head = Buffer.alloc(20);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(body.length + (signed ? 8 : 0), 2);
  request.copy(head, 4, 4, 20);
  const plain = Buffer.concat([head, body]);
  if (!signed) return plain;
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(checksum(plain), 0);
  return Buffer.concat([plain, attribute(fingerprint, sum)]);
}

function mappedAddress(request: Buffer, address: string, port: number): Buffer | undefined {
  const octets = address.includes(':') ? ipv6Octets(address) : ipv4Octets(address);
  if (octets === undefined) return undefined;
  const value = Buffer.alloc(4 + octets.length);
  value[1] = octets.length === 4 ? 1 : 2;
  value.writeUInt16BE(port ^ (magicCookie >>> 16), 2);
  for (let at = 0; at < octets.length; at++) value[4 + at] = (octets[at] as number) ^ (request[4 + at] as number);
  return attribute(xorMappedAddress, value);
}

function refusal(): Buffer {
  return attribute(errorCode, Buffer.concat([Buffer.from([0, 0, 4, 20]), Buffer.from('Unknown Attribute')]));
}

function list(types: readonly number[]): Buffer {
  return attribute(unknownAttributes, Buffer.from(types.flatMap((type) => [type >>> 8, type & 255])));
}

function attribute(type: number, value: Buffer): Buffer {
  const whole = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
  whole.writeUInt16BE(type, 0);
  whole.writeUInt16BE(value.length, 2);
  value.copy(whole, 4);
  return whole;
}

function checksum(octets: Buffer): number {
  return (crc32(octets) ^ fingerprintMask) >>> 0;
}

function ipv4Octets(address: string): number[] | undefined {
  const octets = address.split('.').map(Number);
  return octets.length === 4 && octets.every((octet) => Number.isInteger(octet) && octet >= 0 && octet < 256)
    ? octets
    : undefined;
}

function ipv6Octets(address: string): number[] | undefined {
  const [plain] = address.split('%');
  const [left = '', right] = (plain as string).split('::');
  const words = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16));
  const head = words(left);
  const tail = right === undefined ? [] : words(right);
  const all =
    right === undefined
      ? head
      : [...head, ...Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => 0), ...tail];
  if (all.length !== 8 || all.some((word) => !(word >= 0 && word <= 0xffff))) return undefined;
  return all.flatMap((word) => [word >>> 8, word & 255]);
}
