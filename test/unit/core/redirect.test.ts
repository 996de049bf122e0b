/** Where a 3xx leads, and what the next one is told. */
import { describe, expect, it } from 'vitest';
import { diversionsOf, divertedFields, redirectTargets } from '../../../lib/core/redirect.ts';
import { Headers } from '../../../lib/sip/headers.ts';

const ours = (host: string): boolean => host === 'a.example';

describe('redirectTargets', () => {
  it.each([
    [
      'by q',
      '<sip:b@a.example>;q=0.1, <sip:c@A.example;x=y>;q=0.5, <sip:d@a.example>',
      ['d@a.example', 'c@a.example', 'b@a.example'],
    ],
    ['once each, and nobody who was tried', '<sip:b@a.example>, sip:b@a.example, <sip:old@a.example>', ['b@a.example']],
    [
      'no other hosts, schemes, or nonsense',
      '<sip:b@c.example>, <tel:+49>, <mailto:b@a.example>, <sip:a.example>, "',
      [],
    ],
  ])('%s', (_, contact, targets) => {
    const headers = Headers.of([['Contact', contact]]);
    expect(redirectTargets(headers, ours, new Set(['old@a.example']))).toEqual(targets);
  });
});

describe('divertedFields', () => {
  const facts = { by: 'b@a.example', target: 'c@a.example', status: 302 };

  it('continues the History-Info there is', () => {
    const asked = Headers.of([['History-Info', '<sip:x@a.example>;index=1, <sip:b@a.example>;index=1.2']]);
    expect(divertedFields(asked, facts).map(([, value]) => value.replace(/^<[^>]*>/, ''))).toEqual([
      ';reason=deflection;counter=1',
      ';index=1.2.1',
      ';index=1.2.1.1;mp=1.2.1',
    ]);
  });

  it('has no History-Info for who does not know it', () => {
    expect(divertedFields(Headers.empty(), facts)).toEqual([
      ['Diversion', '<sip:b@a.example>;reason=deflection;counter=1'],
    ]);
  });
});

describe('diversionsOf', () => {
  it('adds up counters', () => {
    expect(diversionsOf(Headers.of([['Diversion', '<sip:a@b>;counter=3, <sip:c@d>;reason=x']]))).toBe(4);
    expect(diversionsOf(Headers.empty())).toBe(0);
  });
});
