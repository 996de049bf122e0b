/** Requests of the engine's own inside dialogs: BYE when one has to end, ACK and BYE for a second answer, refreshes (RFC 4028). */
import { type Core, ownContact, sentPeer } from './core.ts';
import type { Dialog } from './dialog/dialog.ts';
import { dialogParts, wayOf } from './dialog/requests.ts';
import { newBranch } from './ids.ts';
import { printRequest, type RequestParts } from './printing.ts';
import type { Response } from './reading.ts';
import { ownRequest, type Sender } from './sent.ts';
import type { Flow } from './transport/flow.ts';

/** About what start line and headers of an ACK take. */
const headOctets = 500;

/** The next request of ours in a dialog. */
export function nextParts(dialog: Dialog, method: string, flow: Flow): RequestParts {
  dialog.localSeq++;
  return dialogParts(dialog, method, flow, newBranch(), dialog.localSeq);
}

export class OwnRequests {
  readonly #core: Core;
  readonly #sender: Sender;

  constructor(core: Core, sender: Sender) {
    this.#core = core;
    this.#sender = sender;
  }

  /** Ends a dialog with BYE; the app hears of it as `unsolicited`. */
  endDialog(dialog: Dialog, reason: string): void {
    if (dialog.over) return;
    this.#core.endInvite(dialog);
    this.#core.dialogs.remove(dialog);
    this.#bye(dialog, reason, (text, flow) => dialog.owner.unsolicited(text, sentPeer(flow), dialog.id));
  }

  /** A second phone answered the same INVITE: thank it and hang up; the app has its call already (RFC 3261 13.2.2.4). */
  hangUpFork(dialog: Dialog): void {
    this.#core.dialogs.remove(dialog);
    this.ack(dialog, '', '', () => this.#bye(dialog, 'Call completed elsewhere', () => {}));
  }

  /** ACK for the INVITE whose 2xx came last; it is kept for copies of that 2xx. */
  ack(dialog: Dialog, lines: string, body: string, onSent: (text: string, flow: Flow) => void): void {
    const seq = dialog.invited;
    wayOf(dialog, this.#core, (way) => {
      const flow = way?.direct(body.length + lines.length + headOctets) ?? dialog.flow;
      const text = printRequest(dialogParts(dialog, 'ACK', flow, newBranch(), seq), lines, body);
      flow.send(text);
      dialog.ack = { seq, text, flow };
      onSent(text, flow);
    });
  }

  /** True when a refresh can be sent: by UPDATE without an offer, or by INVITE with the one we have made (RFC 4028 7.4). */
  canRefresh(dialog: Dialog): boolean {
    return dialog.takesUpdate || dialog.localSdp !== '';
  }

  refresh(dialog: Dialog, seconds: number, minSe: number): void {
    const method = dialog.takesUpdate ? 'UPDATE' : 'INVITE';
    if (method === 'INVITE') {
      dialog.asking++;
      dialog.refreshing = true;
    }
    wayOf(dialog, this.#core, (way) => {
      const flow = way?.first;
      const onRefreshed = (status: number, response: Response | undefined): void => {
        if (method === 'INVITE') this.#turnOver(dialog, status);
        if (dialog.over) return;
        if (status >= 200 && status < 300 && response !== undefined)
          this.#core.agreeSession(dialog, response.headers, 'uac');
        else dialog.session?.refused(status, response?.headers, dialog.ours);
      };
      if (flow === undefined) {
        // its connection is gone, and with it everybody who could answer
        onRefreshed(408, undefined);
        return;
      }
      const parts = { ...nextParts(dialog, method, flow), contact: ownContact(flow) };
      const body = method === 'INVITE' ? dialog.localSdp : '';
      const type = body === '' ? '' : 'Content-Type: application/sdp\r\n';
      const lines = `Supported: timer\r\nSession-Expires: ${seconds};refresher=uac\r\nMin-SE: ${minSe}\r\n${type}`;
      this.#sender.start(ownRequest(parts, dialog, onRefreshed), flow, printRequest(parts, lines, body));
    });
  }

  /** An INVITE of the engine's own has its answer: its ACK goes out, and the app's INVITEs that waited for it. */
  #turnOver(dialog: Dialog, status: number): void {
    dialog.asking--;
    dialog.refreshing = false;
    if (status >= 200 && status < 300 && !dialog.over) this.ack(dialog, '', '', () => {});
    for (const next of dialog.waiting.splice(0)) next();
  }

  #bye(dialog: Dialog, reason: string, onSent: (text: string, flow: Flow) => void): void {
    wayOf(dialog, this.#core, (way) => {
      const flow = way?.first;
      const parts = nextParts(dialog, 'BYE', flow ?? dialog.flow);
      const text = printRequest(parts, `Reason: SIP;cause=200;text="${reason}"\r\n`);
      if (flow !== undefined) this.#sender.start(ownRequest(parts), flow, text);
      onSent(text, flow ?? dialog.flow);
    });
  }
}
