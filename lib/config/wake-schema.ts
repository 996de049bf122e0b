/** Keys of `registration` and `wake`: how long phones stay registered, and how long is waited for one that sleeps. */
import { z } from 'zod';
import { fallback } from './keys.ts';
import { integer, listOf, oneOf, yesOrNo } from './kinds.ts';
import { mistake } from './mistake.ts';

export const registrationSection = z
  .strictObject({
    min_expires: fallback(integer(1, 3599, 'seconds'), 600, {
      doc: 'Shortest registration of a phone that asks for pushes; a shorter one is refused with 423 (RFC 3261 10.3). Plain phones may register for less.',
    }),
    default_expires: fallback(integer(60, 604_800, 'seconds'), 3600, { doc: 'Granted when a phone names no expiry.' }),
    max_expires: fallback(integer(3600, 31_536_000, 'seconds'), 604_800, { doc: 'Longest expiry granted to a phone.' }),
    max_bindings: fallback(integer(1, 100), 10, { doc: 'Most devices of one AOR; one more is as when_full says.' }),
    when_full: fallback(oneOf('refuse', 'replace_oldest'), 'refuse', {
      doc: 'One device too many: refused with 403, or it takes the place of the one that has not registered for longest.',
    }),
    unsupported_push: fallback(oneOf('accept', 'reject'), 'accept', {
      doc: 'A push service no app is configured for: register the phone as a plain one, or refuse with 555.',
    }),
    push_dialects: fallback(
      listOf(
        oneOf('outside-brackets', 'legacy', 'x-mpush', 'x-push'),
        'a list of outside-brackets, legacy, x-mpush, x-push',
      ),
      ['outside-brackets', 'legacy', 'x-mpush', 'x-push'],
      {
        doc: 'Push parameters understood beside those of RFC 8599: outside-brackets (pn-* as parameters of the Contact header), legacy (app-id, pn-type, pn-tok, pn-uri), x-mpush and x-push (header fields of Mizutech and PortSIP).',
      },
    ),
    answer_seconds: fallback(integer(1, 32, 'seconds'), 20, {
      doc: 'How long the PBX may take to answer the REGISTER of a phone; then the phone gets 503 and keeps what it had.',
    }),
    pnsreg_seconds: fallback(integer(30, 3600, 'seconds'), 180, {
      doc: 'How early a phone that wakes itself is asked to refresh (sip.pnsreg).',
    }),
    refresh_pushes: fallback(yesOrNo, true, {
      doc: 'Push sleeping phones before their registration ends, so that they stay reachable. Never by a VoIP push.',
    }),
    refresh_push_lead_seconds: fallback(integer(120, 86_400, 'seconds'), 300, {
      doc: 'How long before its end a sleeping phone is pushed first; and once more at half of what is left.',
    }),
    refresh_pushes_per_second: fallback(integer(1, 10_000), 400, {
      doc: 'Most sleeping phones looked at for a refresh push in a second, by each node.',
    }),
    purr_hours: fallback(integer(0, 168, 'hours'), 0, {
      doc: 'Phones get a reference for their dialogs (sip.pnspurr), a new one after so many hours; 0 gives none. Dialogs of the edge wake phones without it.',
    }),
    push_over_clear: fallback(oneOf('auto', 'accept', 'ignore', 'refuse'), 'auto', {
      doc: 'Push parameters that come over UDP, TCP or WS, where others can read them (RFC 8599 13): used (accept), left unread (ignore: the phone is registered as a plain one), or refused with 403. auto: refused from public addresses where the edge also listens on TLS or WSS, else accepted. What is accepted from public addresses is warned of at the start.',
    }),
    max_users_per_token: fallback(integer(0, 1000), 20, {
      doc: 'Most users that one push token may be registered for at a time, by each node; one more is refused with 403. 0: any number.',
    }),
    wake_lapsed_hours: fallback(integer(0, 8760, 'hours'), 0, {
      doc: 'How long after its registration has ended a phone is still woken for calls and messages; 0: not at all (RFC 8599 5.5). A dead token or a removal ends it earlier.',
    }),
    refresh_lead_seconds: fallback(integer(30, 3600, 'seconds'), 120, {
      doc: 'Room a refresh needs before a binding ends: a phone granted no more than this and 30 s is registered, but not pushed.',
    }),
  })
  .check((context) => {
    const { min_expires: least, default_expires: usual, max_expires: most } = context.value;
    if (usual < least || usual > most) {
      mistake(context, ['default_expires'], `from min_expires (${least}) to max_expires (${most})`, `${usual}`);
    }
  });

export const wakeSection = z.strictObject({
  hold_seconds: fallback(integer(5, 60, 'seconds'), 30, {
    doc: 'Longest wait for a phone to wake (the bucket timer); then the caller gets 480.',
    env: 'REVEILLE_HOLD_SECONDS',
  }),
  give_up_before_seconds: fallback(integer(0, 600, 'seconds'), 0, {
    doc: "The PBX's own no-answer timer: a phone that sleeps is given up 2 s before it, so that the PBX can still turn to its voicemail. 0: there is none.",
  }),
  request_hold_seconds: fallback(integer(4, 20, 'seconds'), 10, {
    doc: 'The same for any other request (MESSAGE, NOTIFY, SUBSCRIBE, requests inside calls), whose sender gives up after 32 s.',
  }),
  silent_flow_ms: fallback(integer(200, 10_000, 'milliseconds'), 1500, {
    doc: 'A flow that gives no answer for so long counts as asleep, and the phone is pushed.',
  }),
  udp_flow_awake_ms: fallback(integer(0, 3_600_000, 'milliseconds'), 0, {
    doc: 'How long after a REGISTER the UDP flow of a pushable phone is tried before a push; 0 pushes at once.',
  }),
  ring_seconds: fallback(integer(10, 600, 'seconds'), 190, {
    doc: 'Longest ringing of a phone that has been reached.',
  }),
  late_phone: fallback(oneOf('nothing', 'cancelled_invite', 'end_push'), 'nothing', {
    doc: 'A phone that was pushed and registers only after its call has ended: hears nothing, gets the INVITE and its CANCEL at once, or was sent another push at the end (never a VoIP push; apps with profile opaque, generic or template, and webhooks).',
  }),
  call_uuid: fallback(yesOrNo, true, {
    doc: 'INVITEs for phones carry X-Call-UUID, the call-uuid of their push; the PBX never sees it.',
  }),
  max_held: fallback(integer(1, 1_000_000), 20_000, {
    doc: 'Most requests held at once by this process; one more is refused.',
  }),
  max_held_per_device: fallback(integer(1, 1_000_000), 20_000, {
    doc: 'Most requests held at once for one phone; one more is refused. The default leaves it to max_held.',
  }),
});
