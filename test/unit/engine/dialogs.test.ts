import { beforeEach, describe, expect, it } from 'vitest';
import { zeroCounters } from '../../../lib/engine/counters.ts';
import { Dialog, type DialogStart, dialogId } from '../../../lib/engine/dialog/dialog.ts';
import { Dialogs } from '../../../lib/engine/dialog/dialogs.ts';

const callId = 'one@pbx';
const tag = 'caller';
/** what a dialog needs to be kept and found; it sends nothing here */
const nothing = { owner: {}, flow: {} } as unknown as Pick<DialogStart, 'owner' | 'flow'>;

function aDialog(side: 'called' | 'calling', other: string): Dialog {
  const [localTag, remoteTag] = side === 'called' ? [other, tag] : [tag, other];
  const facts = { local: '', remote: '', localSeq: 1, remoteSeq: 1, target: '', routes: [], alongFlow: true };
  return new Dialog({ ...nothing, ...facts, id: dialogId(callId, tag), callId, localTag, remoteTag });
}

describe('dialogs with one Call-ID and one From tag', () => {
  const counters = zeroCounters();
  let dialogs: Dialogs;
  beforeEach(() => {
    dialogs = new Dialogs(counters);
  });

  it('keeps those of a PBX that forks apart, and the first has the id drachtio-server would give it', () => {
    const [left, right, third] = [aDialog('called', 'left'), aDialog('called', 'right'), aDialog('called', 'third')];
    for (const dialog of [left, right, third]) expect(dialogs.add(dialog)).toBe(true);
    expect(left.id).toBe(dialogId(callId, tag));
    expect(new Set([left.id, right.id, third.id]).size).toBe(3);
    for (const dialog of [left, right, third]) {
      expect(dialogs.get(dialog.id)).toBe(dialog);
      expect(dialogs.findFor(callId, tag, dialog.localTag)).toBe(dialog);
    }
    expect(dialogs.findFor(callId, tag, 'somebody')).toBeUndefined();
  });

  it('finds the others when the first is over, and gives nobody the id of a living one', () => {
    const [left, right] = [aDialog('called', 'left'), aDialog('called', 'right')];
    dialogs.add(left);
    dialogs.add(right);
    dialogs.remove(left);
    expect(dialogs.findFor(callId, tag, 'left')).toBeUndefined();
    expect(dialogs.findFor(callId, tag, 'right')).toBe(right);
    const [again, more] = [aDialog('called', 'again'), aDialog('called', 'more')];
    dialogs.add(again);
    dialogs.add(more);
    expect(new Set([again.id, right.id, more.id]).size).toBe(3);
    for (const dialog of [right, again, more]) dialogs.remove(dialog);
    expect(counters.dialogs).toBe(0);
    expect(dialogs.findFor(callId, tag, 'right')).toBeUndefined();
  });

  it('keeps both ends of a call that passes the engine twice', () => {
    const [callee, caller] = [aDialog('called', 'phone'), aDialog('calling', 'phone')];
    callee.confirmed = true;
    expect([dialogs.add(callee), dialogs.add(caller)]).toEqual([true, true]);
    // from the caller to the callee, and the other way round
    expect(dialogs.findFor(callId, tag, 'phone')).toBe(callee);
    expect(dialogs.findFor(callId, 'phone', tag)).toBe(caller);
    expect(dialogs.get(caller.id)).toBe(caller);
  });

  it('refuses an answer to an INVITE that an answered call of ours has copied, as drachtio-server does', () => {
    const ours = aDialog('calling', 'phone');
    dialogs.add(ours);
    ours.confirmed = true;
    expect(dialogs.add(aDialog('called', 'us'))).toBe(false);
    expect(dialogs.get(ours.id)).toBe(ours);
    expect(counters.dialogs).toBe(1);
  });
});
