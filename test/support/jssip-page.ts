/** JsSIP as phone in a web page: one script of all its modules, and what the page does when it is told. */
import { readFileSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, join } from 'node:path';
import type { PhoneScript } from './phone-page.ts';

export function jsSip(): PhoneScript {
  return { text: `${bundle('jssip', 'JsSIP')}\n${phone}` };
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

/** `phone.register(...)`, and every call is answered. */
const phone = `
window.process = { env: {} };
window.phone = {
  calls: 0,
  states: [],
  register({ edge, user, domain, password, contact, push, instance }) {
    const ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(edge)],
      uri: 'sip:' + user + '@' + domain, password, instance_id: instance,
      contact_uri: 'sip:' + user + '@' + contact + ';transport=ws;' + push,
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
  hangUp() {
    this.session.terminate();
  },
  until(name) {
    return new Promise((done) => {
      const look = () => this.states.some((state) => state.startsWith(name)) ? done(this.states) : setTimeout(look, 20);
      look();
    });
  },
};
`;
