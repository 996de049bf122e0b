/** Keys of registration on behalf: the section `on_behalf`, and the accounts of a domain. */
import { z } from 'zod';
import { fallback, optional, required } from './keys.ts';
import { host, integer, secretText, text, yesOrNo } from './kinds.ts';

const name = text('a user name without spaces, @ or colon', /^[^\s@:"<>\0]{1,128}$/);

/** One AOR whose registration the edge keeps. */
export const accountSection = z.strictObject({
  name: required(name, { doc: 'User part of the AOR.' }),
  password: required(secretText('a password as text (in quotes when it looks like a number)'), {
    doc: 'Password of the account at the PBX. The phone proves itself to the edge with the same one, unless phone_password is set.',
  }),
  user: optional(name, { doc: 'User the PBX knows the account by (To, From); the name when left out.' }),
  auth_user: optional(name, { doc: 'User in the digest for the PBX; the user when left out.' }),
  registrar: optional(host, {
    doc: 'Domain the PBX knows the account in (request-URI, To); the domain of the AOR when left out. Where it is sent is upstream.',
  }),
  realm: optional(text('text without quotes, 1 to 128 characters', /^[^"\\\0\r\n]{1,128}$/), {
    doc: 'Answer only challenges of this realm; of any when left out.',
  }),
  expires: optional(integer(60, 604_800, 'seconds'), { doc: 'Seconds asked for; on_behalf.expires when left out.' }),
  phone_password: optional(secretText('a password as text (in quotes when it looks like a number)'), {
    doc: 'Password with which phones of this account register at the edge, when it is another one.',
  }),
});

export const behalfSection = z.strictObject({
  expires: fallback(integer(60, 604_800, 'seconds'), 3600, { doc: 'Seconds a registration at the PBX is asked for.' }),
  refresh_lead_seconds: fallback(integer(5, 86_400, 'seconds'), 300, {
    doc: 'How long before its end a registration is refreshed, but not before half of it is over.',
  }),
  refresh_spread_percent: fallback(integer(0, 30, 'percent'), 10, {
    doc: 'By so much of its life a refresh may come earlier, by chance, so that registrations made together do not stay together.',
  }),
  retry_interval: fallback(integer(1, 86_400, 'seconds'), 60, {
    doc: 'Pause after a temporary failure: no answer, 408, 480, 500, 502, 503, 504, 6xx. A longer Retry-After counts, up to an hour.',
  }),
  retry_spread_percent: fallback(integer(0, 100, 'percent'), 50, {
    doc: 'By so much of itself such a pause may be longer, by chance.',
  }),
  max_retries: fallback(integer(0, 1_000_000), 0, {
    doc: 'Failures in a row after which an account is given up until it changes or somebody asks for it; 0 never.',
  }),
  forbidden_retry_interval: fallback(integer(0, 86_400, 'seconds'), 0, { doc: 'Pause after 403; 0 gives up.' }),
  fatal_retry_interval: fallback(integer(0, 86_400, 'seconds'), 0, {
    doc: 'Pause after any other refusal (404, 405, 3xx and the like); 0 gives up.',
  }),
  auth_rejection_permanent: fallback(yesOrNo, true, {
    doc: 'Credentials the PBX has refused are not tried again until they change; false: again after retry_interval.',
  }),
  registrations_per_second: fallback(integer(1, 10_000), 50, {
    doc: 'Most registrations this process begins in a second, also after a restart of the PBX.',
  }),
  answer_seconds: fallback(integer(1, 32, 'seconds'), 20, { doc: 'How long the PBX may take to answer a REGISTER.' }),
  renew_after_outage: fallback(yesOrNo, true, {
    doc: 'When a PBX answers again after it did not: register all its accounts anew, at registrations_per_second, because it may have forgotten them.',
  }),
  deregister_on_stop: fallback(yesOrNo, false, {
    doc: 'Take the registrations of this process back when it stops. false: the PBX keeps them, for the restart or for another node.',
  }),
});
