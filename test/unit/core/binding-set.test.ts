/** Any history of REGISTERs of one AOR leaves a set that makes sense. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Binding } from '../../../lib/core/binding.ts';
import { type AcceptedRegister, acceptRegister, bindingId, matchDevice } from '../../../lib/core/binding-set.ts';
import { type Contact, parseContact } from '../../../lib/sip/contact.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { type PushAsk, readPush, stripPush } from '../../../lib/sip/push-params.ts';

const aor = '1001@example.com';
const maxBindings = 4;

const contact = fc
  .record({
    host: fc.constantFrom('10.0.0.1:1', '10.0.0.1:2', '10.0.0.2:1'),
    token: fc.constantFrom(undefined, 'aa', 'bb', 'AA'),
    instance: fc.constantFrom(undefined, '1', '2'),
    regId: fc.constantFrom(undefined, 1, 2),
  })
  .map(({ host, token, instance, regId }) => {
    const push = token === undefined ? '' : `;pn-provider=apns;pn-param=T.b.voip;pn-prid=${token}`;
    const of = instance === undefined ? '' : `;+sip.instance="<urn:uuid:${instance}>"`;
    return `<sip:1001@${host}${push}>${of}${regId === undefined ? '' : `;reg-id=${regId}`}`;
  });
const history = fc.array(
  fc.record({
    contacts: fc.oneof(
      {
        weight: 9,
        arbitrary: fc.array(fc.record({ text: contact, expires: fc.constantFrom(0, 3600, 3600) }), {
          minLength: 1,
          maxLength: 2,
        }),
      },
      { weight: 1, arbitrary: fc.constant('*' as const) },
    ),
    callId: fc.constantFrom('c1', 'c2', 'c3'),
    cseq: fc.integer({ min: 1, max: 6 }),
    later: fc.constantFrom(0, 1000, 4_000_000),
  }),
  { maxLength: 12 },
);

function parsed(text: string): { contact: Contact; ask: PushAsk } {
  const read = parseContact(text);
  if (read === undefined) throw new Error(text);
  return { contact: read, ask: readPush(read, Headers.empty()) };
}

/** As a use-case does it: the id of the binding that is there, else a new one. */
function candidate(
  set: readonly Binding[],
  text: string,
  about: Pick<Binding, 'callId' | 'cseq' | 'registeredAt' | 'expiresAt'>,
): Binding {
  const { contact: read, ask } = parsed(text);
  return {
    id: matchDevice(set, read, ask, about.callId)?.id ?? bindingId('secret', aor, read, ask),
    aor,
    contact: text,
    target: stripPush(read.uriText),
    ...(read.instanceId === undefined ? {} : { instanceId: read.instanceId }),
    ...(read.regId === undefined ? {} : { regId: read.regId }),
    q: read.q,
    flow: { transport: 'tcp', address: '192.0.2.1', port: 5060, engine: 'e' },
    path: [],
    ...(ask.is === 'push'
      ? {
          push: {
            provider: ask.provider,
            providerAsSent: ask.providerAsSent,
            environment: ask.environment,
            param: ask.param,
            tokens: ask.tokens,
            app: 'ios',
            wakesItself: ask.wakesItself,
          },
        }
      : {}),
    ...about,
  };
}

test('the set stays sound over any history of REGISTERs', () => {
  fc.assert(
    fc.property(history, (registers) => {
      let set: readonly Binding[] = [];
      let now = 1_000_000;
      for (const { contacts, callId, cseq, later } of registers) {
        now += later;
        const register: AcceptedRegister = {
          aor,
          callId,
          cseq,
          contacts:
            contacts === '*'
              ? '*'
              : contacts.map(({ text, expires }) => ({
                  binding: candidate(set, text, { callId, cseq, registeredAt: now, expiresAt: now + expires * 1000 }),
                  expires,
                })),
        };
        const before = JSON.stringify(set);
        const change = acceptRegister(set, register, now, { maxBindings });
        expect(JSON.stringify(set)).toBe(before);
        if (change.is === 'stale' || change.is === 'full') continue;

        const ids = change.bindings.map(({ id }) => id);
        expect(new Set(ids).size).toBe(ids.length);
        expect(ids.length).toBeLessThanOrEqual(maxBindings);
        expect(change.bindings.every(({ expiresAt }) => expiresAt > now)).toBe(true);
        expectOneDeviceEach(change.bindings);
        if (change.is === 'changed') {
          const was = new Set(set.filter(({ expiresAt }) => expiresAt > now).map(({ id }) => id));
          const is = new Set(ids);
          expect(change.added.every((id) => !was.has(id) && is.has(id))).toBe(true);
          expect(change.refreshed.every((id) => was.has(id) && is.has(id))).toBe(true);
          expect(change.removed.every((id) => was.has(id) && !is.has(id))).toBe(true);
          expect([...is].every((id) => was.has(id) || change.added.includes(id))).toBe(true);
          expect([...was].every((id) => is.has(id) || change.removed.includes(id))).toBe(true);
        }
        set = change.bindings;
      }
    }),
    { numRuns: 1000 },
  );
});

/** No two bindings that a phone would ring twice for. */
function expectOneDeviceEach(bindings: readonly Binding[]): void {
  for (const [at, a] of bindings.entries()) {
    for (const b of bindings.slice(at + 1)) {
      if (a.instanceId !== undefined && a.instanceId === b.instanceId) expect(a.regId).not.toBe(b.regId);
      else if (a.push !== undefined && b.push !== undefined) expect(a.push.tokens).not.toEqual(b.push.tokens);
    }
  }
}
