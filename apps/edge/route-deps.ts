/** What the routes of the edge need, and what they hand to each other. */
import type { LocationStore } from '../../lib/ports/location-store.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { Telemetry } from '../../lib/ports/telemetry.ts';
import type { RegisterDeps } from '../../lib/register/read-register.ts';
import type { RegEventDeps } from '../../lib/reg-event/serve-reg-event.ts';
import type { Login } from '../../lib/behalf/credentials.ts';
import type { PlaceCallDeps } from '../../lib/relay/place-call.ts';
import type { SubscribeDeps } from '../../lib/relay/place-subscription.ts';
import type { StandaloneDeps } from '../../lib/relay/standalone.ts';
import type { HoldSubscribeDeps } from '../../lib/wake/hold-subscribe.ts';
import type { WakeDeps } from '../../lib/wake/wake.ts';
import type { AuthenticateDeps } from './middleware/authenticate.ts';
import type { Classified as Any, Classifier } from './middleware/classify.ts';

export interface RouteDeps {
  readonly classifier: Classifier;
  readonly authenticate: AuthenticateDeps;
  readonly register: RegisterDeps;
  readonly wake: WakeDeps & HoldSubscribeDeps;
  readonly subscribe: SubscribeDeps;
  readonly regEvent: RegEventDeps;
  readonly placeCall: PlaceCallDeps;
  readonly standalone: StandaloneDeps;
  readonly store: LocationStore;
  readonly now: () => number;
  readonly log: Log;
  readonly telemetry: Telemetry;
  readonly draining: () => boolean;
  /** REGISTERs are for one of the other edges: this one ends; never when left out */
  readonly sendsPhonesAway?: () => boolean;
  /** the edge itself goes where a phone sends a call by 3xx */
  readonly followsRedirects?: boolean;
  /** what the edge proves itself with to the PBX of an AOR whose account it holds; when left out it holds none */
  readonly loginOf?: (aor: string) => Promise<Login | undefined>;
}

export type Found = Exclude<Any, { is: 'along-path' } | { is: 'in-dialog' }>;

/** `arrivedAt`: ms since the epoch, before anything was waited for */
export type Classified = Found & { readonly arrivedAt: number };

/** What strangers can have us say as often as they like. */
export const sentences = {
  refused: 'request refused',
  notRegistered: 'request from a phone that is not registered from there',
  failed: 'request failed',
  ownContact: 'your PBX sent back our own contact: its route for this domain leads to the edge',
  ownRequest: 'your PBX sent back our own request: its route for this domain leads to the edge',
} as const;
