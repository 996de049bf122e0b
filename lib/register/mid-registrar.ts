/**
 * Mode M: the PBX gets a stable opaque Contact of the edge, one for each phone, instead of the phone's own, and nothing of its push
 * parameters (PN-SEC-06). For the phone the edge is the registrar.
 */
import type { Binding } from '../core/binding.ts';
import { phoneName } from '../core/binding-set.ts';
import { openContact, sealContact } from '../core/contact-token.ts';
import { parseNameAddr } from '../sip/name-addr.ts';
import { pushFields, stripPushParams } from '../sip/push-params.ts';
import { findParam, printParams } from '../sip/uri.ts';
import { addRegistered } from './answer.ts';
import { userPartOf } from './commit.ts';
import { expiresOfPhone } from './throttle.ts';
import type { Form } from './form.ts';
import type { Asked, AskedContact, RegisterDeps } from './read-register.ts';

/** Between phone and edge only, or written anew below. */
const notUpstream = new Set([
  'path',
  'contact',
  'expires',
  'content-type',
  'feature-caps',
  'supported',
  'require',
  ...pushFields,
]);
/** Option tags whose mechanism ends at the edge. */
const ourOptions = new Set(['path', 'outbound', 'gruu']);
/** Contact parameters that mean something between phone and edge only. */
const ourContactParams = new Set([
  '+sip.instance',
  'reg-id',
  'expires',
  '+sip.pnsreg',
  'pub-gruu',
  'temp-gruu',
  'temp-gruu-cookie',
]);
/** What the edge as the phone's registrar says by itself. */
const notBack = new Set(['contact', 'content-type', 'path', 'require', 'expires']);

export const midRegistrar: Form = {
  request(received, asked, deps) {
    const headers = received.copy();
    for (const key of notUpstream) headers.delete(key);
    // some phones write their push parameters into From and To as well; digest does not cover these
    for (const name of ['From', 'To']) headers.set(name, stripPushParams(received.get(name) ?? ''));
    for (const name of ['Supported', 'Require']) {
      const options = received.list(name).filter((option) => !ourOptions.has(option.toLowerCase()));
      if (options.length > 0) headers.add(name, options.join(', '));
    }
    if (asked.contacts === '*') {
      // `*` would take other edges' and desk phones' bindings with it: remove what is ours, one by one
      const ours = new Set(asked.stored.map((binding) => contactUpstream(asked, binding, deps)));
      const gone = [...ours].map((uri) => `<${uri}>;expires=0`);
      if (gone.length > 0) headers.add('Contact', gone.join(', ')).add('Expires', '0');
      return headers;
    }
    // the old address of a phone that moved and the new one are the same Contact at the PBX: the removal must not undo the rest
    const kept = new Set(asked.contacts.filter(({ expires }) => expires > 0).map(nameOf));
    const told = asked.contacts.filter((one) => one.expires > 0 || !kept.has(nameOf(one)));
    // in one line: an engine may take the first one only
    if (told.length > 0) headers.add('Contact', told.map((one) => contactValue(asked, one, deps)).join(', '));
    const first = asked.contacts.find(({ expires }) => expires > 0) ?? asked.contacts[0];
    if (first !== undefined) headers.add('Expires', String(expiresUpstream(asked, first, deps)));
    return headers;
  },

  passesBack: (key) => !notBack.has(key),

  granted(asked, response, deps) {
    if (asked.contacts === '*') return '*';
    const listed = new Map<string, string>();
    for (const value of response.headers.list('Contact')) {
      const name = openedBy(value, deps);
      if (name !== undefined) listed.set(name, value);
    }
    const header = Number.parseInt(response.headers.get('Expires') ?? '', 10);
    return asked.contacts.map((one) => {
      const value = listed.get(nameOf(one));
      const param = value === undefined ? undefined : findParam(parseNameAddr(value)?.params ?? [], 'expires')?.value;
      const upstream = one.expires === 0 ? 0 : Number.parseInt(param ?? '', 10);
      const expires = Number.isInteger(upstream)
        ? upstream
        : Number.isInteger(header)
          ? header
          : expiresUpstream(asked, one, deps);
      const phone = Math.min(expiresOfPhone(asked, one, expires, deps), deps.policy.maxExpires);
      return { asked: one, expires: phone, upstreamExpires: expires };
    });
  },

  answer(passed, { asked, response, granted, bindings }, deps) {
    const foreign = response.headers.list('Contact').filter((value) => openedBy(value, deps) === undefined);
    return addRegistered(passed, { asked, granted, bindings, foreign }, deps);
  },
};

/** By what name the PBX knows the phone: all flows of one phone are one Contact there (PN-INT-03). */
function nameOf({ id, contact }: AskedContact): string {
  return phoneName({ id, ...contact });
}

function contactValue(asked: Asked, one: AskedContact, deps: RegisterDeps): string {
  const params = (parseNameAddr(stripPushParams(one.contact.text))?.params ?? []).filter(
    (param) => !ourContactParams.has(param.name.toLowerCase()),
  );
  const expires = { name: 'expires', value: String(expiresUpstream(asked, one, deps)) };
  return `<${edgeContact(asked, nameOf(one), deps)}>${printParams([...params, expires])}`;
}

/** A phone that takes back one of its flows, or an address that it has left, is still there: its Contact is only refreshed. */
function expiresUpstream(asked: Asked, one: AskedContact, deps: RegisterDeps): number {
  if (one.expires > 0) return asked.domain.throttle?.upstreamExpires ?? one.expires;
  const leaving = new Set(
    asked.contacts === '*' ? [] : asked.contacts.flatMap((each) => (each.isFormer ? [] : each.id)),
  );
  const left = asked.stored
    .filter((other) => !leaving.has(other.id) && phoneName(other) === nameOf(one))
    .map(({ expiresAt }) => Math.ceil((expiresAt - deps.clock.now()) / 1000));
  return Math.max(0, ...left);
}

/** The Contact of a stored binding as the PBX knows it, also of one that was made by pass-through. */
function contactUpstream(asked: Asked, binding: Binding, deps: RegisterDeps): string {
  return binding.byPath === true
    ? (parseNameAddr(binding.contact)?.uri ?? binding.target)
    : edgeContact(asked, phoneName(binding), deps);
}

function edgeContact(asked: Asked, name: string, deps: RegisterDeps): string {
  return `sip:${sealContact(deps.contactKey, { aor: asked.aor, bindingId: name })}@${asked.domain.edgeHost}`;
}

function openedBy(contactValueText: string, deps: RegisterDeps): string | undefined {
  const user = userPartOf(contactValueText);
  return user === undefined ? undefined : openContact(deps.contactKey, user)?.bindingId;
}
