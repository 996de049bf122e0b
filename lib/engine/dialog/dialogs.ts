/** All dialogs of the engine by dialog id. Two dialogs cannot share Call-ID and From tag (drachtio-protocol B.6). */
import type { AppLink } from '../control/app-link.ts';
import type { Counters } from '../counters.ts';
import { type Dialog, dialogId } from './dialog.ts';

export class Dialogs {
  readonly #byId = new Map<string, Dialog>();
  readonly #counters: Counters;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  get(id: string): Dialog | undefined {
    return this.#byId.get(id);
  }

  /** False when another dialog has the id already. */
  add(dialog: Dialog): boolean {
    const standing = this.#byId.get(dialog.id);
    if (standing !== undefined) return standing === dialog;
    this.#byId.set(dialog.id, dialog);
    this.#counters.dialogs = this.#byId.size;
    return true;
  }

  /** The dialog a request of the peer belongs to; we may have begun it or they. */
  findFor(callId: string, fromTag: string, toTag: string): Dialog | undefined {
    const theirs = this.#byId.get(dialogId(callId, fromTag));
    if (theirs !== undefined && theirs.localTag === toTag && theirs.remoteTag === fromTag) return theirs;
    const ours = this.#byId.get(dialogId(callId, toTag));
    return ours !== undefined && ours.localTag === toTag && ours.remoteTag === fromTag ? ours : undefined;
  }

  /** Takes a dialog away; its timers stop. */
  remove(dialog: Dialog): void {
    if (dialog.over) return;
    dialog.over = true;
    dialog.pendingAck?.stop();
    dialog.sessionExpiry?.stop();
    if (this.#byId.get(dialog.id) === dialog) this.#byId.delete(dialog.id);
    this.#counters.dialogs = this.#byId.size;
  }

  /** Forgets what a lost app owned. */
  removeOwnedBy(owner: AppLink): void {
    for (const dialog of this.#byId.values()) if (dialog.owner === owner) this.remove(dialog);
  }

  close(): void {
    for (const dialog of this.#byId.values()) this.remove(dialog);
  }
}
