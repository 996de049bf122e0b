/** One request as it goes to one of several servers: with a Contact and a Path by which that server reaches us. */
import { Headers } from '../sip/headers.ts';
import { aorOf } from '../sip/aor.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import type { Server } from './pool.ts';

/** Whose registration and calls are to meet at one server: the AOR in To of a REGISTER, in From of anything else. */
export function userOf(method: string, headers: Headers): string {
  const uri = parseNameAddr(headers.get(method === 'REGISTER' ? 'To' : 'From') ?? '')?.uri ?? '';
  return aorOf(uri) ?? uri;
}

/** `usual`: how the first server reaches the edge, which is what the use-cases wrote. */
export function headersTowards(headers: Headers, server: Server, usual: string): Headers {
  if (server.edgeHost === usual) return headers;
  const passed = Headers.empty();
  for (const [name, value, key] of headers.entries())
    passed.add(
      name,
      key === 'contact' || key === 'path' ? value.replaceAll(`@${usual}`, `@${server.edgeHost}`) : value,
    );
  return passed;
}

/** The way of a request to a server, and from there along its own Route; a Service-Route that begins with the same proxy names it once. */
export function routeTowards(
  { nextHop, routes }: Pick<Server, 'nextHop' | 'routes'>,
  own: readonly string[] = [],
): { readonly nextHop: string; readonly routes?: readonly string[] } {
  const all = own[0] !== undefined && own[0] === routes[0] ? own : [...routes, ...own];
  return { nextHop, ...(all.length === 0 ? {} : { routes: all }) };
}
