/** Keys of a push ladder: `push.ladder` for all phones, `push.ladders` for those of some apps (docs/push-policy.md). */
import { z } from 'zod';
import { optional, required } from './keys.ts';
import { integer, listOf, oneOf, text, yesOrNo } from './kinds.ts';

/** All of them optional: what one of push.ladders leaves out is as in push.ladder, and what that leaves out is the default. */
export function ladderKeys(whose: string) {
  const doc = (sentence: string): { readonly doc: string } => ({ doc: `${whose}${sentence}` });
  return {
    flow: optional(
      oneOf('if-idle', 'parallel', 'always'),
      doc(
        'A phone whose connection may still stand: the INVITE goes there and a push follows when it stays silent (if-idle, the default), both at once (parallel), or the push first and the INVITE when the phone has registered (always).',
      ),
    ),
    idle_ms: optional(
      integer(50, 10_000, 'milliseconds'),
      doc(
        'How long such a connection may be silent before the push; 500 when left out, never above wake.silent_flow_ms.',
      ),
    ),
    call_via: optional(
      oneOf('voip', 'alert'),
      doc('Which token of an iOS phone with two a call goes to; voip when left out.'),
    ),
    alert_when_refused: optional(
      yesOrNo,
      doc('A call whose VoIP token is refused goes to the alert token, if there is one; true when left out.'),
    ),
    repeats: optional(
      integer(0, 3),
      doc(
        'How often a call is pushed once more when the push was accepted and the phone has not come: 1 for fcm and 0 for all others when left out.',
      ),
    ),
    repeat_after_ms: optional(
      integer(1000, 30_000, 'milliseconds'),
      doc('How long after the push before it; 5000 when left out.'),
    ),
    wait_seconds: optional(
      integer(1, 60, 'seconds'),
      doc(
        'A phone that was pushed is given up after so long; when left out 25 for webpush, and wake.hold_seconds for all others, which ends every wait.',
      ),
    ),
    voip_budget: optional(
      integer(0, 1000),
      doc(
        'VoIP pushes in a row without a REGISTER after which an alarm is raised and voip_spent holds, until the phone registers: iOS stops an app that does not answer its pushes. 10 when left out, 0 is no limit.',
      ),
    ),
    voip_spent: optional(
      oneOf('alert', 'none', 'alarm'),
      doc(
        'What a call gets then: an alert push (nothing where the phone has no alert token), nothing, or its VoIP push as before (alarm). alert when left out.',
      ),
    ),
    voip_retry_minutes: optional(
      integer(0, 10_080, 'minutes'),
      doc(
        'Out of budget, one VoIP push goes out all the same when the last one is so long ago, so that a phone that was switched off is found again; 60 when left out, 0 is never.',
      ),
    ),
    high_priority_budget: optional(
      integer(0, 10_000),
      doc(
        'FCM: high-priority pushes of seven days without a REGISTER after which an alarm is raised and pushes of that phone have normal priority, before FCM demotes the app by itself. 0, no limit, when left out.',
      ),
    ),
  };
}

export const ownLadder = z.strictObject({
  for: required(
    listOf(
      text('a name: letters, digits, dot, dash, underscore', /^[A-Za-z0-9._-]{1,64}$/),
      'a list of names of apps, webhooks or providers',
      1,
    ),
    {
      doc: 'Whose pushes: names of apps and webhooks, or a provider (apns, fcm, webpush) for all of its apps. A name wins over a provider.',
    },
  ),
  ...ladderKeys('For these, else as in push.ladder. '),
});
