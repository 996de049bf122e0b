/**
 * All dialogs of the engine by the id the app knows them by, and by what the peers say (RFC 3261 12: Call-ID and both tags).
 * The app's id names Call-ID and From tag only. A PBX that forks, or that sends a call of ours back to us, makes two dialogs
 * with one such name; the second one gets an id of its own, where drachtio-server refuses it (drachtio-protocol B.6).
 */
import type { AppLink } from '../control/app-link.ts';
import type { Counters } from '../counters.ts';
import { type Dialog, dialogId } from './dialog.ts';

export class Dialogs {
  readonly #byId = new Map<string, Dialog>();
  /** only those whose id is not the usual one, by what peers say */
  readonly #odd = new Map<string, Dialog>();
  /** ids of dialogs that requests of ours on their way may begin: the app has been told them already */
  readonly #claimed = new Map<string, number>();
  readonly #counters: Counters;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  get(id: string): Dialog | undefined {
    return this.#byId.get(id);
  }

  claim(id: string): void {
    if (id !== '') this.#claimed.set(id, (this.#claimed.get(id) ?? 0) + 1);
  }

  release(id: string): void {
    const left = (this.#claimed.get(id) ?? 0) - 1;
    if (left > 0) this.#claimed.set(id, left);
    else this.#claimed.delete(id);
  }

  /** False when the same dialog, with the same tags, stands already. `ours`: begun by a request of ours, which claimed its id. */
  add(dialog: Dialog, ours: boolean): boolean {
    const standing = this.#byId.get(dialog.id);
    if (standing === dialog) return true;
    if (standing !== undefined || (!ours && this.#claimed.has(dialog.id))) {
      // the same two tags name a dialog that has both its ends here
      dialog.id = ours ? `${dialog.id};fork=${dialog.remoteTag}` : `${dialog.id};to-tag=${dialog.localTag}`;
      if (this.#byId.has(dialog.id)) return false;
      this.#odd.set(spoken(dialog.callId, dialog.localTag, dialog.remoteTag), dialog);
    }
    this.#byId.set(dialog.id, dialog);
    this.#counters.dialogs = this.#byId.size;
    return true;
  }

  /** Of several dialogs that one INVITE of ours began the one that is answered gets the usual name, which apps count on. */
  giveUsualId(dialog: Dialog, usual: string, forks: readonly Dialog[]): void {
    const standing = this.#byId.get(usual);
    if (standing === undefined || standing === dialog || !forks.includes(standing)) return;
    const odd = dialog.id;
    this.#odd.delete(spoken(dialog.callId, dialog.localTag, dialog.remoteTag));
    this.#odd.set(spoken(standing.callId, standing.localTag, standing.remoteTag), standing);
    this.#byId.set(usual, dialog);
    this.#byId.set(odd, standing);
    standing.id = odd;
    dialog.id = usual;
  }

  /** The dialog a request of the peer belongs to; we may have begun it or they. */
  findFor(callId: string, fromTag: string, toTag: string): Dialog | undefined {
    const theirs = this.#byId.get(dialogId(callId, fromTag));
    if (theirs !== undefined && theirs.localTag === toTag && theirs.remoteTag === fromTag) return theirs;
    const ours = this.#byId.get(dialogId(callId, toTag));
    if (ours !== undefined && ours.localTag === toTag && ours.remoteTag === fromTag) return ours;
    return this.#odd.size === 0 ? undefined : this.#odd.get(spoken(callId, toTag, fromTag));
  }

  /** Takes a dialog away; its timers stop. */
  remove(dialog: Dialog): void {
    if (dialog.over) return;
    dialog.over = true;
    dialog.pendingAck?.stop();
    dialog.reliable?.stop();
    dialog.session?.stop();
    dialog.subscriptionEnd?.stop();
    if (this.#byId.get(dialog.id) === dialog) this.#byId.delete(dialog.id);
    const said = spoken(dialog.callId, dialog.localTag, dialog.remoteTag);
    if (this.#odd.get(said) === dialog) this.#odd.delete(said);
    this.#counters.dialogs = this.#byId.size;
  }

  /** A copy: they may be removed on the way. */
  all(): readonly Dialog[] {
    return [...this.#byId.values()];
  }

  /** How many belong to an app that is still there. */
  get owned(): number {
    let count = 0;
    for (const { owner } of this.#byId.values()) if (owner.open) count++;
    return count;
  }

  /** How many belong to an app of another node that is still there. */
  get ofGuests(): number {
    let count = 0;
    for (const { owner } of this.#byId.values()) if (owner.isGuest && owner.open) count++;
    return count;
  }

  /** Forgets what a lost app owned. */
  removeOwnedBy(owner: AppLink): void {
    for (const dialog of this.#byId.values()) if (dialog.owner === owner) this.remove(dialog);
  }

  close(): void {
    for (const dialog of this.#byId.values()) this.remove(dialog);
  }
}

/** Tags and Call-IDs have no line breaks. */
function spoken(callId: string, localTag: string, remoteTag: string): string {
  return `${callId}\n${localTag}\n${remoteTag}`;
}
