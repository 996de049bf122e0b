/** Requirements nobody has shown to be met over sockets, each with the reason; docs/conformance.md prints them. */
export const notYet: Readonly<Record<string, string>> = {
  'PN-PURR-07':
    'a bridge adds no Record-Route: its own Contact is the remote target of both sides, so that every request of the dialog comes to it anyway, and a Record-Route would only name it twice. That such requests wake the phone is shown by PN-PURR-09.',
  'PN-PURR-08':
    'as PN-PURR-07: the caller is given the Contact of the edge in place of that of the phone, so that it stays on the way without Record-Route.',
  'EDGE-AUTH-07':
    'the edge has no credentials of its own at a PBX. It passes the challenges on in their order, and the phone chooses and answers (EDGE-AUTH-09).',
  'EDGE-LOOP-02':
    'a bridge makes a new call with a new Call-ID for each leg, so that a branch cannot tell a loop from a spiral. Calls in a circle end by Max-Forwards, which the bridge counts down (EDGE-LOOP-01), and a copy of an INVITE that is still held is 482 (PN-INT-19).',
};
