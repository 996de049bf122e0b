/** A web page with JsSIP in it, served on loopback, which browsers count as a safe place for microphones. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire, isBuiltin } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';

export interface JsSipPage {
  readonly url: string;
  readonly origin: string;
  close(): Promise<void>;
}

export async function serveJsSip(): Promise<JsSipPage> {
  const script = `${bundle('jssip', 'JsSIP')}\n${phone}`;
  const server = createServer((request, response) => {
    const isScript = request.url === '/phone.js';
    response.setHeader('Content-Type', isScript ? 'text/javascript; charset=utf-8' : 'text/html; charset=utf-8');
    response.end(isScript ? script : '<!doctype html><title>phone</title><script src="/phone.js"></script>');
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

/** All modules of a CommonJS package as one script that sets `window[name]`. */
function bundle(entry: string, name: string): string {
  const modules = new Map<string, { readonly text: string; readonly needs: Record<string, string> }>();
  const add = (file: string): void => {
    if (modules.has(file)) return;
    const text = readFileSync(file, 'utf8');
    const needs: Record<string, string> = {};
    modules.set(file, { text: file.endsWith('.json') ? `module.exports = ${text}` : text, needs });
    if (file.endsWith('.json')) return;
    const from = createRequire(file);
    for (const [, what = ''] of text.matchAll(/\brequire\(['"]([^'"]+)['"]\)/g)) {
      // debug has a file for browsers; a package with the name of a module of Node is meant when it ends in a slash
      const found =
        what === 'debug'
          ? join(dirname(from.resolve('debug')), 'browser.js')
          : from.resolve(isBuiltin(what) ? `${what}/` : what);
      needs[what] = found;
      add(found);
    }
  };
  const first = createRequire(import.meta.url).resolve(entry);
  add(first);
  const written = [...modules].map(
    ([file, { text, needs }]) =>
      `${JSON.stringify(file)}: [${JSON.stringify(needs)}, function (module, exports, require) {${text}\n}]`,
  );
  return `(() => {
    const modules = {${written.join(',\n')}};
    const made = {};
    const load = (file) => {
      if (made[file] === undefined) {
        const [needs, run] = modules[file];
        const module = (made[file] = { exports: {} });
        run.call(module.exports, module, module.exports, (what) => load(needs[what]));
      }
      return made[file].exports;
    };
    window[${JSON.stringify(name)}] = load(${JSON.stringify(first)});
  })();`;
}

/** What the page does when it is told: `phone.register(...)`, answering every call, and `caller` for a far end with real media. */
const phone = `
window.process = { env: {} };
window.phone = {
  calls: 0,
  states: [],
  register({ edge, uri, password, contact, instance }) {
    const ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(edge)],
      uri, password, contact_uri: contact, instance_id: instance,
      register_expires: 600, session_timers: false, user_agent: 'JsSIP',
    });
    this.ua = ua;
    ua.on('newRTCSession', ({ session, originator }) => {
      if (originator !== 'remote') return;
      this.calls++;
      this.session = session;
      for (const name of ['progress', 'accepted', 'confirmed', 'ended', 'failed'])
        session.on(name, (event) => this.states.push(name + (event && event.cause ? ' ' + event.cause : '')));
      session.answer({ mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } });
    });
    return new Promise((done, fail) => {
      ua.on('registered', ({ response }) => done(response.getHeader('Feature-Caps') || ''));
      ua.on('registrationFailed', ({ cause }) => fail(new Error(cause)));
      ua.on('disconnected', ({ code, reason }) => fail(new Error('disconnected ' + code + ' ' + reason)));
      ua.start();
    });
  },
  until(name) {
    return new Promise((done) => {
      const look = () => this.states.some((state) => state.startsWith(name)) ? done(this.states) : setTimeout(look, 20);
      look();
    });
  },
};
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
`;
