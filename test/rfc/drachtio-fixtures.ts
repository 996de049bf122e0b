/**
 * Every recorded conversation with drachtio-server and what the embedded engine does with it. The test checks that no
 * recording is left out. `deliberate` lists the only differences a replay may show; each must really show.
 */

export type Fixture =
  | { readonly is: 'replayed'; readonly deliberate?: readonly Deliberate[] }
  | { readonly is: 'not yet'; readonly why: string };

export interface Deliberate {
  readonly difference: RegExp;
  readonly why: string;
}

const replayed: Fixture = { is: 'replayed' };
const namedTls: Deliberate = {
  difference: /wanted \[\|.*\|tcp\|.*got \[\|.*\|tls\|/,
  why: 'a TLS connection is called tls wherever it is named; the original calls it tcp where the app asked, tls where the phone did',
};
const lostEcho: Deliberate = {
  difference: /OPTIONS OPTIONS: wanted \[\|.*\|tcp\|[\d.]+10\|5\d+\|.*got \[\|.*\|tcp\|[\d.]+21\|\d+\|/,
  why: 'the echo of a request that finds its WebSocket gone names that connection; the original names its own port',
};
const proxied: Fixture = {
  is: 'not yet',
  why: 'proxyRequest: the app of this engine bridges calls and never proxies (ADR 1); a proxy frame is answered NOK at once, so an app that counts on it sees an error instead of the black holes of the original',
};

export const fixtures: Readonly<Record<string, Fixture>> = {
  'ack-missing-then-200-retrans': replayed,
  'app-disconnect-before-ack': replayed,
  'app-disconnect-in-dialog': replayed,
  'app-disconnect-mid-hold': replayed,
  'app-disconnect-mid-hold-70s': {
    is: 'replayed',
    deliberate: [
      {
        difference: /missing 481 CANCEL|not in the recording: 200 CANCEL/,
        why: 'CANCEL of an INVITE that has its final answer is answered 200 and changes nothing (RFC 3261 9.2)',
      },
    ],
  },
  'app-disconnect-mid-proxy': proxied,
  'app-disconnect-uac-pending': replayed,
  'app-reconnect': replayed,
  'app-reconnect-respond': replayed,
  'auth-route': replayed,
  'auth-wrong-secret': replayed,
  b2bua: replayed,
  'b2bua-callee-bye': replayed,
  'b2bua-cancel': replayed,
  'b2bua-to-tcp-flow': replayed,
  'cancel-after-forward': proxied,
  'cancel-after-forward-no-provisional': proxied,
  'cancel-after-provisional': replayed,
  'cancel-during-hold': replayed,
  'cancel-during-hold-noack': replayed,
  'cancel-repeated-during-hold': replayed,
  'cdr-events': {
    is: 'not yet',
    why: 'records a proxied call, and CDR frames are not written: the edge counts and logs its calls itself',
  },
  'flow-request-all-transports': {
    is: 'replayed',
    deliberate: [
      namedTls,
      lostEcho,
      {
        difference: /wanted \[.*from: <sips:.*got \[.*from: <sip:/,
        why: 'the default From is a sip URI on TLS and WSS too: sips would promise TLS on every hop',
      },
      {
        difference: /wanted \[.*transport=wss>.*got \[.*transport=ws>/,
        why: 'a URI says ws for both kinds of WebSocket (RFC 7118 5.2)',
      },
      {
        difference: /^app: missing sip\|network 503 OPTIONS$|^udp dev-udp .*: not in the recording: OPTIONS OPTIONS$/,
        why: 'the recorded phone had closed its UDP port, which no line shows; the port of the replay is open and hears the request',
      },
    ],
  },
  'fork-all-fail': proxied,
  'fork-parallel': proxied,
  'fork-serial-4xx': proxied,
  'forked-200-uac': {
    is: 'replayed',
    deliberate: [
      {
        difference: /./,
        why: 'a second phone that answers is acknowledged and hung up by the engine; the original takes its 200 for a copy and loses it',
      },
    ],
  },
  'hold-60s-then-proxy': proxied,
  'hold-70s-then-proxy': replayed,
  'hold-70s-with-183': {
    is: 'replayed',
    deliberate: [{ difference: /not in the recording: sip\|network ACK/, why: 'the recording ends before this line' }],
  },
  'in-dialog-no-rr': proxied,
  'in-dialog-rr-stateless': proxied,
  'invite-flow-gone-request': replayed,
  'invite-hold-30s-retrans': proxied,
  'invite-hold-proxy-norr': proxied,
  'invite-hold-proxy-rr': proxied,
  'invite-via-request': {
    is: 'replayed',
    deliberate: [
      {
        difference: /INVITE INVITE: wanted \[contact: .*got \[contact: /,
        why: 'a Contact given by the app is kept; the original puts its own host into it',
      },
    ],
  },
  'late-branch-proxy-twice': proxied,
  'late-route': replayed,
  'limits-proxy': proxied,
  'malformed-in': {
    is: 'replayed',
    deliberate: [
      { difference: /505 OPTIONS: wanted \[via/, why: 'rport is filled in before the version is looked at' },
      {
        difference: /missing sip\|network OPTIONS|missing 200 OPTIONS|b632010b|not in the recording: 400 OPTIONS/,
        why: 'a datagram shorter than its Content-Length is refused (RFC 3261 18.3)',
      },
      { difference: /wanted \[via: .*got \[v: /, why: 'compact names reach the app as they came' },
      { difference: /not in the recording: 501 FOO/, why: 'the original does not answer unknown methods' },
    ],
  },
  'message-options-subscribe-notify': replayed,
  'multi-app-load': replayed,
  'nat-udp-uas-dialog': replayed,
  'no-app': {
    is: 'replayed',
    deliberate: [
      {
        difference: /not in the recording: (405 REFER|481 PRACK|501 FOO)/,
        why: 'the original leaves REFER, PRACK and unknown methods without any answer',
      },
    ],
  },
  'options-ping': replayed,
  'outbound-http-tag': {
    is: 'not yet',
    why: 'outbound mode, where the server connects to an app for each request, is not built: the edge keeps one connection to the engine and would have to be found by address',
  },
  'outbound-tcp': {
    is: 'not yet',
    why: 'outbound mode, where the server connects to an app for each request, is not built: the edge keeps one connection to the engine and would have to be found by address',
  },
  'path-header-variants': proxied,
  'ping-frame': replayed,
  'proxy-100rel': proxied,
  'proxy-6xx-parallel': proxied,
  'proxy-bad-uri': proxied,
  'proxy-challenge': proxied,
  'proxy-multi-transport-caller-tcp': proxied,
  'proxy-redirect': proxied,
  'proxy-timeouts': proxied,
  'proxy-unresolvable': proxied,
  'register-200': replayed,
  'register-relay-proxy': proxied,
  'register-relay-request': replayed,
  'register-retransmit': replayed,
  'register-tcp-closed-before-response': replayed,
  'remove-route': replayed,
  'request-digest-register': replayed,
  'res-100-extends-hold': replayed,
  'response-555': replayed,
  'route-dnsname-ruri': proxied,
  'rport-received': replayed,
  'session-timer-expiry': replayed,
  'silent-app-non-invite': replayed,
  'simring-uac-late-leg': replayed,
  'spiral-cancel': proxied,
  'spiral-late-branch': proxied,
  'tcp-flow-dies-before-response': proxied,
  'tcp-flow-dies-while-ringing': proxied,
  'tcp-flow-gone': proxied,
  'tcp-flow-proxy': proxied,
  'tcp-flow-proxy-private-contact': proxied,
  'tcp-flow-proxy-privcontact-ruri': proxied,
  'tcp-flow-request': {
    is: 'replayed',
    deliberate: [
      {
        difference: /wanted \[\] got \[via: /,
        why: 'the echo of a request to an unknown host has a Via like every other',
      },
    ],
  },
  'tcp-flow-uac': replayed,
  'tcp-flow-uac-gone-in-dialog': replayed,
  'tcp-silent-device': proxied,
  'timer-c': proxied,
  'tls-client-b2bua': { is: 'replayed', deliberate: [namedTls] },
  'tls-flow-gone': proxied,
  'tls-flow-proxy': proxied,
  'tport-cache-conflict': replayed,
  'uac-call': replayed,
  'uac-call-bye-in': replayed,
  'uac-cancel': replayed,
  'uac-cancel-crosses-200': replayed,
  'uac-digest': replayed,
  'uac-rejected': replayed,
  'uac-same-callid': {
    is: 'replayed',
    deliberate: [
      {
        difference: /./,
        why: 'two dialogs with one Call-ID and From tag live side by side (a PBX that forks or sends our own call back needs it); the original refuses the second with 480',
      },
    ],
  },
  'uac-silent-invite': replayed,
  'uac-subscribe': {
    is: 'replayed',
    deliberate: [
      {
        difference: /missing 500 NOTIFY|missing response.*NOK|not in the recording: (200 NOTIFY|response.*200 NOTIFY)/,
        why: 'the original answers the last NOTIFY 500 before the app can',
      },
      {
        difference: /not in the recording: 100 NOTIFY/,
        why: 'what an app is slow with gets a 100 after 3.5 s (RFC 4320 4.1); the original sends none to a non-INVITE',
      },
    ],
  },
  'uas-bye-from-app': replayed,
  'uas-bye-from-caller': replayed,
  'uas-no-ack': replayed,
  'uas-prack': replayed,
  'uas-record-route-copied': replayed,
  'uas-reinvite-in': replayed,
  'uas-reinvite-out': replayed,
  'uas-reject': replayed,
  'udp-flow-gone': proxied,
  'udp-flow-proxy': proxied,
  'udp-retransmit-after-proxied-200': proxied,
  'udp-retransmit-after-proxied-486': proxied,
  'udp-retransmitted-invite': replayed,
  'udp-silent-target': proxied,
  'update-during-invite': {
    is: 'replayed',
    deliberate: [
      {
        difference: /200 UPDATE: wanted/,
        why: 'an SDP answer has its Content-Type, and the echo names the dialog, for UPDATE as for INVITE',
      },
    ],
  },
  'ws-flow-gone': proxied,
  'ws-flow-gone-request': { is: 'replayed', deliberate: [lostEcho] },
  'ws-flow-proxy': proxied,
  'wss-flow-proxy': proxied,
};
