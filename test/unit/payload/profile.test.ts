import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { callUuid } from '../../../lib/core/call-uuid.ts';
import type { PushClass } from '../../../lib/core/push-class.ts';
import {
  appleContent,
  browserContent,
  dataContent,
  hasWordFor,
  type PayloadPolicy,
  profiles,
  type Shape,
} from '../../../lib/payload/profile.ts';
import { fillTemplate, type PayloadTemplate, unknownPlaceholders } from '../../../lib/payload/template.ts';
import type { PushRequest } from '../../../lib/ports/push-service.ts';
import { aCall } from '../../support/push-request.ts';

const now = Date.parse('2026-03-04T05:06:07Z');
const call = (what: Partial<PushRequest> = {}): PushRequest =>
  aCall({ callId: 'abc@pbx', deadline: now + 5000, wakeUntil: now + 15_000, ...what });
const everything: PayloadTemplate = {
  default: {
    aps: { alert: { title: '{from-name}', body: '{from-uri} {from-user} {from-address}' } },
    to: '{to-uri} {to-user}',
    call: '{call-uuid}',
  },
};
const policy = (what: Partial<PayloadPolicy>): PayloadPolicy => ({
  profile: 'generic',
  privacy: 'full',
  ...(what.profile === 'template' ? { template: everything } : {}),
  ...what,
});
const classes: readonly PushClass[] = ['call', 'cancel', 'message', 'notify', 'refresh'];
const shapes: readonly Shape[] = ['voip', 'alert', 'background'];
const amounts = ['whole', 'cut', 'bare'] as const;
const secretive = {
  from: { uri: 'sip:secret-user@secret-host', display: 'Secret Name' },
  to: 'sip:secret-callee@secret-host',
};

/** All a push service can get to see of a request under a policy. */
function everyPayload(request: PushRequest, under: PayloadPolicy): string {
  return JSON.stringify(
    amounts.flatMap((amount) => [
      ...shapes.map((shape) => appleContent(request, shape, under, now, amount)),
      dataContent(request, under, now, amount),
    ]),
  );
}

describe('privacy', () => {
  it('opaque: nothing personal, whatever else is configured, and no Call-ID, which has a host in it', () => {
    for (const privacy of ['full', 'name', 'none'] as const) {
      for (const pushClass of classes) {
        const request = call({ ...secretive, class: pushClass, callId: 'abc@secret-host' });
        const text = everyPayload(request, policy({ profile: 'opaque', privacy }));
        expect(text.toLowerCase()).not.toContain('secret');
      }
    }
    expect(dataContent(call(), policy({ profile: 'opaque' }), now)).toEqual({
      v: '1',
      type: 'call',
      'call-uuid': callUuid('abc@pbx'),
      'sent-at': String(now),
      'expires-at': String(now + 15_000),
    });
  });

  it.each(profiles)('%s: no more than the name when it is name, nothing when it is none', (profile) => {
    for (const pushClass of classes) {
      const request = call({ ...secretive, class: pushClass });
      expect(everyPayload(request, policy({ profile, privacy: 'none' })).toLowerCase()).not.toContain('secret');
      expect(everyPayload(request, policy({ profile, privacy: 'name' }))).not.toContain('secret-');
    }
  });

  it('a page with keys: the same levels', () => {
    const request = call(secretive);
    expect(JSON.stringify(browserContent(request, 'none', now, 'whole')).toLowerCase()).not.toContain('secret');
    expect(browserContent(request, 'name', now, 'whole')).toMatchObject({ 'display-name': 'Secret Name' });
    expect(JSON.stringify(browserContent(request, 'name', now, 'whole'))).not.toContain('secret-');
  });
});

describe('what existing apps read', () => {
  it('linphone: the texts and sounds its Contact asked for', () => {
    const hints = { callText: 'IC_SIL', messageText: 'IM_SIL', callSound: 'ring.caf', messageSound: 'msg.caf' };
    const under = policy({ profile: 'linphone' });
    const alert = appleContent(call({ hints }), 'alert', under, now);
    expect(alert.aps).toMatchObject({
      alert: { 'loc-key': 'IC_SIL', 'loc-args': ['Bob'] },
      sound: 'ring.caf',
      badge: 0,
    });
    const message = appleContent(call({ hints, class: 'message' }), 'alert', under, now);
    expect(message.aps).toMatchObject({ alert: { 'loc-key': 'IM_SIL' }, sound: 'msg.caf', badge: 1 });
    expect(appleContent(call({ hints }), 'voip', under, now).aps).toMatchObject({ 'loc-key': 'IC_SIL', sound: '' });
    expect(dataContent(call({ hints }), under, now)).toMatchObject({ 'loc-key': 'IC_SIL', 'call-id': 'abc@pbx' });
  });

  it('aria: callToken, callerUri without a scheme, callerName only when there is one; type for FCM', () => {
    const under = policy({ profile: 'aria' });
    const keys = { callToken: callUuid('abc@pbx'), callerUri: 'bob@example.org', callerName: 'Bob' };
    expect(appleContent(call(), 'voip', under, now)).toEqual({
      aps: { alert: { title: 'Incoming Call', body: 'Bob is calling' }, sound: 'ringtone.caf', 'content-available': 1 },
      top: keys,
    });
    expect(dataContent(call(), under, now)).toEqual({ type: 'incoming_call', ...keys });
    const nameless = dataContent(call({ from: { uri: 'sip:bob@example.org;x=1', display: undefined } }), under, now);
    expect(nameless).not.toHaveProperty('callerName');
    expect(nameless).toMatchObject({ callerUri: 'bob@example.org' });
  });

  it('has words for the end of a call in opaque, generic and a template of one only', () => {
    const words = profiles.filter((profile) => hasWordFor(policy({ profile }), 'cancel'));
    expect(words).toEqual(['opaque', 'generic', 'template']);
    expect(hasWordFor(policy({ profile: 'template', template: { call: {} } }), 'cancel')).toBe(false);
    expect(profiles.filter((profile) => !hasWordFor(policy({ profile }), 'call'))).toEqual([]);
  });
});

describe('template', () => {
  it('fills texts at every depth, and leaves numbers, other braces and the keys alone', () => {
    const filled = fillTemplate(
      { a: ['{type}', 1, { '{type}': 'x {call-id} {{call-id}}' }], n: 5, yes: true },
      call(),
      'full',
      now,
    );
    expect(filled).toEqual({ a: ['call', 1, { '{type}': 'x abc@pbx {call-id}' }], n: 5, yes: true });
  });

  it('does not read what a caller wrote as a placeholder', () => {
    const from = { uri: 'sip:bob@example.org', display: '{to-uri}$&' };
    expect(fillTemplate({ who: '{from-name}' }, call({ from }), 'full', now)).toEqual({ who: '{to-uri}$&' });
  });

  it('knows what it cannot fill', () => {
    expect(unknownPlaceholders('{type} {{not-one}} {nobody} {call-id}{}')).toEqual(['nobody', '']);
  });

  it('keeps what iOS demands: an alert has one, a background push shows nothing', () => {
    const under = policy({ profile: 'template', template: { default: { aps: { alert: 'x', sound: 'y' }, k: 'v' } } });
    expect(appleContent(call({ class: 'refresh' }), 'background', under, now)).toEqual({
      aps: { 'content-available': 1 },
      top: { k: 'v' },
    });
    const bare = policy({ profile: 'template', template: { default: { k: 'v' } } });
    expect(appleContent(call(), 'alert', bare, now).aps).toHaveProperty('alert');
  });
});

describe('size', () => {
  it('names and addresses are cut without leaving half a character, and what is bare always fits', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 3000 });
    fc.assert(
      fc.property(
        text,
        text,
        fc.constantFrom(...profiles),
        fc.constantFrom(...amounts),
        (uri, display, profile, amount) => {
          const request = call({ from: { uri, display }, to: uri });
          const under = policy({ profile });
          for (const shape of shapes) {
            const json = JSON.stringify(appleContent(request, shape, under, now, amount));
            // a lone half would be written as \udXXX
            expect(json).not.toMatch(/\\ud[89a-f]/i);
            if (amount === 'bare') expect(Buffer.byteLength(json)).toBeLessThan(1000);
          }
          const data = dataContent(request, under, now, amount) ?? {};
          expect(Object.values(data).every((one) => typeof one === 'string')).toBe(true);
        },
      ),
    );
  });
});
