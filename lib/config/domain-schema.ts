/** Keys of `domains`: one entry a domain, its PBX and, where the edge is the registrar, its users. */
import { z } from 'zod';
import { accountSection } from './behalf-schema.ts';
import { fallback, optional, required } from './keys.ts';
import { isHost, listOf, oneOf, parsed, secretText, sipPeer, subnet, text, yesOrNo } from './kinds.ts';
import { mistake } from './mistake.ts';
import { repeated } from './repeated.ts';
import { availabilitySection, throttleSection, trunkSection, upstreamEntry } from './upstream-schema.ts';

const domainName = parsed<string>('a domain name, or "*" for every domain not listed', (value) =>
  value === '*' || isHost(value) ? value.toLowerCase() : undefined,
);

const user = z
  .strictObject({
    name: required(text('a user name without spaces, @ or colon', /^[^\s@:"<>\0]{1,128}$/), {
      doc: 'User part of the AOR and name in the digest.',
    }),
    password: optional(secretText('a password as text (in quotes when it looks like a number)'), {
      doc: 'Digest password; from it every HA1 is made.',
    }),
    ha1_md5: optional(secretText('32 hexadecimal digits', /^[0-9a-f]{32}$/i), {
      doc: 'MD5 of user:realm:password, instead of the password.',
    }),
    ha1_sha256: optional(secretText('64 hexadecimal digits', /^[0-9a-f]{64}$/i), {
      doc: 'SHA-256 of user:realm:password, instead of the password.',
    }),
  })
  .check((context) => {
    const { password, ha1_md5: md5, ha1_sha256: sha256 } = context.value;
    if ((password === undefined) === (md5 === undefined && sha256 === undefined)) {
      mistake(
        context,
        [],
        'either password, or ha1_md5 and/or ha1_sha256',
        password === undefined ? 'none of them' : 'both',
      );
    }
  });

/** Which way upstream goes with which registration; core/modes.ts says what comes of it, and a test compares the two. */
const allowed: Readonly<Record<'mid-registrar' | 'path' | 'registrar', readonly string[]>> = {
  'mid-registrar': ['pass_through', 'throttled', 'on_behalf', 'trunk'],
  path: ['pass_through'],
  registrar: ['trunk', 'on_behalf'],
};

export const domainSection = z
  .strictObject({
    name: required(domainName, { doc: 'Domain of the AORs, or "*" for every domain not listed.' }),
    registration: fallback(oneOf('mid-registrar', 'path', 'registrar'), 'mid-registrar', {
      doc: 'mid-registrar: the PBX accepts each REGISTER and keeps the users, and gets a Contact of the edge. path: it gets the Contact of the phone, push parameters included, and calls it by Path (RFC 3327). registrar: the edge accepts, and the PBX uses it as a trunk.',
    }),
    upstream_mode: optional(oneOf('pass_through', 'throttled', 'on_behalf', 'trunk'), {
      doc: 'How the PBX learns where users are. pass_through: by the REGISTERs and credentials of the phones (registration path, mid-registrar). throttled: the same in a rhythm of the edge (mid-registrar). on_behalf: the edge registers with accounts it holds, also while phones sleep; phones register with the edge. trunk: it does not, and routes calls to the edge (registrar). Left out: pass_through, or trunk with registration registrar.',
    }),
    without_path: fallback(oneOf('accept', 'refuse'), 'accept', {
      doc: 'A phone that does not say `Supported: path`: with registration path, served as by a mid-registrar, or refused with 421; elsewhere, behind a proxy that has added Path, accepted, or refused with 420.',
    }),
    pbx_without_path: fallback(oneOf('refuse', 'mid-registrar'), 'refuse', {
      doc: 'path: what becomes of a REGISTER to which the PBX answers 420: it passes back to the phone, or the phone is served as by a mid-registrar.',
    }),
    require_path: fallback(yesOrNo, true, {
      doc: 'With registration path: `Require: path` to the PBX, so that one that does not know Path says 420 instead of calling past the edge. false for a PBX that knows Path and refuses the word.',
    }),
    proxies: fallback(listOf(subnet, 'a list of addresses or subnets'), [], {
      doc: 'Proxies between phones and edge whose Path and Feature-Caps in a REGISTER are believed; from anybody else both are dropped. What comes for their phones follows the Path.',
    }),
    service_route: fallback(yesOrNo, false, {
      doc: 'With registration registrar: phones are told by Service-Route (RFC 3608) to send their own requests through the edge.',
    }),
    upstream: optional(sipPeer, {
      doc: 'The PBX of this domain; either this or upstreams. The variable sets it for the domain "*".',
      env: 'REVEILLE_UPSTREAM',
    }),
    upstreams: z.array(upstreamEntry).prefault([]),
    availability: availabilitySection.prefault({}),
    trusted: fallback(listOf(subnet, 'a list of addresses or subnets'), [], {
      doc: 'Addresses calls for phones may come from, besides those of the upstreams and their outbound proxies.',
    }),
    throttle: throttleSection.optional(),
    trunk: trunkSection.optional(),
    early_ringing: optional(oneOf('none', '180', '183'), {
      doc: 'For this domain instead of calls.early_ringing.',
    }),
    users: z.array(user).prefault([]),
    accounts: z.array(accountSection).prefault([]),
    realm: optional(text('text without quotes, 1 to 128 characters', /^[^"\\\0\r\n]{1,128}$/), {
      doc: 'Realm of our digest challenges; the domain itself when left out.',
    }),
    algorithms: fallback(listOf(oneOf('SHA-256', 'MD5'), 'a list of SHA-256, MD5', 1), ['SHA-256', 'MD5'], {
      doc: 'Digest algorithms offered in registrar mode, the preferred one first.',
    }),
  })
  .check((context) => {
    const { name: domain, registration, upstream_mode: upstreamMode, users, accounts } = context.value;
    const { upstream, upstreams, throttle, trunk } = context.value;
    if (upstream === undefined && upstreams.length === 0) mistake(context, ['upstream'], sipPeer.expected, 'nothing');
    if (upstream !== undefined && upstreams.length > 0)
      mistake(context, ['upstreams'], 'nothing, because there is upstream', 'a list');
    if (upstreams.length > 12) mistake(context, ['upstreams'], 'at most 12', String(upstreams.length));
    repeated(upstreams.map((one) => `${one.uri.uri} ${one.outbound_proxy?.uri ?? ''}`)).forEach(([at]) =>
      mistake(context, ['upstreams', at, 'uri'], 'each upstream once', 'the same again'),
    );
    for (const [at, { outbound_proxy: proxy, outbound_route: route }] of upstreams.entries())
      if (proxy === undefined && route !== undefined)
        mistake(context, ['upstreams', at, 'outbound_route'], 'an outbound_proxy, where the route begins', 'none');
    if (throttle !== undefined && (registration !== 'mid-registrar' || (upstreamMode ?? 'throttled') !== 'throttled'))
      mistake(
        context,
        ['throttle'],
        'registration mid-registrar and upstream_mode throttled',
        upstreamMode ?? registration,
      );
    if (trunk !== undefined && registration !== 'registrar' && upstreamMode !== 'trunk')
      mistake(context, ['trunk'], 'registration registrar or upstream_mode trunk', upstreamMode ?? registration);
    for (const [at, name] of (trunk?.users ?? []).entries())
      if (!users.some((one) => one.name === name))
        mistake(context, ['trunk', 'users', at], 'one of the users of this domain', `"${name}"`);
    if (upstreamMode !== undefined && !allowed[registration].includes(upstreamMode))
      mistake(
        context,
        ['upstream_mode'],
        `one of ${allowed[registration].join(', ')} with registration ${registration}`,
        upstreamMode,
      );
    const edgeAsks = upstreamMode === 'on_behalf' || upstreamMode === 'trunk' || registration === 'registrar';
    if (!edgeAsks && users.length > 0) {
      mistake(
        context,
        ['users'],
        'no users but with registration registrar or upstream_mode on_behalf or trunk: here the PBX knows them',
        `${users.length}`,
      );
    }
    const names = [...users, ...accounts].map((one) => one.name);
    repeated(names).forEach(([at]) =>
      mistake(
        context,
        at < users.length ? ['users', at, 'name'] : ['accounts', at - users.length, 'name'],
        `a name no other user${at < users.length ? '' : ' or account'} of this domain has`,
        'the same name twice',
      ),
    );
    if (domain === '*' && accounts.length > 0)
      mistake(context, ['accounts'], 'accounts only where the domain has a name', '"*"');
  });
