/** The routes of the HTTP API (/api/v1) that are about the edge as a whole. */
import type { ApiRoute } from '../../lib/adapters/http/api.ts';
import type { Readiness } from '../../lib/adapters/http/admin.ts';
import type { Calls } from '../../lib/call/ledger.ts';
import type { Subscriptions } from '../../lib/call/subscriptions.ts';

export interface StatusDeps {
  readonly calls: Calls;
  readonly subscriptions: Subscriptions;
  readonly ready: () => Promise<Readiness>;
  readonly hostports: readonly string[];
}

export function statusRoutes({ calls, subscriptions, ready, hostports }: StatusDeps): readonly ApiRoute[] {
  return [
    {
      method: 'GET',
      path: '/status',
      does: 'what this edge does at the moment',
      handle: async () => {
        const { ok, why } = await ready().catch((error: unknown) => ({ ok: false, why: String(error) }));
        return {
          status: 200,
          body: {
            ready: ok,
            ...(why === undefined ? {} : { why }),
            draining: calls.closed,
            listens: hostports.join(' '),
            uptimeSeconds: Math.round(process.uptime()),
            held: calls.held,
            oldestHeldSeconds: calls.oldestHeldSeconds,
            calls: calls.talking,
            subscriptions: subscriptions.size,
          },
        };
      },
    },
    {
      method: 'POST',
      path: '/drain',
      does: 'no new calls from now on: 503, and /readyz says no; what is going on goes on',
      handle: async () => {
        calls.close();
        return { status: 200, body: { draining: true, held: calls.held, calls: calls.talking } };
      },
    },
    {
      method: 'DELETE',
      path: '/drain',
      does: 'takes calls again',
      handle: async () => {
        calls.reopen();
        return { status: 200, body: { draining: calls.closed, held: calls.held, calls: calls.talking } };
      },
    },
  ];
}
