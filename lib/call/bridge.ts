/** Interim. */
import { passInDialog } from '../core/pass-headers.ts';
import type { Dialog } from '../ports/dialog.ts';
import type { Log } from '../ports/log.ts';
import { Headers } from '../sip/headers.ts';
export function bridge(caller: Dialog, callee: Dialog, options: { readonly log: Log; readonly callId: string; readonly onOver: () => void }): { end(why: string): void } {
  let over = false;
  const end = (other: Dialog, reason: Headers): void => {
    if (over) return;
    over = true;
    void other.request({ method: 'BYE', headers: reason, body: '' }).then(() => {
      caller.close();
      callee.close();
      options.onOver();
    });
  };
  for (const [one, other] of [[caller, callee], [callee, caller]] as const) {
    one.onRequest((transaction) => {
      const { method, headers, body } = transaction.request;
      if (method === 'BYE') {
        void transaction.respond({ status: 200 });
        end(other, passInDialog(headers));
        return;
      }
      void other.request({ method, headers: passInDialog(headers), body }).then((answer) => {
        const { status, reason, headers: answered, body: content } = answer.response;
        answer.ack?.();
        const sent = { status, reason, headers: passInDialog(answered), ...(content === '' ? {} : { body: content }) };
        if ('accept' in transaction && status < 300) void transaction.accept(sent);
        else void transaction.respond(sent);
      });
    });
    one.onEnd(() => end(other, Headers.empty()));
  }
  return {
    end: () => {
      if (over) return;
      void callee.request({ method: 'BYE', headers: Headers.empty(), body: '' });
      end(caller, Headers.empty());
    },
  };
}
