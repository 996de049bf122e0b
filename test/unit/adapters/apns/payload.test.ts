import { PushType } from 'apns2';
import { callUuid } from '../../../../lib/core/call-uuid.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeNotification,
  expirationOf,
  notificationFor,
  type ApnsPolicy,
  planPush,
} from '../../../../lib/adapters/apns/payload.ts';
import { profiles } from '../../../../lib/payload/profile.ts';
import type { PushClass } from '../../../../lib/core/push-class.ts';
import type { PushRequest } from '../../../../lib/ports/push-service.ts';
import { aCall, aToken } from '../../../support/push-request.ts';

const now = Date.parse('2026-03-04T05:06:07Z');
/** every profile that needs nothing more */
const plain = profiles.filter((one) => one !== 'template');
const voip = { kind: 'voip', token: aToken() } as const;
const alert = { kind: 'alert', token: aToken() } as const;
const generic: ApnsPolicy = { profile: 'generic', privacy: 'full', callExpiration: 'window' };

function request(what: Partial<PushRequest> = {}): PushRequest {
  return aCall({ tokens: [voip], callId: 'abc@pbx', deadline: now + 5000, wakeUntil: now + 15_000, ...what });
}

function payload(what: Partial<PushRequest>, policy: Partial<ApnsPolicy> = {}): unknown {
  const asked = request(what);
  const plan = planPush(asked.class, asked.tokens);
  if (plan === undefined) throw new Error('not applicable');
  const body = encodeNotification(notificationFor(asked, plan, 'topic', { ...generic, ...policy }, now));
  return JSON.parse(body?.toString() ?? 'null');
}

describe('which push', () => {
  // rows: class, and what it becomes for a phone with a VoIP token, with an alert token, with both
  const table: readonly (readonly [PushClass, readonly (readonly [string, string, number] | undefined)[]])[] = [
    [
      'call',
      [
        ['voip', 'voip', 10],
        ['alert', 'alert', 10],
        ['voip', 'voip', 10],
      ],
    ],
    ['cancel', [undefined, ['alert', 'alert', 10], ['alert', 'alert', 10]]],
    ['message', [undefined, ['alert', 'alert', 10], ['alert', 'alert', 10]]],
    ['notify', [undefined, ['alert', 'background', 5], ['alert', 'background', 5]]],
    ['refresh', [undefined, ['alert', 'background', 5], ['alert', 'background', 5]]],
  ];
  it.each(table)(
    '[PN-APNS-06] %s: never a VoIP push but for a call, and an alert only without a VoIP token',
    (pushClass, wanted) => {
      for (const [at, tokens] of [[voip], [alert], [alert, voip]].entries()) {
        const found = planPush(pushClass, tokens);
        const [kind, type, priority] = wanted[at] ?? [];
        expect(found && [found.kind, found.type, found.priority]).toEqual(
          kind === undefined ? undefined : [kind, type, priority],
        );
        if (found !== undefined) expect(found.token).toBe(found.kind === 'voip' ? voip.token : alert.token);
      }
      expect(planPush(pushClass, [])).toBeUndefined();
    },
  );
});

describe('call UUID', () => {
  it('is version 5, variant 1, and the same for the same Call-ID', () => {
    fc.assert(
      fc.property(fc.string(), (callId) => {
        expect(callUuid(callId)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        expect(callUuid(callId)).toBe(callUuid(callId));
      }),
    );
  });

  it('has a value that phones can be tested against', () => {
    expect(callUuid('a84b4c76e66710@pc33.atlanta.com')).toBe('121bdb31-d901-5eab-b130-1f5070f1cdd8');
  });
});

describe('payload', () => {
  it('generic: everything CallKit needs, as text', () => {
    expect(payload({ from: { uri: 'sip:bob@example.org', display: 'Bob' }, hasVideo: true })).toEqual({
      aps: {},
      v: '1',
      type: 'call',
      'call-id': 'abc@pbx',
      'call-uuid': callUuid('abc@pbx'),
      'has-video': 'true',
      'from-uri': 'sip:bob@example.org',
      'display-name': 'Bob',
      'to-uri': 'sip:alice@example.org',
      'sent-at': String(now),
      'expires-at': String(now + 15_000),
    });
  });

  it('linphone: the keys its SDK looks up, with the instance in angle brackets', () => {
    const expected = {
      aps: {
        'call-id': 'abc@pbx',
        'loc-key': 'IC_MSG',
        'loc-args': ['Bob'],
        uuid: '<urn:uuid:1>',
        'send-time': '2026-03-04 05:06:07',
        sound: '',
      },
      'from-uri': 'sip:bob@example.org',
      'display-name': 'Bob',
      pn_ttl: 15,
      customPayload: {},
    };
    expect(payload({ instanceId: 'urn:uuid:1' }, { profile: 'linphone' })).toEqual(expected);
    expect(payload({ instanceId: '<urn:uuid:1>' }, { profile: 'linphone' })).toEqual(expected);
  });

  it('pjsip: nothing at all', () => {
    expect(payload({}, { profile: 'pjsip' })).toEqual({ aps: {} });
  });

  it('tells nothing of the caller when privacy is none, and only the name when it is name', () => {
    const from = { uri: 'sip:secret-uri@example.org', display: 'Secret Name' };
    const to = 'sip:secret-to@example.org';
    for (const profile of plain) {
      for (const tokens of [[voip], [alert]]) {
        const none = JSON.stringify(payload({ from, to, tokens }, { profile, privacy: 'none' }));
        expect(none.toLowerCase()).not.toContain('secret');
        const name = JSON.stringify(payload({ from, to, tokens }, { profile, privacy: 'name' }));
        expect(name).not.toContain('secret-');
      }
    }
  });

  it('background: wakes without showing anything', () => {
    expect(payload({ class: 'refresh', tokens: [alert] })).toMatchObject({ aps: { 'content-available': 1 } });
    for (const profile of plain) {
      const { aps } = payload({ class: 'refresh', tokens: [alert] }, { profile }) as { aps: object };
      expect(Object.keys(aps)).not.toContain('alert');
      expect(Object.keys(aps)).not.toContain('sound');
    }
  });

  it('collapses alerts of one call, and VoIP pushes never', () => {
    const asked = request({ tokens: [alert] });
    const plan = { kind: 'alert', token: alert.token, type: PushType.alert, priority: 10 } as const;
    const { collapseId } = notificationFor(asked, plan, 't', generic, now).options;
    expect(collapseId).toHaveLength(32);
    const voipPlan = { ...plan, kind: 'voip', type: PushType.voip } as const;
    expect(notificationFor(asked, voipPlan, 't', generic, now).options.collapseId).toBeUndefined();
  });

  it('fits what APNs takes, however long the names are', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 6000 });
    fc.assert(
      fc.property(text, text, text, fc.constantFrom(...plain), (uri, display, to, profile) => {
        const asked = request({ from: { uri, display }, to });
        const plan = planPush('call', asked.tokens);
        if (plan === undefined) throw new Error('not applicable');
        const policy = { ...generic, profile };
        const body =
          encodeNotification(notificationFor(asked, plan, 't', policy, now)) ??
          encodeNotification(notificationFor(asked, plan, 't', policy, now, 'bare'));
        expect(body?.length).toBeLessThanOrEqual(5120);
      }),
    );
  });
});

describe('expiration', () => {
  it('lasts as long as the phone may be woken, at most 30 s', () => {
    const seconds = now / 1000;
    expect(expirationOf(request(), 'window', now)).toBe(seconds + 15);
    expect(expirationOf(request({ wakeUntil: now + 90_000 }), 'window', now)).toBe(seconds + 30);
    expect(expirationOf(request({ wakeUntil: now - 1 }), 'window', now)).toBe(0);
  });

  it('can be fixed', () => {
    expect(expirationOf(request(), 0, now)).toBe(0);
    expect(expirationOf(request(), 10, now)).toBe(now / 1000 + 10);
  });
});
