/**
 * What differs between the modes of a domain, and the only place that says it: who the registrar is, what the PBX sees of a phone
 * and how it names one in a call (section "What differs by mode" of the requirements). Everything else is the same in all three.
 */

/** As the config names them: pass-through (mode P), mid-registrar (M), sole registrar (R). */
export type Registration = 'path' | 'mid-registrar' | 'registrar';

export interface Mode {
  readonly is: Registration;
  /** whose 2xx accepts the REGISTER; where it is the edge's, the edge challenges too */
  readonly acceptedBy: 'pbx' | 'edge';
  /** whom the phone takes for its registrar: that one answers for Require, Outbound, CSeq and other devices' parameters */
  readonly facesPhone: 'pbx' | 'edge';
  /** the Contact the PBX gets: the phone's own, an opaque one of the edge, or none at all */
  readonly contactUpstream: 'kept' | 'sealed' | 'none';
  /** Feature-Caps in the REGISTER to the PBX (PN-REG-08); whom the Contact names says nothing of itself (PN-FC-08) */
  readonly indicatesUpstream: boolean;
  /** push parameters that the PBX may see (PN-SEC-02, PN-SEC-06) */
  readonly pushUpstream: boolean;
  /** how the PBX says whom it calls */
  readonly calledBy: 'flow-token' | 'sealed-contact' | 'aor';
  /** the answer to a call for a plain phone whose flow is gone (RFC 5626 5.3.1, PN-INT-05); elsewhere 480 */
  readonly flowGone: 430 | 480;
  /** GRUUs are of the domain, so only its registrar can give them away (RFC 5627 5) */
  readonly givesGruu: boolean;
}

export const modes: Readonly<Record<Registration, Mode>> = {
  path: {
    is: 'path',
    acceptedBy: 'pbx',
    facesPhone: 'pbx',
    contactUpstream: 'kept',
    indicatesUpstream: true,
    pushUpstream: true,
    calledBy: 'flow-token',
    flowGone: 430,
    givesGruu: false,
  },
  'mid-registrar': {
    is: 'mid-registrar',
    acceptedBy: 'pbx',
    facesPhone: 'edge',
    contactUpstream: 'sealed',
    indicatesUpstream: false,
    pushUpstream: false,
    calledBy: 'sealed-contact',
    flowGone: 480,
    givesGruu: false,
  },
  registrar: {
    is: 'registrar',
    acceptedBy: 'edge',
    facesPhone: 'edge',
    contactUpstream: 'none',
    indicatesUpstream: false,
    pushUpstream: false,
    calledBy: 'aor',
    flowGone: 480,
    givesGruu: true,
  },
};

/** What a REGISTER says about the way back to its phone. */
export interface Way {
  /** Supported has `path` */
  readonly supportsPath: boolean;
  /** a Contact has reg-id and +sip.instance */
  readonly outbound: boolean;
  /** a phone without `Supported: path` in a domain that needs Path */
  readonly withoutPath: 'accept' | 'refuse';
}

/**
 * The mode of one REGISTER. A phone that does not know Path is served as by a mid-registrar, or told to learn it (421, EDGE-PATH-02);
 * one that asks for Outbound gets Path in any case (PN-INT-01, PN-INT-07).
 */
export function modeOf(registration: Registration, way: Way): Mode | 421 {
  if (registration !== 'path' || way.supportsPath || way.outbound) return modes[registration];
  return way.withoutPath === 'refuse' ? 421 : modes['mid-registrar'];
}
