/** Pushes as they come, a line of JSON each, for as long as somebody reads them. */
import type { ServerResponse } from 'node:http';

/** Octets that may wait for a reader who does not read. */
const mostWaiting = 8_000_000;

/** `listen` calls its listener for each push, and returns what ends that. Answers by itself: gives undefined. */
export function followed<Push>(
  response: ServerResponse,
  listen: (listener: (push: Push) => void) => () => void,
): undefined {
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  response.flushHeaders();
  const stop = listen((push) => {
    // cut off rather than collected for
    if (response.writableLength > mostWaiting) response.destroy();
    else response.write(`${JSON.stringify(push)}\n`);
  });
  response.on('close', stop);
  return undefined;
}
