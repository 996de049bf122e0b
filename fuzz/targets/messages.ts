/** SIP text: lib/sip/message.ts, what the engine makes of a message (reading.ts), and what it writes in answer. */
import { createRequire } from 'node:module';
import { appLines, linesOf, printResponse } from '../../lib/engine/printing.ts';
import { read, type Request } from '../../lib/engine/reading.ts';
import { expiryIn, memoOf, transactionKey } from '../../lib/engine/request-memo.ts';
import type { Flow } from '../../lib/engine/transport/flow.ts';
import { parseMessage, printMessage, type SipMessage } from '../../lib/sip/message.ts';
import { messages, recorded, words } from '../seeds.ts';
import { must, mustEqual, type Target } from '../target.ts';

const maxHeaders = 256;

const flowOver = (transport: 'udp' | 'tcp'): Flow => ({
  listener: {
    transport,
    reliable: transport === 'tcp',
    address: '127.0.0.1',
    port: 5060,
    host: '127.0.0.1',
    toldPort: 5060,
    hostTowards: () => '127.0.0.1',
  },
  remoteAddress: '198.51.100.20',
  remotePort: 40_001,
  open: true,
  send: () => true,
  end: () => {},
  watch: () => {},
  unwatch: () => {},
});
const flows = [flowOver('udp'), flowOver('tcp')];

/** What an unmodified app would do with the text of a request or response. */
const AppsMessage = createRequire(import.meta.url)('drachtio-srf/lib/sip-parser/message') as new (
  text: string,
) => {
  getParsedHeader(name: string): unknown;
};

export function messageTarget(root: string): Target {
  return {
    name: 'messages',
    seeds: [...messages, ...recorded(root).messages],
    words,
    withinMs: 2000,
    run(input) {
      printsAsItReads(input);
      for (const flow of flows) readsAsItSends(input, flow);
    },
  };
}

function plain(message: SipMessage): unknown {
  const { headers } = message;
  const start = message.kind === 'request' ? [message.method, message.uri] : [message.status, message.reason];
  return [start, [...headers.entries()], message.body];
}

function printsAsItReads(text: string): void {
  const first = parseMessage(text, maxHeaders);
  if (first.kind === 'malformed') return;
  must(first.headers.size <= maxHeaders, 'more headers than allowed');
  const printed = printMessage(first);
  const second = parseMessage(printed, maxHeaders);
  must(second.kind === first.kind, 'what was printed is not read again');
  if (second.kind === 'malformed') return;
  mustEqual(plain(second), plain(first), 'read, printed and read again');
  mustEqual(printMessage(second), printed, 'printed again');
  mustEqual(plain({ ...first, headers: first.headers.copy() }), plain(first), 'copied');
}

function readsAsItSends(text: string, flow: Flow): void {
  const found = read(text, flow, maxHeaders);
  switch (found.is) {
    case 'unreadable':
      return;
    case 'refused':
      must(found.status >= 400, 'refused with a status that is no refusal');
      linesOf(found.headers, 'Via');
      return;
    case 'response':
      appReads(found.text);
      return;
    case 'request': {
      requestHolds(found, flow);
      return;
    }
    default:
      found satisfies never;
  }
}

function requestHolds(found: Request, flow: Flow): void {
  const again = read(found.text, flow, maxHeaders);
  must(again.is === 'request', 'what goes to the app is not read again');
  if (again.is !== 'request') return;
  // received and rport may have changed places, once
  const third = read(again.text, flow, maxHeaders);
  mustEqual(third.is === 'request' && third.text, again.text, 'what goes to the app, read again');
  mustEqual(facts(again), facts(found), 'what was read of it, read again');
  must(found.text.length <= found.uri.length + 70_200, 'the text grows');
  memoOf(found);
  appReads(found.text);
  const { headers } = found;
  const vias = linesOf(headers, 'Via');
  const parts = { vias, from: found.from, to: found.to, callId: found.callId, cseq: headers.get('cseq') ?? '' };
  const answer = printResponse(200, 'OK', parts, appLines(headers, '', false) ?? '', '');
  const parsed = parseMessage(answer);
  must(parsed.kind === 'response', 'our answer is no response');
  if (parsed.kind !== 'response') return;
  mustEqual(parsed.headers.get('call-id'), found.callId, 'Call-ID of our answer');
  mustEqual(parsed.headers.lines('via'), headers.lines('via'), 'Via of our answer');
  must(Number.isFinite(expiryIn(parsed)), 'an expiry is no number');
}

function facts(request: Request): unknown {
  const { method, uri, callId, cseq, from, fromTag, to, toTag } = request;
  return [method, uri, callId, cseq, from, fromTag, to, toTag, transactionKey(request, method)];
}

function appReads(text: string): void {
  // as a control frame brings it: UTF-8
  const message = new AppsMessage(Buffer.from(text, 'latin1').toString('utf8'));
  for (const name of ['from', 'to', 'cseq']) message.getParsedHeader(name);
}
