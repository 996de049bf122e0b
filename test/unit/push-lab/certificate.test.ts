import { X509Certificate } from 'node:crypto';
import { connect, createServer } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { makeServerIdentity } from '../../../apps/push-lab/certificate.ts';

describe('push lab certificate', () => {
  const identity = makeServerIdentity({ hosts: ['localhost'], addresses: ['127.0.0.1', '::1', 'fd00::12:3'] });
  const server = new X509Certificate(identity.certificate);
  const ca = new X509Certificate(identity.ca);

  it('is issued by its CA, which may issue', () => {
    expect(ca.ca).toBe(true);
    expect(server.ca).toBe(false);
    expect(server.checkIssued(ca)).toBe(true);
    expect(server.verify(ca.publicKey)).toBe(true);
    expect(ca.verify(ca.publicKey)).toBe(true);
  });

  it('names every host and address', () => {
    expect(server.checkHost('localhost')).toBe('localhost');
    expect(server.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(server.checkIP('::1')).toBeDefined();
    expect(server.checkIP('fd00::12:3')).toBeDefined();
    expect(server.checkIP('127.0.0.2')).toBeUndefined();
  });

  it('is good now', () => {
    expect(Date.parse(server.validFrom)).toBeLessThan(Date.now());
    expect(Date.parse(server.validTo)).toBeGreaterThan(Date.now());
  });

  it('convinces a TLS client that trusts the CA', async () => {
    const listener = createServer({ cert: identity.certificate, key: identity.key }, (socket) => socket.end('hello'));
    await new Promise<void>((done) => listener.listen(0, '127.0.0.1', done));
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const heard = await new Promise<string>((done, fail) => {
      const socket = connect({ host: '127.0.0.1', port: address.port, ca: identity.ca });
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      socket.on('end', () => done(text));
      socket.on('error', fail);
    });
    listener.close();
    expect(heard).toBe('hello');
  });
});
