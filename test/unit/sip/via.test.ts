import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { markSource, paramsAreSound, parseVia, topViaRange, unfold } from '../../../lib/sip/via.ts';

const via = 'SIP/2.0/UDP 10.9.8.7:5060;branch=z9hG4bKa';

function marked(value: string, address = '198.51.100.20', port = 40_001): string {
  const parsed = parseVia(value);
  return parsed === undefined ? 'unreadable' : markSource(value, parsed, address, port);
}

describe('Via', () => {
  test('reads protocol, sent-by and branch', () => {
    expect(parseVia(via)).toEqual({ transport: 'UDP', host: '10.9.8.7', port: 5060, branch: 'z9hG4bKa' });
    expect(parseVia('SIP / 2.0 / tcp first.example.com : 4000 ;ttl=16 ;branch=z9')).toEqual({
      transport: 'TCP',
      host: 'first.example.com',
      port: 4000,
      branch: 'z9',
    });
    expect(parseVia('SIP/2.0/TLS [2001:db8::9]:5061')).toMatchObject({
      host: '[2001:db8::9]',
      port: 5061,
      branch: undefined,
    });
  });

  test('[badvers] reads other versions, so that their senders can be told', () => {
    expect(parseVia('SIP/7.0/UDP c.example.com;branch=z9')).toMatchObject({ host: 'c.example.com', branch: 'z9' });
  });

  test('[wsinv] reads a value that runs over several lines', () => {
    const folded = 'SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=\r\n\t390skdjuw';
    expect(parseVia(folded)).toBeUndefined();
    expect(parseVia(unfold(folded))).toMatchObject({ transport: 'UDP', host: '192.0.2.2', branch: '390skdjuw' });
    expect(unfold(via)).toBe(via);
  });

  test('[badinv01] sees empty parameters', () => {
    expect([via, `${via};;x`, `${via};`, `${via}; ; y`].map(paramsAreSound)).toEqual([true, false, false, false]);
  });

  test.each(['', 'UDP 10.0.0.1', 'SIP/2.0/UDP', 'SIP/x/UDP 10.0.0.1', 'SIP/2.0/UDP 10.0.0.1:99999', 'SIP/2.0/UDP a b'])(
    '`%s` cannot be read',
    (value) => {
      expect(parseVia(value)).toBeUndefined();
    },
  );

  test('[EDGE-RPT-01] [EDGE-TRN-04] writes the source into it', () => {
    expect(marked(`${via};rport`)).toBe(`${via};rport=40001;received=198.51.100.20`);
    expect(marked(via)).toBe(`${via};received=198.51.100.20;rport=40001`);
    expect(marked('SIP/2.0/UDP 198.51.100.20;branch=z9')).toBe('SIP/2.0/UDP 198.51.100.20;branch=z9;rport=40001');
    expect(marked('SIP/2.0/UDP [2001:DB8::9];rport;branch=z9', '2001:db8::9')).toBe(
      'SIP/2.0/UDP [2001:DB8::9];rport=40001;branch=z9',
    );
  });

  test('does not believe marks the sender wrote', () => {
    expect(marked(`${via};received=1.2.3.4;rport=1`)).toBe(`${via};rport=40001;received=198.51.100.20`);
    expect(marked('SIP/2.0/UDP 198.51.100.20;RECEIVED=1.2.3.4')).toBe('SIP/2.0/UDP 198.51.100.20;rport=40001');
  });

  test('finds the first value only, long or compact, folded or joined', () => {
    const range = (text: string): string | undefined => {
      const found = topViaRange(text);
      return found === undefined ? undefined : text.slice(found.start, found.end);
    };
    expect(range(`A sip:a SIP/2.0\r\nTo: x\r\nVia: ${via}\r\nVia: other\r\n\r\n`)).toBe(via);
    expect(range(`A sip:a SIP/2.0\r\nv : ${via} , SIP/2.0/UDP b\r\n\r\n`)).toBe(via);
    expect(range(`A sip:a SIP/2.0\r\nVIA:\r\n ${via}\r\nTo: x\r\n\r\n`)).toBe(via);
    expect(range(`A sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;x="1,2";branch=b\r\n\r\n`)).toBe(
      'SIP/2.0/UDP a;x="1,2";branch=b',
    );
    expect(range('A sip:a SIP/2.0\r\nTo: x\r\n\r\nVia: body')).toBeUndefined();
    expect(range('A sip:a SIP/2.0\r\nSubject: y\r\n Via: not a header\r\n\r\n')).toBeUndefined();
    expect(range('nothing')).toBeUndefined();
  });

  test('any text is survived', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const found = topViaRange(`${text}\r\n\r\n`);
        expect(found === undefined || found.end >= found.start).toBe(true);
        const via = parseVia(text);
        expect(via === undefined || via.transport !== '').toBe(true);
      }),
    );
  });
});
