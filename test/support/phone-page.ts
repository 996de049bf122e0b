/** A web page that is a phone, or the far end of a call, served on loopback, which browsers count as a safe place for microphones. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';

export interface PhonePage {
  readonly url: string;
  readonly origin: string;
  close(): Promise<void>;
}

export interface PhoneScript {
  /** sets `window.phone`; a module of the web */
  readonly text: string;
  /** what it imports from `/lib/` */
  readonly modules?: string;
}

/** `window.phone` is the phone; `window.caller` makes offers with real media; `window.ready` when both are there. */
export async function servePhone({ text, modules }: PhoneScript): Promise<PhonePage> {
  const server = createServer(({ url = '' }, response) => {
    const file = /^\/lib\/([\w./-]+\.js)$/.exec(url)?.[1];
    const isScript = url === '/phone.js' || file !== undefined;
    response.setHeader('Content-Type', isScript ? 'text/javascript; charset=utf-8' : 'text/html; charset=utf-8');
    if (file !== undefined && modules !== undefined) response.end(readFileSync(join(modules, normalize(`/${file}`))));
    else if (isScript) response.end(`${text}\n${caller}`);
    else response.end('<!doctype html><title>phone</title><script type="module" src="/phone.js"></script>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `${origin}/`,
    origin,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

const caller = `
window.caller = {
  async offer() {
    this.connection = new RTCPeerConnection({ iceServers: [] });
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    for (const track of stream.getTracks()) this.connection.addTrack(track, stream);
    await this.connection.setLocalDescription(await this.connection.createOffer());
    if (this.connection.iceGatheringState !== 'complete')
      await new Promise((done) => this.connection.addEventListener('icegatheringstatechange', () => this.connection.iceGatheringState === 'complete' && done()));
    return this.connection.localDescription.sdp;
  },
  async answered(sdp) {
    await this.connection.setRemoteDescription({ type: 'answer', sdp });
    const heard = async () => {
      for (const report of (await this.connection.getStats()).values())
        if (report.type === 'inbound-rtp' && report.packetsReceived > 10) return true;
      return false;
    };
    while (!(await heard())) await new Promise((done) => setTimeout(done, 50));
    return this.connection.connectionState;
  },
};
window.ready = true;
`;
