/**
 * All dialogs of the engine by dialog id. Dialogs may share Call-ID and From tag: a PBX that forks calls two phones of ours with both,
 * and a call between two phones passes us twice. The first has the id drachtio-server would give it, the others a number behind it.
 */
import type { AppLink } from '../control/app-link.ts';
import type { Counters } from '../counters.ts';
import { type Dialog, dialogId } from './dialog.ts';

export class Dialogs {
  readonly #byId = new Map<string, Dialog>();
  /** the others, by the id they would have had */
  readonly #others = new Map<string, Set<Dialog>>();
  readonly #counters: Counters;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  get(id: string): Dialog | undefined {
    return this.#byId.get(id);
  }

  /**
   * Keeps a new dialog, under another id when its usual one is taken. False when a call of ours that is answered has it: the caller's
   * Call-ID and From tag were used for the other leg as well, which drachtio-server does not allow (drachtio-protocol B.6).
   */
  add(dialog: Dialog): boolean {
    const { usualId } = dialog;
    const standing = this.#byId.get(usualId);
    if (standing !== undefined) {
      const begunByUs = dialogId(standing.callId, standing.localTag) === usualId;
      if (begunByUs && standing.confirmed) return false;
      for (let number = 2; this.#byId.has(dialog.id); number++) dialog.id = `${usualId};n=${number}`;
      const others = this.#others.get(usualId);
      if (others === undefined) this.#others.set(usualId, new Set([dialog]));
      else others.add(dialog);
    }
    this.#byId.set(dialog.id, dialog);
    this.#counters.dialogs = this.#byId.size;
    return true;
  }

  /** The dialog a request of the peer belongs to; we may have begun it or they. */
  findFor(callId: string, fromTag: string, toTag: string): Dialog | undefined {
    for (const usual of [dialogId(callId, fromTag), dialogId(callId, toTag)]) {
      for (const dialog of [this.#byId.get(usual), ...(this.#others.get(usual) ?? [])])
        if (dialog?.localTag === toTag && dialog.remoteTag === fromTag) return dialog;
    }
    return undefined;
  }

  /** Takes a dialog away; its timers stop. */
  remove(dialog: Dialog): void {
    if (dialog.over) return;
    dialog.over = true;
    dialog.pendingAck?.stop();
    dialog.sessionExpiry?.stop();
    if (this.#byId.get(dialog.id) === dialog) this.#byId.delete(dialog.id);
    const others = this.#others.get(dialog.usualId);
    if (others?.delete(dialog) === true && others.size === 0) this.#others.delete(dialog.usualId);
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
