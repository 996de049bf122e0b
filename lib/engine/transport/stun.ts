/** STUN Binding answered on the SIP port (RFC 5626 5.4, 8; RFC 5389 7.3, 15.2). Nothing else of STUN: no attributes are read. */

const magicCookie = 0x2112a442;

/** The success answer to a Binding request; undefined when the datagram is none. `address` is the source in plain form. */
export function stunAnswer(datagram: Buffer, address: string, port: number): Buffer | undefined {
  if (datagram.length < 20 || datagram.readUInt16BE(0) !== 0x0001 || datagram.readUInt32BE(4) !== magicCookie)
    return undefined;
  if (datagram.readUInt16BE(2) !== datagram.length - 20) return undefined;
  const octets = address.includes(':') ? ipv6Octets(address) : ipv4Octets(address);
  if (octets === undefined) return undefined;
  const answer = Buffer.alloc(20 + 8 + octets.length);
  answer.writeUInt16BE(0x0101, 0);
  answer.writeUInt16BE(8 + octets.length, 2);
  datagram.copy(answer, 4, 4, 20);
  answer.writeUInt16BE(0x0020, 20);
  answer.writeUInt16BE(4 + octets.length, 22);
  answer[25] = octets.length === 4 ? 1 : 2;
  answer.writeUInt16BE(port ^ (magicCookie >>> 16), 26);
  for (let at = 0; at < octets.length; at++) answer[28 + at] = (octets[at] as number) ^ (datagram[4 + at] as number);
  return answer;
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
