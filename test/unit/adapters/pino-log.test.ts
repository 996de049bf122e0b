import { describe, expect, it } from 'vitest';
import { createLog } from '../../../lib/adapters/pino/log.ts';
import { Secret } from '../../../lib/config/secret.ts';
import type { Log } from '../../../lib/ports/log.ts';

function aLog(level: 'info' | 'debug' = 'info'): {
  log: Log;
  text: () => string;
  lines: () => Record<string, unknown>[];
} {
  const written: string[] = [];
  const log = createLog({ level, to: { write: (line: string) => void written.push(line) } });
  return {
    log,
    text: () => written.join(''),
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

const contact = '<sip:1001@10.0.0.9;pn-provider=apns;pn-prid=S3CRET>';
const authorization = 'Authorization: Digest username="1001", response="S3CRET"';

describe('the log', () => {
  it('writes one JSON line with time, level, fields and sentence', () => {
    const { log, lines } = aLog();
    log.info({ aor: '1001@example.com', outcome: 'accepted' }, 'REGISTER accepted');
    expect(lines()).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        aor: '1001@example.com',
        outcome: 'accepted',
        msg: 'REGISTER accepted',
      },
    ]);
  });

  it('leaves out what is below its level, and adds the fields of a child', () => {
    const { log, lines } = aLog();
    log.debug({}, 'not this');
    log.child({ node: 'a' }).child({ callId: 'c' }).warn({ status: 480 }, 'this');
    expect(lines()).toMatchObject([{ level: 'warn', node: 'a', callId: 'c', status: 480, msg: 'this' }]);
  });

  it('never shows a token or a credential, wherever somebody put one', () => {
    const { log, text, lines } = aLog('debug');
    const wild = log as { error(fields: unknown, message: string): void; info(fields: unknown, message: string): void };
    log.error({ reason: contact }, authorization);
    log.error({ err: new Error(`no answer for ${contact}`, { cause: new Error(authorization) }) }, 'failed');
    log.child({ path: contact }).info({}, 'child');
    wild.info(
      {
        headers: { Contact: [contact], 'Proxy-Authorization': 'Digest response="S3CRET"' },
        request: { raw: `REGISTER sip:x SIP/2.0\r\n${authorization}\r\n\r\n` },
      },
      'nested',
    );
    wild.info({ password: 'S3CRET', prid: 'S3CRET', config: { secret: new Secret('S3CRET') } }, contact);
    wild.error(new Error(contact), 'bare error');
    expect(text()).not.toContain('S3CRET');
    expect(lines()).toHaveLength(6);
  });

  it('keeps code and stack of an error', () => {
    const { log, lines } = aLog();
    log.error({ err: Object.assign(new Error('gone'), { code: 'ECONNRESET' }) }, 'failed');
    expect(lines()[0]?.['err']).toMatchObject({
      type: 'Error',
      message: 'gone',
      code: 'ECONNRESET',
      stack: expect.stringContaining('gone') as string,
    });
  });
});
