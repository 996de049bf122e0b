/** SIP.js as phone in a web page, from the modules of its package. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PhoneScript } from './phone-page.ts';

export function sipJs(): PhoneScript {
  return { text: phone, modules: dirname(fileURLToPath(import.meta.resolve('sip.js'))) };
}

/** `phone.register(...)`, and every call is answered. */
const phone = `
import { Registerer, SessionState, UserAgent } from '/lib/index.js';
window.phone = {
  calls: 0,
  states: [],
  async register({ edge, user, domain, password, contact, push, instance }) {
    const params = Object.fromEntries(push.split(';').map((one) => one.split(/=(.*)/s)));
    const ua = new UserAgent({
      uri: UserAgent.makeURI('sip:' + user + '@' + domain),
      transportOptions: { server: edge },
      authorizationUsername: user,
      authorizationPassword: password,
      contactName: user,
      viaHost: contact,
      contactParams: { transport: 'ws', ...params },
      sessionDescriptionHandlerFactoryOptions: { iceGatheringTimeout: 500, peerConnectionConfiguration: { iceServers: [] } },
      delegate: {
        onInvite: (session) => {
          this.calls++;
          this.session = session;
          session.stateChange.addListener((state) => {
            if (state === SessionState.Established) this.states.push('confirmed');
            if (state === SessionState.Terminated) this.states.push('ended');
          });
          const options = { constraints: { audio: true, video: false } };
          session.accept({ sessionDescriptionHandlerOptions: options });
        },
        onDisconnect: (error) => this.states.push('disconnected' + (error ? ' ' + error.message : '')),
      },
    });
    this.ua = ua;
    await ua.start();
    const registerer = new Registerer(ua, { expires: 600, instanceId: instance, regId: 1 });
    return new Promise((done, fail) => {
      registerer.register({
        requestDelegate: {
          onAccept: ({ message }) => done(message.getHeader('Feature-Caps') || ''),
          onReject: ({ message }) => fail(new Error(message.statusCode + ' ' + message.reasonPhrase)),
        },
      });
    });
  },
  hangUp() {
    this.session.bye();
  },
  until(name) {
    return new Promise((done) => {
      const look = () => this.states.some((state) => state.startsWith(name)) ? done(this.states) : setTimeout(look, 20);
      look();
    });
  },
};
`;
