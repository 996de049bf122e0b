/** Keys of `push.webpush` and `push.unifiedpush`: the same protocol (RFC 8030), for browsers and for distributors of UnifiedPush. */
import { z } from 'zod';
import { fallback, optional, required } from './keys.ts';
import { filePath, integer, isHost, listOf, oneOf, parsed, text, yesOrNo } from './kinds.ts';

const hostPattern = parsed<string>('a host name, *.domain for every name below one, or *', (value) =>
  value === '*' || isHost(value.replace(/^\*\./, '')) ? value.toLowerCase() : undefined,
);

const common = {
  vapid_key_file: required(filePath, {
    doc: 'EC P-256 private key in PEM; its public half is what pages subscribe with. Keep it: a new one makes every subscription useless.',
  }),
  subject: required(
    text(
      'mailto:somebody@example.com or an https address, not localhost',
      /^(?:mailto:[^\s@]+@[^\s@]+\.[^\s@]+|https:\/\/(?!localhost)[^\s]+)$/,
    ),
    {
      doc: 'Whom push services write to when something is wrong (RFC 8292 2.1).',
    },
  ),
};

const rest = {
  allow_ports: fallback(listOf(integer(1, 65_535), 'a list of ports'), [], { doc: 'Ports beside 443.' }),
  allow_private: fallback(yesOrNo, false, {
    doc: 'Push to private addresses and to hosts given as addresses; only for stand-ins and services of your own network.',
  }),
  payload: fallback(oneOf('none', 'opaque', 'generic'), 'none', {
    doc: 'What a phone is told that sent keys for it (pn-p256dh and pn-auth, not RFC 8599), encrypted for it alone (RFC 8291): nothing, which call, or also who calls. Without keys there is never a payload.',
  }),
  privacy: fallback(oneOf('full', 'name', 'none'), 'full', {
    doc: 'Payload generic: what of the caller it has. The push service cannot read it.',
  }),
  ca_file: optional(filePath, { doc: 'PEM certificates to trust instead of those Node knows.' }),
};

export const webpushSection = z.strictObject({
  ...common,
  allow_hosts: fallback(
    listOf(hostPattern, 'a list of host names', 1),
    ['fcm.googleapis.com', '*.push.services.mozilla.com', 'web.push.apple.com', '*.notify.windows.com'],
    { doc: 'Hosts a phone may name as its push service; the addresses behind them must be public.' },
  ),
  ...rest,
});

export const unifiedpushSection = z.strictObject({
  ...common,
  allow_hosts: required(listOf(hostPattern, 'a list of host names', 1), {
    doc: 'Push servers of the distributors your phones may use (ntfy.sh, your own); the addresses behind them must be public.',
  }),
  ...rest,
});
