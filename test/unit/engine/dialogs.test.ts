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
  const facts: Omit<DialogStart, 'id' | 'callId' | 'owner' | 'flow' | 'localTag' | 'remoteTag'> = {
    local: '',
    remote: '',
    localSeq: 1,
    remoteSeq: 1,
    target: '',
    routes: [],
    alongFlow: true,
    behindNat: false,
    begunBy: 'INVITE',
    ours: side === 'calling',
  };
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
    for (const dialog of [left, right, third]) expect(dialogs.add(dialog, false)).toBe(true);
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
    dialogs.add(left, false);
    dialogs.add(right, false);
    dialogs.remove(left);
    expect(dialogs.findFor(callId, tag, 'left')).toBeUndefined();
    expect(dialogs.findFor(callId, tag, 'right')).toBe(right);
    const [again, more] = [aDialog('called', 'again'), aDialog('called', 'more')];
    dialogs.add(again, false);
    dialogs.add(more, false);
    expect(new Set([again.id, right.id, more.id]).size).toBe(3);
    for (const dialog of [right, again, more]) dialogs.remove(dialog);
    expect(counters.dialogs).toBe(0);
    expect(dialogs.findFor(callId, tag, 'right')).toBeUndefined();
  });

  it('keeps both ends of a call that passes the engine twice', () => {
    const [callee, caller] = [aDialog('called', 'phone'), aDialog('calling', 'phone')];
    callee.confirmed = true;
    expect([dialogs.add(callee, false), dialogs.add(caller, false)]).toEqual([true, true]);
    // from the caller to the callee, and the other way round
    expect(dialogs.findFor(callId, tag, 'phone')).toBe(callee);
    expect(dialogs.findFor(callId, 'phone', tag)).toBe(caller);
    expect(dialogs.get(caller.id)).toBe(caller);
  });

  it('keeps the id of a call of ours that is still on its way for that call', () => {
    dialogs.claim(dialogId(callId, tag));
    const [callee, caller] = [aDialog('called', 'phone'), aDialog('calling', 'phone')];
    expect([dialogs.add(callee, false), dialogs.add(caller, true)]).toEqual([true, true]);
    expect(caller.id).toBe(dialogId(callId, tag));
    expect(dialogs.get(callee.id)).toBe(callee);
    dialogs.release(dialogId(callId, tag));
    for (const dialog of [callee, caller]) dialogs.remove(dialog);
    const next = aDialog('called', 'next');
    dialogs.add(next, false);
    expect(next.id).toBe(dialogId(callId, tag));
  });
});
