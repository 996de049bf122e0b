/** Keys of a domain about its PBX: the servers, how they are watched, how often it is asked about a registration, and trunks. */
import { z } from 'zod';
import { fallback, optional, required } from './keys.ts';
import { host, integer, oneOf, parsed, sipPeer, text, yesOrNo, isHost, listOf } from './kinds.ts';
import { mistake } from './mistake.ts';
import { repeated } from './repeated.ts';

export const upstreamEntry = z.strictObject({
  uri: required(sipPeer, { doc: 'One upstream: its own transport, and names looked up as RFC 3263 says.' }),
  priority: fallback(integer(0, 65_535), 10, { doc: 'Lower ones are tried first, as in SRV records.' }),
  weight: fallback(integer(0, 65_535), 1, { doc: 'Share of the users among upstreams of one priority.' }),
  outbound_proxy: optional(sipPeer, {
    doc: 'Requests for this upstream are sent to this proxy, which finds the PBX by their request-URI. Calls may come from both.',
  }),
  outbound_route: optional(
    listOf(text('a Route value such as <sip:core.example.com;lr>', /^<sips?:[^<>\s,"]+>$/), 'a list of Route values'),
    {
      doc: 'With outbound_proxy: Route of every request that begins something there, the proxy first. Not with a drachtio-server, which writes none.',
    },
  ),
  tls_name: optional(host, {
    doc: 'With transport tls: the name its certificate must be for, when that is not the host in uri.',
  }),
});

export const availabilitySection = z.strictObject({
  probe_seconds: optional(integer(0, 3600, 'seconds'), {
    doc: 'How often each server is asked by OPTIONS; 0 never. When left out: every 30 s where there is more than one server, else never.',
  }),
  probe_timeout_ms: fallback(integer(200, 30_000, 'milliseconds'), 4000, {
    doc: 'How long a server may take to answer OPTIONS.',
  }),
  probe_accept: fallback(oneOf('any', '2xx'), 'any', {
    doc: 'Which answer to OPTIONS counts as good: any but 503, or 2xx only.',
  }),
  down_after: fallback(integer(1, 20), 3, { doc: 'Failures in a row after which a server is down.' }),
  up_after: fallback(integer(1, 20), 2, { doc: 'Good answers in a row after which it is up again.' }),
  try_ms: fallback(integer(300, 20_000, 'milliseconds'), 4000, {
    doc: 'A server that is silent for so long is left for the next one. The last one gets all the time that is left.',
  }),
  rest_seconds: fallback(integer(1, 3600, 'seconds'), 30, {
    doc: 'A server that was silent, or said 503 without Retry-After, is tried after the others for so long.',
  }),
  ready: fallback(yesOrNo, false, { doc: '/readyz says no while no server of this domain is usable.' }),
});

export const throttleSection = z.strictObject({
  upstream_expires: fallback(integer(60, 604_800, 'seconds'), 3600, {
    doc: 'Expiry asked of the PBX, whatever the phone asks.',
  }),
  phone_expires: fallback(integer(60, 31_536_000, 'seconds'), 604_800, {
    doc: 'Longest expiry granted to a phone that a refresh push can reach, however little the PBX grants.',
  }),
});

const number = text('digits, + and other characters of a user part, at most 64', /^[0-9A-Za-z+*#_.-]{0,64}$/);

const route = z.strictObject({
  domain: optional(
    parsed<string>('a domain name or an IP address', (value) => (isHost(value) ? value.toLowerCase() : undefined)),
    { doc: 'Host in the request-URI this is for; every host when left out.' },
  ),
  prefix: fallback(number, '', { doc: 'What the user part begins with; the longest prefix that fits is taken.' }),
  strip: fallback(integer(0, 64), 0, { doc: 'So many characters are taken from its front.' }),
  add: fallback(number, '', { doc: 'And this is put there.' }),
  to_domain: optional(
    parsed<string>('a domain name', (value) => (isHost(value) ? value.toLowerCase() : undefined)),
    { doc: 'Domain of the user that is called; the name of this domain when left out.' },
  ),
});

export const trunkSection = z
  .strictObject({
    auth: fallback(oneOf('ip', 'digest', 'either'), 'ip', {
      doc: 'Who may call the users of this domain: the addresses of the PBX, whoever has a password of trunk.users (from any address), or either. digest: the addresses of the PBX need the password too.',
    }),
    users: fallback(
      listOf(text('the name of one of the users of this domain', /^[^\s@:"<>\0]{1,128}$/), 'a list of user names'),
      [],
      {
        doc: 'Users of this domain (domains[].users) that are no phones but PBXs: what they send is from the trunk.',
      },
    ),
    routes: z.array(route).prefault([]),
  })
  .check((context) => {
    const { auth, users, routes } = context.value;
    if (auth !== 'ip' && users.length === 0)
      mistake(context, ['users'], `the users of the trunk, because auth is ${auth}`, 'none');
    repeated(routes.map((one) => `${one.domain ?? '*'} ${one.prefix}`)).forEach(([at]) =>
      mistake(context, ['routes', at], 'each domain and prefix once', 'the same again'),
    );
  });
