/** A throw-away CA and a server certificate for loopback (RFC 5280), written as DER by hand so that no openssl binary is needed. Not for production. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { isIPv4 } from 'node:net';

export interface CertificateNames {
  /** DNS names, ASCII */
  readonly hosts: readonly string[];
  /** IPv4 or IPv6 addresses without brackets or zone */
  readonly addresses: readonly string[];
}

/** Everything as PEM text. */
export interface ServerIdentity {
  /** the CA's own certificate, what a client must trust */
  readonly ca: string;
  /** the server's certificate, signed by the CA */
  readonly certificate: string;
  /** the server's private key, PKCS #8 */
  readonly key: string;
}

const day = 86_400_000;

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const length: number[] = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length, ...length), content]);
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const octets = (value: Uint8Array): Buffer => der(0x04, value);
const bits = (value: Uint8Array, unused = 0): Buffer => der(0x03, Buffer.of(unused), value);
const yes = Buffer.of(0x01, 0x01, 0xff);

/** A positive INTEGER of these octets. */
function integer(value: Buffer): Buffer {
  return der(0x02, (value[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), value]) : value);
}

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const out = [first * 40 + second];
  for (const arc of rest) {
    const base128 = [arc & 0x7f];
    for (let high = arc >>> 7; high > 0; high >>>= 7) base128.unshift(0x80 | (high & 0x7f));
    out.push(...base128);
  }
  return der(0x06, Buffer.from(out));
}

/** UTCTime, good until 2049 (RFC 5280 4.1.2.5.1). */
function time(at: number): Buffer {
  return der(0x17, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
}

function commonName(name: string): Buffer {
  return sequence(der(0x31, sequence(objectId('2.5.4.3'), der(0x0c, Buffer.from(name)))));
}

/** 4 or 16 octets, network order. */
function addressOctets(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const before = groups(head);
  const after = groups(tail ?? '');
  const all = [...before, ...Array<number>(Math.max(0, 8 - before.length - after.length)).fill(0), ...after];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  critical ? sequence(objectId(id), yes, octets(value)) : sequence(objectId(id), octets(value));

const ecdsaWithSha256 = sequence(objectId('1.2.840.10045.4.3.2'));

function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

function certificateOf(what: {
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly issuer: string;
  readonly issuerKey: KeyObject;
  readonly days: number;
  readonly extensions: readonly Buffer[];
}): string {
  const now = Date.now();
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    integer(Buffer.concat([Buffer.of(1), randomBytes(15)])),
    ecdsaWithSha256,
    commonName(what.issuer),
    // a day back, for peers whose clock is behind
    sequence(time(now - day), time(now + what.days * day)),
    commonName(what.subject),
    what.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...what.extensions)),
  );
  const signature = sign('sha256', toBeSigned, what.issuerKey);
  return new X509Certificate(sequence(toBeSigned, ecdsaWithSha256, bits(signature))).toString();
}

/** Makes a CA and one server certificate for these names, both P-256 and good for `days`. */
export function makeServerIdentity(names: CertificateNames, days = 30): ServerIdentity {
  const ca = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const caName = `push-lab CA ${randomBytes(4).toString('hex')}`;
  const authorityKey = extension('2.5.29.35', false, sequence(der(0x80, keyIdentifier(ca.publicKey))));
  const subjectKey = (key: KeyObject): Buffer => extension('2.5.29.14', false, octets(keyIdentifier(key)));

  const caCertificate = certificateOf({
    subject: caName,
    publicKey: ca.publicKey,
    issuer: caName,
    issuerKey: ca.privateKey,
    days,
    extensions: [
      extension('2.5.29.19', true, sequence(yes)),
      // keyCertSign and cRLSign
      extension('2.5.29.15', true, bits(Buffer.of(0x06), 1)),
      subjectKey(ca.publicKey),
    ],
  });
  const certificate = certificateOf({
    subject: names.hosts[0] ?? names.addresses[0] ?? 'push-lab',
    publicKey: server.publicKey,
    issuer: caName,
    issuerKey: ca.privateKey,
    days,
    extensions: [
      extension('2.5.29.19', true, sequence()),
      // digitalSignature
      extension('2.5.29.15', true, bits(Buffer.of(0x80), 7)),
      // serverAuth
      extension('2.5.29.37', false, sequence(objectId('1.3.6.1.5.5.7.3.1'), objectId('1.3.6.1.5.5.7.3.2'))),
      extension(
        '2.5.29.17',
        false,
        sequence(
          ...names.hosts.map((host) => der(0x82, Buffer.from(host))),
          ...names.addresses.map((address) => der(0x87, addressOctets(address))),
        ),
      ),
      subjectKey(server.publicKey),
      authorityKey,
    ],
  });
  return { ca: caCertificate, certificate, key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}
