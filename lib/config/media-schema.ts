/** Keys of the section about media: a relay for calls whose two ends do not reach each other. */
import { z } from 'zod';
import { fallback } from './keys.ts';
import { hostAndPort, integer, listOf, oneOf } from './kinds.ts';
import { mistake } from './mistake.ts';

export const mediaSection = z
  .strictObject({
    rtpengine: fallback(listOf(hostAndPort, 'a list of rtpengine addresses'), [], {
      doc: 'Where rtpengine listens for the ng protocol (listen-ng), UDP; tried in this order. It trusts whoever can send there.',
    }),
    when: fallback(oneOf('never', 'always', 'behind_nat'), 'never', {
      doc: 'Which calls have their media relayed: none, all, or those with a phone whose Contact is not the address its packets come from.',
    }),
    timeout_ms: fallback(integer(20, 5000, 'milliseconds'), 400, {
      doc: 'How long one rtpengine may take for an answer; then the next is asked, and after the last the call goes on without.',
    }),
    attempts: fallback(integer(1, 10), 4, { doc: 'How often a question is sent within that time.' }),
    rest_seconds: fallback(integer(0, 3600, 'seconds'), 10, {
      doc: 'An rtpengine that was silent is asked after the others for so long.',
    }),
  })
  .check((context) => {
    const { when, rtpengine } = context.value;
    if (when !== 'never' && rtpengine.length === 0)
      mistake(context, ['rtpengine'], `at least one address, because media.when is ${when}`, 'an empty list');
  });
