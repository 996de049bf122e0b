/** What pass-through and mid-registrar do differently with one REGISTER: how it looks to the PBX, and its answer to the phone. */
import type { Binding } from '../core/binding.ts';
import type { Headers } from '../sip/headers.ts';
import type { SipResponse } from '../sip/message.ts';
import type { Granted } from './commit.ts';
import type { Asked, RegisterDeps } from './read-register.ts';

export interface Form {
  /** header fields of the REGISTER to the PBX; those of one hop are left out before, Max-Forwards is there */
  request(headers: Headers, asked: Asked, deps: RegisterDeps): Headers;
  /** whether header fields of this name pass back */
  readonly passesBack: (key: string) => boolean;
  /** what the PBX granted to each contact */
  granted(asked: Asked, response: SipResponse, deps: RegisterDeps): readonly Granted[] | '*';
  /** the header fields of the 2xx; `passed` are those of the PBX that pass */
  answer(passed: Headers, accepted: Accepted, deps: RegisterDeps): Headers;
}

export interface Accepted {
  readonly asked: Asked;
  readonly response: SipResponse;
  readonly granted: readonly Granted[] | '*';
  readonly bindings: readonly Binding[];
}
