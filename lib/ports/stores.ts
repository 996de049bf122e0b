/** Everything an edge keeps, and how edges on one store hear of each other. */
import type { Agenda } from './agenda.ts';
import type { LocationStore } from './location-store.ts';
import type { MailStore } from './mail-store.ts';
import type { NodeBus } from './node-bus.ts';
import type { NodeDirectory } from './node-directory.ts';
import type { Records } from './records.ts';
import type { TokenOwners } from './token-owners.ts';

export interface Stores {
  readonly store: LocationStore;
  readonly bus: NodeBus;
  /** of refresh pushes */
  readonly agenda: Agenda;
  readonly mail: MailStore;
  readonly records: Records;
  /** of registrations at PBXs */
  readonly registrations: Agenda;
  readonly owners: TokenOwners;
  readonly nodes: NodeDirectory;
  /** our address towards the store; undefined when it is in this process, or not known now */
  readonly localAddress: () => string | undefined;
}
