/**
 * What operators and their machines ask over HTTP: /metrics, /healthz (the process runs), /readyz (it can serve calls), which
 * anybody may read, and the API below /api/v1, which wants a token. A client that is slow or silent is cut off and costs a
 * socket for seconds.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EdgeError } from '../../errors.ts';
import { redact } from '../../telemetry/redact.ts';
import { answerApi, isApiPath, type ApiOptions } from './api.ts';

export interface Readiness {
  readonly ok: boolean;
  /** why not, in words for an operator: `draining`, `the SIP engine is not connected` */
  readonly why?: string;
}

export interface AdminOptions {
  /** port 0 takes a free one */
  readonly listen: { readonly address: string; readonly port: number };
  readonly registry: { expose(): Promise<{ readonly contentType: string; readonly body: string }> };
  /** Asked for each /readyz; no answer within a second counts as no. */
  readonly ready: () => Promise<Readiness>;
  /** left out: there is no API here */
  readonly api?: ApiOptions;
}

export interface Admin {
  readonly port: number;
  close(): Promise<void>;
}

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const readyWithinMs = 1000;
const slowMs = 5000;

/** Rejects with EDGE_CONFIG_INVALID when the address cannot be listened on. */
export async function startAdmin({ listen, registry, ready, api }: AdminOptions): Promise<Admin> {
  const readiness = shared(() => within(readyWithinMs, ready()));
  const exposition = shared(() => registry.expose());

  const reply = async (path: string): Promise<Reply> => {
    switch (path) {
      case '/metrics': {
        const { contentType, body } = await exposition();
        return { status: 200, type: contentType, body };
      }
      case '/healthz':
        return json(200, { alive: true });
      case '/readyz': {
        const { ok, why } = await readiness();
        return ok ? json(200, { ready: true }) : json(503, { ready: false, why: redact(why ?? 'not ready') });
      }
      default:
        return json(404, { error: 'There are /metrics, /healthz, /readyz and, for an edge, /api/v1.' });
    }
  };

  const server = createServer(
    {
      headersTimeout: slowMs,
      requestTimeout: slowMs,
      keepAliveTimeout: slowMs,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: 8192,
    },
    (request, response) => void answer(request, response, reply, api),
  );
  server.maxConnections = 64;
  // also ends a connection whose client does not read what it asked for
  server.setTimeout(2 * slowMs, (socket) => socket.destroy());
  server.on('clientError', (_error, socket) => socket.destroy());

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const expected = 'expected an address this machine can listen on';
      reject(
        new EdgeError(
          'EDGE_CONFIG_INVALID',
          `http.listen: ${expected}, found ${listen.address}:${listen.port} (${error.code})`,
          error,
        ),
      );
    });
    server.listen(listen.port, listen.address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  reply: (path: string) => Promise<Reply>,
  api: ApiOptions | undefined,
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const asked = request.method === 'GET' || request.method === 'HEAD';
  const answered =
    api !== undefined && isApiPath(path)
      ? answerApi(request, api).then(({ status, body }) => json(status, body))
      : asked
        ? reply(path)
        : Promise.resolve(json(405, { error: 'Only GET and HEAD.' }));
  const { status, type, body } = await answered.catch((error: unknown) => json(500, { error: redact(String(error)) }));
  if (response.destroyed) return;
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...(status === 405 && !isApiPath(path) ? { allow: 'GET, HEAD' } : {}),
    // whoever sends a body that nobody has read is not waited for
    ...(request.complete ? {} : { connection: 'close' }),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function json(status: number, value: object): Reply {
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(value)}\n` };
}

/** Many clients at once get one and the same answer. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => {
    running ??= ask().finally(() => (running = undefined));
    return running;
  };
}

async function within(ms: number, asked: Promise<Readiness>): Promise<Readiness> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Readiness>((resolve) => {
    timer = setTimeout(resolve, ms, { ok: false, why: `no answer within ${ms} ms` });
  });
  const failed = asked.catch((error: unknown) => ({
    ok: false,
    why: error instanceof Error ? error.message : String(error),
  }));
  return Promise.race([failed, late]).finally(() => clearTimeout(timer));
}
