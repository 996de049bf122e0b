/** The session description in a body: found as the body or as one part of it, and everything around it stays octet for octet. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sessionDescriptionOf } from '../../../lib/sip/session-description.ts';

const sdp = 'v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n';

describe('sessionDescriptionOf', () => {
  it('is the body itself', () => {
    const found = sessionDescriptionOf('Application/SDP; charset=x', sdp);
    expect([found?.description, found?.with('new')]).toEqual([sdp, 'new']);
  });

  it.each(['text/plain', 'application/sdpx', undefined, 'multipart/mixed', ''])('is not there in %s', (type) => {
    expect(sessionDescriptionOf(type, sdp)).toBeUndefined();
  });

  it.each([
    ['boundary=b', 'b'],
    ['boundary="b c"', 'b c'],
  ])('is the part of that type, whatever stands around it (%s)', (parameter, boundary) => {
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (other, first) => {
        fc.pre(!other.includes(`--${boundary}`));
        const parts = [
          `Content-Type: text/plain\r\n\r\n${other}`,
          `content-type:application/sdp\r\nX: y\r\n\r\n${sdp}`,
        ];
        const body = (description: string): string =>
          [...(first ? parts : parts.toReversed()), '']
            .map((part) => part.replace(sdp, description))
            .map((part, at) => `${at === 0 ? '' : '\r\n'}--${boundary}${part === '' ? '--' : `\r\n${part}`}`)
            .join('');
        fc.pre(!other.includes(sdp));
        const found = sessionDescriptionOf(`multipart/mixed;${parameter}`, body(sdp));
        expect(found?.description).toBe(sdp);
        expect(found?.with('v=0\r\nnew\r\n')).toBe(body('v=0\r\nnew\r\n'));
      }),
    );
  });

  it('throws at no body', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^(?:--b|\r\n|--|Content-Type: application\/sdp|x){0,20}$/), (body) => {
        const found = sessionDescriptionOf('multipart/mixed;boundary=b', body);
        expect(found?.with('new') ?? 'new').toContain('new');
      }),
    );
  });
});
