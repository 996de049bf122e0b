/** Who is to be reached by a request. */
import type { Aor, Binding } from '../core/binding.ts';
import type { Side } from '../core/pass-headers.ts';
import type { Dialog } from '../ports/dialog.ts';
import type { SipResponse } from '../sip/message.ts';

/** One phone (the PBX called its Contact, or somebody its GRUU) or every phone of the AOR (the edge is the registrar). */
export interface Called {
  readonly aor: Aor;
  /** the id of a binding or the name of the instance it belongs to (binding-set answersTo) */
  readonly bindingId: string | undefined;
  /** when the request came, ms since the epoch: who has registered since is awake */
  readonly arrivedAt?: number;
  /** what the sender hears when a phone that cannot be pushed has lost its flow */
  readonly flowGone: 430 | 480;
  /** what the PBX is told while a phone wakes; nothing when left out */
  readonly earlyRinging?: 180 | 183 | undefined;
  /** who calls: the PBX, or another phone that has proved who it is. What a phone says of its own identity is not passed on. */
  readonly from: Side;
  /** the phone that calls, when it is one of ours and known */
  readonly sender?: Binding | undefined;
  /** how the PBX reaches us, as Domain has it */
  readonly edgeHost: string;
  /** the caller's dialog, made one that wakes him when he is a phone */
  readonly wakeful: (caller: Dialog) => Dialog;
  /** Takes the call over when its phones send it elsewhere (3xx); false: the caller is told. When left out he always is. */
  readonly redirected?: (response: SipResponse) => boolean;
  /** what the INVITE says of the way the call took here, beyond what its caller says */
  readonly diverted?: readonly (readonly [name: string, value: string])[];
}
