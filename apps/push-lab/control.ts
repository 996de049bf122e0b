/** The lab's control API: plain HTTP and JSON, for scripts and tests in other processes. It shows full device tokens; keep it on loopback. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import type { ApnsLab } from './apns-lab.ts';
import { followed } from './follow.ts';
import type { HttpRoutes } from './http-control.ts';
import { fieldsOf, goawayModes, milliseconds, oneOf, parseRule } from './rules.ts';

export interface Control {
  readonly port: number;
  close(): Promise<void>;
}

const longestBody = 1_000_000;

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > longestBody) throw new Error('expected a body of at most 1 MB');
    chunks.push(chunk);
  }
  if (length === 0) return {};
  return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
}

type Route = (lab: ApnsLab, body: unknown, response: ServerResponse) => unknown;

/** what a route returns is the answer; undefined: it answers itself */
const routes: Readonly<Record<string, Route>> = {
  'GET /pushes': (lab) => lab.pushes(),
  'DELETE /pushes': (lab) => {
    lab.clear();
    return { cleared: true };
  },
  'GET /stats': (lab) => lab.stats(),
  'GET /rules': (lab) => lab.rules.list(),
  'POST /rules': (lab, body) => {
    const rules = (Array.isArray(body) ? body : [body]).map(parseRule);
    for (const rule of rules) lab.rules.add(rule);
    return { rules: lab.rules.size };
  },
  'DELETE /rules': (lab) => {
    lab.rules.clear();
    return { rules: 0 };
  },
  'POST /goaway': (lab, body) => {
    const fields = fieldsOf(body);
    const { reason } = fields;
    const mode = oneOf(fields, 'mode', goawayModes, 'graceful');
    return { sessions: lab.goaway(mode, typeof reason === 'string' ? reason : undefined) };
  },
  'POST /drop': (lab, body) => ({ sessions: lab.drop(oneOf(fieldsOf(body), 'when', ['before', 'after'], 'before')) }),
  'POST /stall': (lab) => ({ sessions: lab.stall() }),
  'POST /outage': (lab, body) => {
    const ms = milliseconds(fieldsOf(body), 'ms') ?? 500;
    // the answer does not wait for the end of it
    lab.outage(ms).catch(() => undefined);
    return { ms };
  },
  'POST /slow-tls': (lab, body) => {
    const ms = milliseconds(fieldsOf(body), 'ms') ?? 2000;
    lab.slowTls(ms);
    return { ms };
  },
  'POST /stream-limit': (lab, body) => {
    const { limit } = fieldsOf(body);
    if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 0)
      throw new Error('limit: expected a whole number');
    return { sessions: lab.setStreamLimit(limit) };
  },
  'POST /expire-tokens': (lab) => ({ providerTokens: lab.expireProviderTokens() }),
  'GET /events': (lab, _, response) => followed(response, (listener) => lab.onPush(listener)),
};

async function answer(
  lab: ApnsLab,
  http: HttpRoutes,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  const name = `${request.method} ${path}`;
  let status = 200;
  let result: unknown;
  const stranger = foreign(request);
  if (stranger !== undefined) {
    response.writeHead(403, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify({ error: stranger })}\n`);
    return;
  }
  if (!Object.hasOwn(routes, name) && !Object.hasOwn(http, name)) {
    status = 404;
    result = { error: 'no such route', routes: [...Object.keys(routes), ...Object.keys(http)] };
  } else {
    try {
      const body = await bodyOf(request);
      const own = routes[name];
      result = own === undefined ? http[name]?.(body, response) : own(lab, body, response);
    } catch (cause) {
      status = 400;
      result = { error: cause instanceof Error ? cause.message : String(cause) };
    }
  }
  if (result === undefined) return;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(result)}\n`);
}

/** Why a request may come from a page of somebody else's, which a browser would send here as well (also by DNS rebinding). */
function foreign({ headers }: IncomingMessage): string | undefined {
  const host = headers.host ?? '';
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  if (name !== 'localhost' && isIP(name) === 0) return 'Host: expected an IP address or localhost';
  if (headers.origin !== undefined && headers.origin !== `http://${host}`)
    return 'Origin: expected the page of this lab';
  return undefined;
}

/** `http`: routes of the other stand-ins, where they run, of the page and of scripts. */
export async function startControl(lab: ApnsLab, host: string, port: number, http: HttpRoutes = {}): Promise<Control> {
  const server = createServer((request, response) => {
    answer(lab, http, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((done, fail) => {
    server.once('error', fail).listen(port, host, () => {
      server.off('error', fail);
      done();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
