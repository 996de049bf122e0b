/** Requests of ours outside dialogs other than INVITE (RFC 3261 17.1.2). The time limit is ours: drachtio knows only its 32 s. */
import { tagOf } from '../../sip/name-addr.ts';
import type { Client, ClientAnswer, ClientRequest } from '../../ports/client.ts';
import { composeRequest, fitsMetaLine, metaTowards } from './compose.ts';
import { dialogOf, type SrfDialog } from './dialog.ts';
import type { Exchange } from './exchange.ts';
import { localResponse } from './local-response.ts';

export class SrfClient implements Client {
  readonly #current: () => Exchange | undefined;

  constructor(current: () => Exchange | undefined) {
    this.#current = current;
  }

  send(request: ClientRequest): Promise<ClientAnswer> {
    const exchange = this.#current();
    const routes = exchange?.surroundings.takesRoutes === true ? request.routes : undefined;
    const text = composeRequest(request.method, request.uri, request.headers, request.body, routes);
    if (text === undefined || !fitsMetaLine(request.nextHop ?? '')) {
      return Promise.resolve({ response: localResponse(400), local: true });
    }
    if (exchange === undefined || !exchange.alive)
      return Promise.resolve({ response: localResponse(503), local: true });
    return new Promise((resolve) => {
      let txn: string | undefined;
      let over = false;
      const end = (answer: ClientAnswer): void => {
        if (over) return;
        over = true;
        stopTimer();
        resolve(answer);
        // after whoever waits has the dialog and listens: what comes before is kept there
        if (names !== undefined) exchange.subscribed(...names, answer.dialog as SrfDialog | undefined);
      };
      const names = request.method === 'SUBSCRIBE' ? namesOf(request) : undefined;
      if (names !== undefined) exchange.subscribing(...names);
      const stopTimer = exchange.surroundings.clock.after(request.timeoutMs, () => {
        if (txn !== undefined) exchange.forget(txn);
        end({ response: localResponse(408), local: true });
      });
      exchange.request(metaTowards(request.nextHop, routes), text, {
        sent: (id) => {
          txn = id;
          if (over) exchange.forget(id);
        },
        refused: () => end({ response: localResponse(exchange.alive ? 500 : 503), local: true }),
        response: (response, local, dialogId) => {
          if (response.status < 200) return;
          const opened = names !== undefined && response.status < 300 && dialogId !== '' && !over;
          end(opened ? { response, local, dialog: dialogOf(exchange, dialogId, response) } : { response, local });
        },
      });
    });
  }
}

/**
 * What a NOTIFY will call a subscription of ours; both are the caller's to give, or the engine would choose them. One with a tag in To is
 * of a dialog that its two ends have by themselves: its NOTIFYs go by like any request.
 */
function namesOf({ headers }: ClientRequest): [callId: string, localTag: string] | undefined {
  if (tagOf(headers.get('to') ?? '') !== undefined) return undefined;
  const callId = headers.get('call-id');
  const tag = tagOf(headers.get('from') ?? '');
  return callId === undefined || tag === undefined ? undefined : [callId, tag];
}
