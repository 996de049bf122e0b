/** Asks the edge that runs with a config, over its HTTP API. */
import { readApiToken } from '../../lib/config/api-token.ts';
import { load } from '../../lib/config/load.ts';
import { EdgeError } from '../../lib/errors.ts';

export interface Asked {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** below /api/v1, with its query */
  readonly path: string;
  readonly body?: object;
}

export interface Answered {
  readonly status: number;
  readonly body: unknown;
}

export interface RunningEdge {
  readonly url: string;
  /** Rejects with EDGE_NOT_REACHED when no edge answers there. */
  ask(asked: Asked): Promise<Answered>;
}

/** `file`: the config of the edge. Throws EDGE_CONFIG_INVALID when the config does not say where the edge is or has no token. */
export function runningEdge(file: string | undefined): RunningEdge {
  const config = load(file === undefined ? {} : { file });
  const { address, port } = config.http.listen;
  if (port === 0)
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      'http.listen: expected a port other than 0 to find the edge by, found 0',
    );
  const anywhere = address === '0.0.0.0' || address === '::';
  const host = anywhere ? '127.0.0.1' : address.includes(':') ? `[${address}]` : address;
  const url = `http://${host}:${port}`;
  const token = readApiToken(config);
  if (token === undefined)
    throw new EdgeError(
      'EDGE_CONFIG_INVALID',
      'http.api_token: expected a token (or an lmdb store beside which an edge has made one), found none',
    );
  return {
    url,
    ask: async ({ method = 'GET', path, body }) => {
      const response = await fetch(`${url}/api/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${token.reveal()}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }).catch((error: unknown) => {
        const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
        throw new EdgeError('EDGE_NOT_REACHED', `no edge answers at ${url}: ${why}`, error);
      });
      const text = await response.text();
      try {
        return { status: response.status, body: JSON.parse(text) as unknown };
      } catch {
        throw new EdgeError('EDGE_NOT_REACHED', `what answers at ${url} is no edge: ${response.status}, not JSON`);
      }
    },
  };
}

/** What went wrong, in the words of the edge. */
export function complaint({ status, body }: Answered): string {
  const said = typeof body === 'object' && body !== null && 'error' in body ? String(body.error) : 'no reason given';
  return `${status}: ${said}`;
}
