/**
 * What a single Node thread could do at most: answers every REGISTER over UDP with 200, with or without a map of bindings behind
 * it. No transactions, no checks: a yardstick, not a registrar. `node baseline-responder.js HOST PORT [map]`
 */
import { createSocket } from 'node:dgram';
import { answer, field, uriIn, userIn } from './load/sip-text.ts';

const [host = '127.0.0.1', port = '5060', store] = process.argv.slice(2);
const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
const bindings = new Map<string, Map<string, { contact: string; flow: string; cseq: number; expiresAt: number }>>();

socket.on('message', (bytes, from) => {
  const text = bytes.toString('latin1');
  if (!text.startsWith('REGISTER ')) return;
  const contact = field(text, 'Contact');
  if (store === 'map') {
    const aor = userIn(field(text, 'To'));
    const expires = Number(field(text, 'Expires'));
    let ofAor = bindings.get(aor);
    if (ofAor === undefined) bindings.set(aor, (ofAor = new Map()));
    ofAor.set(uriIn(contact), {
      contact,
      flow: `${from.address}:${from.port}`,
      cseq: Number.parseInt(field(text, 'CSeq'), 10),
      expiresAt: Date.now() + expires * 1000,
    });
  }
  socket.send(
    Buffer.from(answer(text, '200 OK', 'r', `Contact: ${contact};expires=3600\r\n`), 'latin1'),
    from.port,
    from.address,
  );
});
socket.bind(Number(port), host);
process.on('SIGTERM', () => process.exit(0));
