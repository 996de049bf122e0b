/** Requirements nobody has shown to be met over sockets, each with the reason; docs/conformance.md prints them. */
export const notYet: Readonly<Record<string, string>> = {
  'PN-PURR-07':
    'a Record-Route keeps a proxy on the way of a dialog (RFC 3261 16.6 step 4). The edge is no proxy there but the other end of the dialog on each side (ADR 1): its own Contact is the remote target of PBX and phone, in every mode, so that every request of the dialog comes to it, and Record-Route would only name the same place twice. That such requests arrive here and wake the phone is shown by PN-PURR-09.',
  'PN-PURR-08':
    'as PN-PURR-07: the caller is given the Contact of the edge in place of that of the phone, so that it stays on the way without Record-Route.',
};
