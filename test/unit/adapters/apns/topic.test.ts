import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { topicOf } from '../../../../lib/adapters/apns/topic.ts';

describe('topic of pn-param', () => {
  it.each([
    ['DEF123GHIJ.com.example.yourexampleapp.voip', 'com.example.yourexampleapp.voip', undefined],
    ['DEF123GHIJ.com.example.yourexampleapp', undefined, 'com.example.yourexampleapp'],
    ['TEAM.com.ex.app.remote', undefined, 'com.ex.app'],
    ['TEAM.com.ex.app.voip&remote', 'com.ex.app.voip', 'com.ex.app'],
    ['TEAM.com.ex.app.remote&voip', 'com.ex.app.voip', 'com.ex.app'],
    ['', undefined, undefined],
    ['TEAM', undefined, undefined],
    ['.com.ex.app.voip', undefined, undefined],
    ['TEAM..voip', undefined, undefined],
    ['TEAM.com.ex.app\r\nx: y.voip', undefined, undefined],
  ])('%j', (param, voip, alert) => {
    expect(topicOf(param, 'voip')).toBe(voip);
    expect(topicOf(param, 'alert')).toBe(alert);
  });

  it('gives a safe header value or nothing', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('voip', 'alert'), (param, kind) => {
        expect(topicOf(`TEAM.${param}`, kind) ?? 'ok').toMatch(/^[A-Za-z0-9.-]+$/);
      }),
    );
  });
});
