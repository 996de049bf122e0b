/** The page that shows pushes as they arrive: its three files, and the rows as server-sent events. */
import { existsSync, readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Feed, Row } from './feed.ts';
import type { HttpRoutes } from './http-control.ts';
import type { PhoneReport } from './phones.ts';

/** Octets that may wait for a reader who does not read. */
const mostWaiting = 1_000_000;
const mostFollowers = 100;
const heartbeatMs = 15_000;

/** Nothing from anywhere else, and no script in the text: what comes over the network stays text. */
const security = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

/** Beside the source, also for the compiled program, which is not copied there. */
function folder(): string {
  const here = join(import.meta.dirname, 'page');
  return existsSync(here) ? here : join(import.meta.dirname, '../../../apps/push-lab/page');
}

function file(name: string, type: string): (body: unknown, response: ServerResponse) => undefined {
  return (_, response) => {
    response.writeHead(200, { ...security, 'content-type': `${type}; charset=utf-8` });
    response.end(readFileSync(join(folder(), name)));
  };
}

/** `phones`: what they report; absent when there are none. */
export function pageRoutes(feed: Feed, phones: (() => readonly PhoneReport[]) | undefined): HttpRoutes {
  return {
    'GET /': file('index.html', 'text/html'),
    'GET /page.css': file('page.css', 'text/css'),
    'GET /page.js': file('page.js', 'text/javascript'),
    'GET /seen': () => feed.rows(),
    'DELETE /seen': () => {
      feed.clear();
      return { cleared: true };
    },
    'GET /seen/events': (_, response) => follow(feed, response),
    'GET /phones': () => phones?.() ?? [],
  };
}

function follow(feed: Feed, response: ServerResponse): undefined {
  if (feed.followers >= mostFollowers) {
    response.writeHead(503, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify({ error: `more than ${mostFollowers} pages follow` })}\n`);
    return undefined;
  }
  response.writeHead(200, { ...security, 'content-type': 'text/event-stream' });
  const tell = (row: Row): void => {
    // cut off rather than collected for; the page comes back by itself
    if (response.writableLength > mostWaiting) response.destroy();
    else response.write(`data: ${JSON.stringify(row)}\n\n`);
  };
  response.write('retry: 1000\n\n');
  for (const row of feed.rows()) tell(row);
  const stop = feed.on(tell);
  const heartbeat = setInterval(() => response.write(':\n\n'), heartbeatMs);
  response.on('close', () => {
    clearInterval(heartbeat);
    stop();
  });
  return undefined;
}
