/** What the control API says and does about the stand-ins of http-lab.ts: the same words as for APNs, below `/http`. */
import type { ServerResponse } from 'node:http';
import type { HttpLab } from './http-lab.ts';
import { parseRule } from './rules.ts';
import { followed } from './follow.ts';

/** What a route returns is the answer; undefined: it answers itself. */
export type HttpRoutes = Readonly<Record<string, (body: unknown, response: ServerResponse) => unknown>>;

export function httpRoutes(lab: HttpLab): HttpRoutes {
  return {
    'GET /http/pushes': () => lab.pushes(),
    'DELETE /http/pushes': () => {
      lab.clear();
      return { cleared: true };
    },
    'GET /http/events': (_, response) => followed(response, (listener) => lab.onPush(listener)),
    'GET /http/rules': () => lab.rules.list(),
    'POST /http/rules': (body) => {
      const rules = (Array.isArray(body) ? body : [body]).map(parseRule);
      for (const rule of rules) lab.rules.add(rule);
      return { rules: lab.rules.size };
    },
    'DELETE /http/rules': () => {
      lab.rules.clear();
      return { rules: 0 };
    },
    'POST /http/subscription': () => ({ url: lab.subscription(), keys: lab.subscriptionKeys }),
    'POST /http/expire-tokens': () => {
      lab.expireAccessTokens();
      return { accessTokens: lab.accessTokens };
    },
  };
}
