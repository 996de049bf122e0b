/**
 * The HTTP API for operators and their programs, under /api/v1: JSON in, JSON out, and a bearer token with every request
 * (RFC 6750). It knows no route by itself; whoever starts the admin port brings them.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { EdgeError } from '../../errors.ts';

export type ApiMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface ApiRequest {
  /** the `:names` of the path, percent-decoded */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** parsed JSON; undefined when there was none */
  readonly body: unknown;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: object;
}

export interface ApiRoute {
  readonly method: ApiMethod;
  /** below /api/v1, `/registrations/:aor`; a `:name` takes one segment */
  readonly path: string;
  /** one line for people; GET /api/v1 shows it */
  readonly does: string;
  /** Must not put a secret into its answer. That the store cannot be used becomes 503; any other rejection 500, and is redacted. */
  handle(request: ApiRequest): Promise<ApiAnswer>;
}

export interface ApiOptions {
  /** undefined: the API is off, and says so */
  readonly token: string | undefined;
  readonly routes: readonly ApiRoute[];
}

const prefix = '/api/v1';
const mostOctets = 256 * 1024;

export function isApiPath(path: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

/** Answers one request below /api/v1. Rejects when a route does, but for a store that cannot be used now. */
export async function answerApi(incoming: IncomingMessage, { token, routes }: ApiOptions): Promise<ApiAnswer> {
  if (token === undefined) return wrong(403, 'The API is off: set http.api_token.');
  if (!isBearer(incoming.headers.authorization, token))
    return wrong(401, 'Expected the header "Authorization: Bearer TOKEN" with the token of this edge.');
  const url = new URL(incoming.url ?? '/', 'http://edge');
  const path = url.pathname.slice(prefix.length);
  if (path === '' || path === '/') {
    const known = routes.map(({ method, path: at, does }) => ({ method, path: prefix + at, does }));
    return { status: 200, body: { routes: known } };
  }
  const here = routes.flatMap((route) => {
    const params = match(route.path, path);
    return params === undefined ? [] : [{ route, params }];
  });
  const found = here.find(({ route }) => route.method === incoming.method);
  if (found === undefined)
    return here.length === 0
      ? wrong(404, `Nothing is at ${prefix}${path}; GET ${prefix} lists what is there.`)
      : wrong(405, `Expected ${here.map(({ route }) => route.method).join(' or ')}, found ${incoming.method ?? ''}.`);
  const body = await bodyOf(incoming);
  if (body.is === 'wrong') return wrong(body.status, body.why);
  try {
    return await found.route.handle({ params: found.params, query: url.searchParams, body: body.value });
  } catch (error) {
    if (error instanceof EdgeError && error.code.startsWith('EDGE_STORE')) return wrong(503, error.message);
    throw error;
  }
}

export function wrong(status: number, error: string): ApiAnswer {
  return { status, body: { error } };
}

function isBearer(header: string | undefined, token: string): boolean {
  const given = /^Bearer +([^\s]+) *$/i.exec(header ?? '')?.[1];
  // hashed, because the comparison wants one length and the length is nobody's business
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
}

function match(pattern: string, path: string): Readonly<Record<string, string>> | undefined {
  const [wanted, given] = [pattern.split('/'), path.split('/')];
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [at, part] of wanted.entries()) {
    const value = decoded(given[at] ?? '');
    if (part.startsWith(':') && value !== undefined && value !== '') params[part.slice(1)] = value;
    else if (part !== value) return undefined;
  }
  return params;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

type Body =
  | { readonly is: 'read'; readonly value: unknown }
  | { readonly is: 'wrong'; readonly status: number; readonly why: string };

async function bodyOf(incoming: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  let octets = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    octets += chunk.length;
    if (octets > mostOctets)
      return { is: 'wrong', status: 413, why: `Expected at most ${mostOctets} octets of JSON, found more.` };
    chunks.push(chunk);
  }
  if (octets === 0) return { is: 'read', value: undefined };
  try {
    return { is: 'read', value: JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown };
  } catch {
    return { is: 'wrong', status: 400, why: 'Expected JSON in the body, found something else.' };
  }
}
