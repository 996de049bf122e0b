/**
 * What differs between the modes of a domain, and the only place that says it: who the registrar is, what the PBX sees of a phone
 * and how it names one in a call (section "What differs by mode" of the requirements). Everything else is the same in all of them.
 */

/** `registration` of the config, whom a phone faces: the PBX by Path (mode P), the PBX by a Contact of ours (M), the edge (R). */
export type Facing = 'path' | 'mid-registrar' | 'registrar';

/**
 * `upstream_mode` of the config, how the PBX learns where a user is: by the phone's own REGISTER and credentials, by the same in the
 * edge's rhythm, by a registration of the edge with an account it holds, or not at all (it routes calls to the edge).
 */
export type UpstreamMode = 'pass_through' | 'throttled' | 'on_behalf' | 'trunk';

/** What the two come to, one row each below. */
export type Registration = Facing | 'throttled' | 'on-behalf';

/** Which way upstream goes with whom the phone faces; the first one is taken when none is named. */
const ways: Readonly<Record<Facing, Partial<Record<UpstreamMode, Registration>>>> = {
  path: { pass_through: 'path' },
  'mid-registrar': {
    pass_through: 'mid-registrar',
    throttled: 'throttled',
    // where the edge holds the account, or where nobody registers, it is the edge that the phone registers with
    on_behalf: 'on-behalf',
    trunk: 'registrar',
  },
  registrar: { trunk: 'registrar', on_behalf: 'on-behalf' },
};

/** undefined: the two contradict each other. */
export function registrationOf(facing: Facing, upstream: UpstreamMode | undefined): Registration | undefined {
  return upstream === undefined ? Object.values(ways[facing])[0] : ways[facing][upstream];
}

export interface Mode {
  readonly is: Registration;
  readonly upstream: UpstreamMode;
  /** whose rhythm the REGISTERs to the PBX have; 'none': there are none */
  readonly rhythmUpstream: 'phone' | 'edge' | 'none';
  /** whose credentials answer the challenges of the PBX; 'trunk': what the edge has as a trunk, if anything */
  readonly credentialsUpstream: 'phone' | 'account' | 'trunk';
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
    upstream: 'pass_through',
    rhythmUpstream: 'phone',
    credentialsUpstream: 'phone',
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
    upstream: 'pass_through',
    rhythmUpstream: 'phone',
    credentialsUpstream: 'phone',
    acceptedBy: 'pbx',
    facesPhone: 'edge',
    contactUpstream: 'sealed',
    indicatesUpstream: false,
    pushUpstream: false,
    calledBy: 'sealed-contact',
    flowGone: 480,
    givesGruu: false,
  },
  throttled: {
    is: 'throttled',
    upstream: 'throttled',
    rhythmUpstream: 'edge',
    credentialsUpstream: 'phone',
    acceptedBy: 'pbx',
    facesPhone: 'edge',
    contactUpstream: 'sealed',
    indicatesUpstream: false,
    pushUpstream: false,
    calledBy: 'sealed-contact',
    flowGone: 480,
    givesGruu: false,
  },
  'on-behalf': {
    is: 'on-behalf',
    upstream: 'on_behalf',
    rhythmUpstream: 'edge',
    credentialsUpstream: 'account',
    acceptedBy: 'edge',
    facesPhone: 'edge',
    // of the phone's own REGISTER; the edge has one of its own there, for the whole AOR
    contactUpstream: 'none',
    indicatesUpstream: false,
    pushUpstream: false,
    calledBy: 'sealed-contact',
    flowGone: 480,
    givesGruu: false,
  },
  registrar: {
    is: 'registrar',
    upstream: 'trunk',
    rhythmUpstream: 'none',
    credentialsUpstream: 'trunk',
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
