import { expect, test } from 'vitest';
import { relayStandalone } from '../../../lib/relay/standalone.ts';
import type { Client, ClientAnswer, ClientRequest } from '../../../lib/ports/client.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { request, response } from '../../../lib/sip/message.ts';
import { RecordedTransaction } from '../../support/fake-dialog.ts';

const pbx = {
  upstream: 'sip:192.0.2.7:5060;transport=tcp',
  registration: 'mid-registrar',
  realm: 'r',
  edgeHost: 'edge:5060',
} as const;
const keys = { contactKey: Buffer.alloc(32, 1), targetKey: Buffer.alloc(32, 2) };

async function relay(method: string, answer: ClientAnswer, headers: readonly (readonly [string, string])[] = []) {
  const sent: ClientRequest[] = [];
  const client: Client = {
    send: (one) => {
      sent.push(one);
      return Promise.resolve(answer);
    },
  };
  const transaction = new RecordedTransaction(
    request(
      method,
      'sip:bob@edge;pn-prid=secret;x=1',
      Headers.of([
        ['From', '<sip:a@b>;tag=1'],
        ['To', '<sip:b@c>'],
        ['Call-ID', 'c'],
        ['CSeq', `3 ${method}`],
        ['Via', 'v'],
        ...headers,
      ]),
      'hi',
    ),
  );
  await relayStandalone(
    transaction,
    pbx,
    {},
    { client, keys, dialogs: { translate: () => undefined }, timeoutMs: 1234 },
  );
  return { transaction, sent };
}

const answered = (status: number, local = false): ClientAnswer => ({
  response: response(
    status,
    'Words',
    Headers.of([
      ['X-B', '2'],
      ['Via', 'v'],
    ]),
    'body',
  ),
  local,
});

test('a MESSAGE passes with its names, headers and body; its answer passes back', async () => {
  const { transaction, sent } = await relay('MESSAGE', answered(202), [
    ['Content-Type', 'text/plain'],
    ['Max-Forwards', '5'],
  ]);
  expect(sent[0]).toMatchObject({
    method: 'MESSAGE',
    uri: 'sip:bob@edge;x=1',
    nextHop: pbx.upstream,
    body: 'hi',
    timeoutMs: 1234,
  });
  expect([...(sent[0]?.headers.entries() ?? [])].map(([name, value]) => `${name}: ${value}`)).toEqual([
    'Max-Forwards: 4',
    'From: <sip:a@b>;tag=1',
    'To: <sip:b@c>',
    'Call-ID: c',
    'CSeq: 3 MESSAGE',
    'Content-Type: text/plain',
  ]);
  expect(transaction.final).toMatchObject({ status: 202, reason: 'Words', body: 'body' });
  expect([...(transaction.final?.headers?.entries() ?? [])].map(([name]) => name)).toEqual(['X-B']);
});

test.each([true, false])('[EDGE-NIT-04] never answers 408 (local: %s)', async (local) => {
  expect((await relay('MESSAGE', answered(408, local))).transaction.answers).toEqual([]);
});

test('a next hop that cannot be reached is 503', async () => {
  for (const status of [503, 410, 500]) {
    const { transaction } = await relay('INFO', answered(status, true));
    expect(transaction.final).toMatchObject({ status: 503 });
    expect(transaction.final?.headers?.get('retry-after')).toBe('5');
  }
});

test('a failure of the far end passes as it is', async () => {
  expect((await relay('PUBLISH', answered(489))).transaction.final).toMatchObject({ status: 489, reason: 'Words' });
});

test('[EDGE-PRX-01] no hops left: 483', async () => {
  const { transaction, sent } = await relay('MESSAGE', answered(200), [['Max-Forwards', '0']]);
  expect(transaction.final).toMatchObject({ status: 483 });
  expect(sent).toEqual([]);
});
