/** What an operator may do about a REGISTER that the PBX has refused: one sentence for the log. Says nothing of the phone. */

export interface Refusal {
  readonly status: number;
  /** option tags of Unsupported, in lower case */
  readonly unsupported: readonly string[];
  /** the PBX got Path */
  readonly byPath: boolean;
  /** the REGISTER said `Require: path` by our own will */
  readonly requirePath: boolean;
  /** the expiry was ours (domains[].throttle) */
  readonly throttled: boolean;
}

/** undefined: the status says all there is to say. */
export function hintOf({ status, unsupported, byPath, requirePath, throttled }: Refusal): string | undefined {
  switch (status) {
    case 403:
      return 'the PBX forbids it: wrong password or auth user, an access list without the address of the edge, or its limit of contacts (Asterisk: max_contacts with remove_existing)';
    case 404:
      return 'the PBX does not know user or domain: compare domains[].name with the domain or realm of the PBX';
    case 405:
    case 501:
      return 'no registrar listens there: compare host and port of the upstream with those of the PBX';
    case 420:
      if (unsupported.includes('path') && byPath)
        return requirePath
          ? 'the PBX does not know Path: registration: mid-registrar, or require_path: false if it only refuses the word'
          : 'the PBX does not know Path: registration: mid-registrar';
      return 'the PBX does not know an extension that the phone requires: see Unsupported in its answer';
    case 423:
      return throttled ? 'the PBX wants a longer expiry: raise throttle.upstream_expires' : undefined;
    case 482:
    case 483:
      return 'the PBX sends the REGISTER in a circle: its own name for the domain leads to the edge or back to itself';
    default:
      return undefined;
  }
}
