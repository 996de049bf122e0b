/** What an app that has shown the secret may ask for (drachtio-protocol A.2), and who does it. Knows nothing about SIP. */
import type { AppLink } from './app-link.ts';
import { parsePayload, type Payload } from './frames.ts';
import type { Routes } from './routes.ts';

/** The version we claim: srf sends pings from 0.8.2 on. */
const version = 'v0.9.5-rc3';

export interface SipFrames {
  /** `sip|<txn>|` with a response */
  onResponse(app: AppLink, msgId: string, txn: string, message: string): void;
  /** `sip|<txn>|` with a CANCEL */
  onCancel(app: AppLink, msgId: string, txn: string, message: string): void;
  /** `sip|<txn>||<next hop>` with an INVITE that says nothing: ours of that name follows its peer there */
  onMove(app: AppLink, msgId: string, txn: string, nextHop: string): void;
  /** `sip||<dialog id>`; `sip||<dialog id>|<next hop>` when the dialog has moved there */
  onInDialog(app: AppLink, msgId: string, dialogId: string, message: string, nextHop: string): void;
  /** `sip|||<next hop>`; the next hop is '' when there is none. `sip|||<next hop>|routed`: Route of the message is a route set of the app */
  onRequest(app: AppLink, msgId: string, nextHop: string, message: string, routed: boolean): void;
  knowsTransaction(txn: string): boolean;
  onAppGone(app: AppLink): void;
}

export interface CommandParts {
  readonly hostports: () => { readonly told: string; readonly bound: string };
  readonly routes: Routes<AppLink>;
  readonly frames: SipFrames;
}

export class Commands {
  readonly #parts: CommandParts;

  constructor(parts: CommandParts) {
    this.#parts = parts;
  }

  welcome(app: AppLink, msgId: string): void {
    const { told, bound } = this.#parts.hostports();
    app.ok(msgId, told, version, bound);
  }

  /** The app is gone; its share of the requests moves to the others at once. */
  forget(app: AppLink): void {
    this.#parts.routes.removeAll(app);
    this.#parts.frames.onAppGone(app);
  }

  perform(app: AppLink, payload: Payload): void {
    const { tokens, message } = parsePayload(payload);
    const [msgId = '', type, third = '', fourth = '', fifth = '', sixth = ''] = tokens;
    switch (type) {
      case 'sip':
        this.#onSip(app, msgId, { txn: third, dialogId: fourth, nextHop: fifth, routed: sixth === 'routed' }, message);
        return;
      case 'ping':
        app.ok(msgId, 'pong');
        return;
      case 'route':
        if (third === '') app.refuse(msgId, 'Invalid message format');
        else if (this.#parts.routes.add(third, app)) app.ok(msgId);
        else app.refuse(msgId, 'too many routes');
        return;
      case 'remove_route':
        // the original forgets every route of the connection; an app must not see anything else here
        this.#parts.routes.removeAll(app);
        app.ok(msgId);
        return;
      case 'proxy':
        this.#onProxy(app, msgId, third, tokens);
        return;
      case 'authenticate':
        this.welcome(app, msgId);
        return;
      default:
        app.refuse(msgId, 'Unknown message type');
    }
  }

  /** We bridge calls and never proxy them (see README); the answers are those of a proxy attempt that failed. */
  #onProxy(app: AppLink, msgId: string, txn: string, tokens: readonly string[]): void {
    if (tokens.length < 10) app.refuse(msgId, 'Invalid proxy request: not enough information provided');
    else if (this.#parts.frames.knowsTransaction(txn)) app.notOk(msgId, 'error proxying request to ');
    else app.notOk(msgId, `Unknown transaction id: ${txn}`);
  }

  #onSip(
    app: AppLink,
    msgId: string,
    { txn, dialogId, nextHop, routed }: { txn: string; dialogId: string; nextHop: string; routed: boolean },
    message: string,
  ): void {
    const { frames } = this.#parts;
    if (message === '') {
      app.refuse(msgId, 'Invalid message format');
      return;
    }
    if (message.startsWith('SIP/')) {
      if (txn === '') app.refuse(msgId, 'transaction id missing');
      else frames.onResponse(app, msgId, txn, message);
    } else if (dialogId !== '') frames.onInDialog(app, msgId, dialogId, message, nextHop);
    else if (txn !== '' && nextHop !== '') frames.onMove(app, msgId, txn, nextHop);
    else if (txn !== '') frames.onCancel(app, msgId, txn, message);
    else frames.onRequest(app, msgId, nextHop, message, routed);
  }
}
