/** A voice path as small as it can be: an SDP body, and RTP packets of silence to where the other side's SDP points (RFC 8866, RFC 3550). */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';

export class Media {
  readonly address: string;
  readonly #socket: Socket;
  readonly #ssrc = randomBytes(4).readUInt32BE();
  #sequence = 0;
  /** RTP packets that arrived */
  received = 0;
  #onFirst: () => void = () => undefined;
  /** the first packet has arrived */
  readonly first: Promise<void> = new Promise((done) => {
    this.#onFirst = done;
  });

  private constructor(address: string, socket: Socket) {
    this.address = address;
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('message', () => {
      this.received += 1;
      this.#onFirst();
    });
  }

  static async open(address: string): Promise<Media> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    await new Promise<void>((done, fail) => {
      socket.once('error', fail);
      socket.bind(0, address, done);
    });
    return new Media(address, socket);
  }

  /** An offer or answer: G.711 at our port. */
  sdp(): string {
    return sessionDescription(this.address, this.#socket.address().port);
  }

  /** Sends this many packets of silence, all at once, to the address in the other side's SDP. False: there is none. */
  talkTo(sdp: string, packets = 3): boolean {
    const port = /^m=audio (\d+)/m.exec(sdp)?.[1];
    const address = /^c=IN IP[46] (\S+)/m.exec(sdp)?.[1];
    if (port === undefined || address === undefined) return false;
    for (let count = 0; count < packets; count++) {
      this.#sequence += 1;
      const packet = Buffer.alloc(172, 0xff);
      packet.writeUInt16BE(0x8000, 0);
      packet.writeUInt16BE(this.#sequence, 2);
      packet.writeUInt32BE(this.#sequence * 160, 4);
      packet.writeUInt32BE(this.#ssrc, 8);
      this.#socket.send(packet, Number(port), address, () => undefined);
    }
    return true;
  }

  close(): void {
    this.#socket.close();
  }
}

export function sessionDescription(address: string, port: number, version = 1): string {
  const family = address.includes(':') ? 'IP6' : 'IP4';
  return [
    'v=0',
    `o=- 1 ${version} IN ${family} ${address}`,
    's=-',
    `c=IN ${family} ${address}`,
    't=0 0',
    `m=audio ${port} RTP/AVP 0`,
    'a=rtpmap:0 PCMU/8000',
    'a=sendrecv',
    '',
  ].join('\r\n');
}
