/** Who is to be reached by a request. */
import type { Aor } from '../core/binding.ts';
import type { Side } from '../core/pass-headers.ts';
import type { Dialog } from '../ports/dialog.ts';

/** One device (the PBX called its opaque contact) or every device of the AOR (the edge is the registrar). */
export interface Called {
  readonly aor: Aor;
  readonly bindingId: string | undefined;
  /** who calls: the PBX, or another phone that has proved who it is. What a phone says of its own identity is not passed on. */
  readonly from: Side;
  /** the caller's dialog, made one that wakes him when he is a phone */
  readonly wakeful: (caller: Dialog) => Dialog;
}
