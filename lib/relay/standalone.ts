/** Interim. */
import { passInvite, passAnswer } from '../core/pass-headers.ts';
import type { Client } from '../ports/client.ts';
import type { ServerTransaction } from '../ports/server-transaction.ts';
export interface StandaloneDeps { readonly client: Client; readonly timeoutMs: number }
export async function relayStandalone(transaction: ServerTransaction, to: { readonly uri: string; readonly nextHop: string; readonly to?: string }, deps: StandaloneDeps): Promise<void> {
  const { request } = transaction;
  const headers = passInvite(request.headers, to.to === undefined ? {} : { to: to.to });
  const { response, local } = await deps.client.send({ method: request.method, uri: to.uri, nextHop: to.nextHop, headers, body: request.body, timeoutMs: deps.timeoutMs });
  if (local && response.status === 408) return;
  await transaction.respond({ status: local ? 480 : response.status, headers: passAnswer(response.headers), ...(response.body === '' ? {} : { body: response.body }) });
}
