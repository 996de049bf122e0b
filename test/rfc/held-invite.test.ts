import { describe, expect, test } from 'vitest';
import { hold, step } from '../../lib/core/held-invite.ts';
import type { HeldInvite } from '../../lib/core/held-state.ts';
import type { HoldEffect, HoldEvent, HoldPolicy, Target } from '../../lib/core/hold-words.ts';

const asleep = (device: string): Target => ({ device, flow: undefined, canPush: true });
const awake = (device: string, flow = 'f1'): Target => ({ device, flow, canPush: true });
const desk = (device: string, flow = 'f9'): Target => ({ device, flow, canPush: false });
const lost = (device: string): Target => ({ device, flow: undefined, canPush: false });

/** One call as a story: every line says what happened and gives what was done about it. */
class Call {
  held: HeldInvite;
  readonly all: string[] = [];
  readonly opening: readonly string[];
  /** who was pushed, had not come, and is to learn the end */
  readonly late: string[] = [];

  constructor(targets: readonly Target[], admitNewDevices = false, words: Partial<HoldPolicy> = {}) {
    const [held, effects] = hold(targets, { admitNewDevices, ...words });
    this.held = held;
    this.opening = this.#note(effects);
  }

  on(event: HoldEvent): readonly string[] {
    const [held, effects] = step(this.held, event);
    this.held = held;
    return this.#note(effects);
  }

  refresh = (device: string, flow = 'f2') => this.on({ is: 'refresh-accepted', device, flow });
  progress = (leg: string, status = 180) => this.on({ is: 'progress', leg, status });
  answered = (leg: string) => this.on({ is: 'answered', leg });
  failed = (leg: string, status: number, local = false) => this.on({ is: 'failed', leg, status, local });
  pushEnded = (device: string, accepted: boolean) => this.on({ is: 'push-ended', device, accepted });

  #note(effects: readonly HoldEffect[]): readonly string[] {
    for (const effect of effects)
      if (effect.do === 'remember-late') this.late.push(`${effect.devices.join(' ')} ${effect.because}`);
    const lines = effects
      .filter((effect) => effect.do !== 'start-silence-timer' && effect.do !== 'remember-late')
      .map(tell);
    this.all.push(...lines);
    return lines;
  }
}

function tell(effect: HoldEffect): string {
  switch (effect.do) {
    case 'push':
    case 'stop-push':
      return `${effect.do} ${effect.device}`;
    case 'start-leg':
      return `start-leg ${effect.leg} ${effect.flow}`;
    case 'cancel-leg':
      return `cancel-leg ${effect.leg} ${effect.because}`;
    case 'refuse':
      return `refuse ${effect.status}`;
    case 'over':
      return `over ${effect.ending} ${effect.fault}`;
    case 'start-silence-timer':
    case 'relay-progress':
    case 'relay-answer':
    case 'relay-failure':
    case 'hang-up':
      return `${effect.do} ${effect.leg}`;
    default:
      return effect.do;
  }
}

describe('waiting', () => {
  test('[PN-PROXY-02] pushes a sleeping device and waits with a bucket timer', () => {
    expect(new Call([asleep('m')]).opening).toEqual(['push m', 'start-bucket-timer']);
  });

  test('[PN-PROXY-06] rings the device over the flow of the accepted refresh', () => {
    const call = new Call([asleep('m')]);
    call.pushEnded('m', true);
    expect(call.refresh('m', 'new')).toEqual(['start-ring-timer', 'start-leg m/1 new', 'stop-bucket-timer']);
  });

  test('[PN-PROXY-12] answers 480 when the bucket timer ends', () => {
    const call = new Call([asleep('m')]);
    call.pushEnded('m', true);
    expect(call.on({ is: 'bucket-timer' })).toEqual(['refuse 480', 'over unreachable device']);
  });

  test('[PN-PROXY-11] answers 480 at once when the push is refused for good', () => {
    expect(new Call([asleep('m')]).pushEnded('m', false)).toEqual([
      'refuse 480',
      'stop-bucket-timer',
      'over unreachable push-service',
    ]);
  });

  test('[PN-PROXY-09] answers 480 at once when the registrar refuses the refresh', () => {
    const call = new Call([asleep('m')]);
    expect(call.on({ is: 'refresh-rejected', device: 'm', status: 403 })).toEqual([
      'stop-push m',
      'refuse 480',
      'stop-bucket-timer',
      'over unreachable device',
    ]);
  });

  test('[PN-DEREG-07] answers 480 at once when the binding is removed', () => {
    const call = new Call([asleep('m')]);
    expect(call.on({ is: 'binding-removed', device: 'm' })).toContain('refuse 480');
  });

  test('[PN-PROXY-20] a cancel while waiting stops the push, and a later refresh forwards nothing', () => {
    const call = new Call([asleep('m')]);
    expect(call.on({ is: 'cancelled' })).toEqual(['stop-push m', 'stop-bucket-timer', 'over cancelled none']);
    expect(call.refresh('m')).toEqual([]);
  });

  test('[PN-PROXY-28] answers 487 when the INVITE expires', () => {
    const call = new Call([asleep('m'), awake('d')]);
    expect(call.on({ is: 'expires' })).toEqual([
      'refuse 487',
      'cancel-leg d/1 timeout',
      'stop-push m',
      'stop-bucket-timer',
    ]);
    expect(call.failed('d/1', 487)).toEqual(['over cancelled caller']);
  });

  test('[PN-PROXY-32] a refresh that no push has caused rings all the same', () => {
    const call = new Call([asleep('m')]);
    expect(call.refresh('m')).toContain('start-leg m/1 f2');
    expect(call.all).toContain('stop-push m');
  });

  test('[PN-PROXY-07] a refresh of another device leaves the call where it is', () => {
    const call = new Call([asleep('m')]);
    expect(call.refresh('other')).toEqual([]);
  });

  test('nobody to ring is 480, never 404 or 408', () => {
    expect(new Call([lost('m')]).opening).toEqual(['refuse 480', 'over unreachable device']);
    expect(new Call([]).opening).toEqual(['refuse 480', 'over unreachable device']);
  });
});

describe('one INVITE for one device', () => {
  test('[EDGE-PRX-04] a burst of refreshes starts one leg', () => {
    const call = new Call([asleep('m')]);
    call.refresh('m', 'a');
    call.refresh('m', 'a');
    call.refresh('m', 'b');
    call.progress('m/1');
    call.refresh('m', 'c');
    expect(call.all.filter((line) => line.startsWith('start-leg'))).toEqual(['start-leg m/1 a']);
  });

  test('a second flow before any 1xx waits until the first proves silent, then the leg moves there', () => {
    const call = new Call([asleep('m')]);
    call.refresh('m', 'a');
    expect(call.refresh('m', 'b')).toEqual([]);
    expect(call.on({ is: 'silence', leg: 'm/1' })).toEqual(['cancel-leg m/1 moved', 'start-leg m/2 b']);
    expect(call.failed('m/1', 487)).toEqual([]);
    expect(call.progress('m/2')).toEqual(['relay-progress m/2']);
  });

  test('a second flow is taken at once when the first fails', () => {
    const call = new Call([asleep('m')]);
    call.refresh('m', 'a');
    call.refresh('m', 'b');
    expect(call.failed('m/1', 503, true)).toEqual(['start-leg m/2 b']);
  });

  test('a refresh over the flow of the first leg takes the newer one back', () => {
    const call = new Call([asleep('m')]);
    call.refresh('m', 'a');
    call.refresh('m', 'b');
    call.refresh('m', 'a');
    expect(call.on({ is: 'silence', leg: 'm/1' })).toEqual([]);
  });

  test('a 199 ends the early dialog of one device and is kept from the caller, who has one for all', () => {
    const call = new Call([awake('m', 'a')]);
    expect(call.on({ is: 'progress', leg: 'm/1', status: 183 })).toEqual(['relay-progress m/1']);
    expect(call.on({ is: 'progress', leg: 'm/1', status: 199 })).toEqual([]);
  });

  test('the answer of a leg that was moved is hung up, as the engine will do anyway, and the other one rings on', () => {
    const call = new Call([awake('m', 'a')]);
    call.on({ is: 'silence', leg: 'm/1' });
    call.refresh('m', 'b');
    expect(call.answered('m/1')).toEqual(['hang-up m/1']);
    expect(call.answered('m/2')).toEqual(['relay-answer m/2', 'over answered none']);
  });

  test('a device that has declined or rung is not called again', () => {
    const call = new Call([awake('m'), desk('d')]);
    call.failed('m/1', 486);
    expect(call.refresh('m')).toEqual([]);
    call.progress('d/1');
    call.failed('d/1', 503, true);
    expect(call.held.at).toBe('over');
  });
});

describe('two flows of one phone', () => {
  test('[PN-INT-03] get one INVITE, over the one that is alive', () => {
    const call = new Call([asleep('m'), awake('m', 'a'), awake('m', 'b')]);
    expect(call.opening).toEqual(['start-ring-timer', 'start-leg m/1 a']);
  });

  test('[PN-INT-03] get one push and one INVITE when both come back', () => {
    const call = new Call([asleep('m'), asleep('m')]);
    expect(call.opening).toEqual(['push m', 'start-bucket-timer']);
    call.refresh('m', 'a');
    call.progress('m/1');
    expect(call.refresh('m', 'b')).toEqual([]);
  });

  test('[EDGE-OUT-09] the next one is tried when the first is dead, and not after an answer', () => {
    const call = new Call([awake('m', 'a')]);
    call.refresh('m', 'b');
    expect(call.failed('m/1', 430)).toEqual(['start-leg m/2 b']);
    expect(call.failed('m/2', 486)).toEqual(['relay-failure m/2', 'over refused none']);
  });
});

describe('a flow that may be dead', () => {
  test('[PN-PROXY-30] a live flow is tried without a push', () => {
    expect(new Call([awake('m')]).opening).toEqual(['start-ring-timer', 'start-leg m/1 f1']);
  });

  for (const status of [503, 408, 410, 430]) {
    test(`[PN-INT-04] a flow that fails with a local ${status} leads to a push and a wait`, () => {
      const call = new Call([awake('m')]);
      expect(call.failed('m/1', status, true)).toEqual(['push m', 'start-bucket-timer']);
      expect(call.refresh('m')).toEqual(['stop-push m', 'start-leg m/2 f2', 'stop-bucket-timer']);
    });
  }

  test('[PN-INT-05] 430 of a proxy on the way is a dead flow too', () => {
    expect(new Call([awake('m')]).failed('m/1', 430)).toEqual(['push m', 'start-bucket-timer']);
  });

  test('[PN-PROXY-12] a dead flow is never the answer to the caller', () => {
    expect(new Call([desk('d')]).failed('d/1', 430)).toEqual(['refuse 480', 'over unreachable device']);
  });

  test('a device that cannot be pushed has failed with its flow', () => {
    expect(new Call([desk('d')]).failed('d/1', 503, true)).toEqual(['refuse 480', 'over unreachable device']);
  });

  test('silence leads to a push while the leg stays', () => {
    const call = new Call([awake('m')]);
    expect(call.on({ is: 'silence', leg: 'm/1' })).toEqual(['push m', 'start-bucket-timer']);
    expect(call.refresh('m', 'b')).toEqual([
      'cancel-leg m/1 moved',
      'stop-push m',
      'start-leg m/2 b',
      'stop-bucket-timer',
    ]);
  });

  test('a silent leg over the flow of the refresh is already there', () => {
    const call = new Call([awake('m', 'a')]);
    call.on({ is: 'silence', leg: 'm/1' });
    expect(call.refresh('m', 'a')).toEqual(['stop-push m', 'stop-bucket-timer']);
    expect(call.failed('m/1', 408, true)).toEqual(['push m', 'start-bucket-timer']);
  });

  test('a push that has led to a refresh is spent: the next failure needs a new one', () => {
    const call = new Call([awake('m', 'a')]);
    call.on({ is: 'silence', leg: 'm/1' });
    call.pushEnded('m', true);
    call.refresh('m', 'a');
    expect(call.failed('m/1', 408, true)).toEqual(['push m', 'start-bucket-timer']);
  });

  test('a 100 or 180 of a silent leg ends the waiting', () => {
    const call = new Call([awake('m')]);
    call.on({ is: 'silence', leg: 'm/1' });
    expect(call.progress('m/1', 100)).toEqual(['stop-push m', 'stop-bucket-timer']);
    expect(call.progress('m/1', 180)).toEqual(['relay-progress m/1']);
    expect(call.refresh('m', 'b')).toEqual([]);
  });

  test('a silent leg that fails leaves the push to be waited for', () => {
    const call = new Call([awake('m')]);
    call.on({ is: 'silence', leg: 'm/1' });
    call.pushEnded('m', true);
    expect(call.failed('m/1', 408, true)).toEqual([]);
    expect(call.refresh('m')).toContain('start-leg m/2 f2');
  });

  test('[PN-PROXY-12] a silent leg is given up with the bucket timer', () => {
    const call = new Call([awake('m')]);
    call.on({ is: 'silence', leg: 'm/1' });
    expect(call.on({ is: 'bucket-timer' })).toEqual(['stop-push m', 'cancel-leg m/1 timeout', 'refuse 480']);
    expect(call.answered('m/1')).toEqual(['hang-up m/1', 'over unreachable device']);
  });

  test('a woken phone that loses its flow again is pushed once more and no further', () => {
    const call = new Call([asleep('m')]);
    call.refresh('m', 'a');
    expect(call.failed('m/1', 410, true)).toEqual(['push m', 'start-bucket-timer']);
    call.refresh('m', 'b');
    expect(call.failed('m/2', 410, true)).toEqual(['refuse 480', 'over unreachable device']);
  });

  test('a woken phone that is silent is not pushed again', () => {
    const call = new Call([asleep('m')]);
    call.refresh('m', 'a');
    expect(call.on({ is: 'silence', leg: 'm/1' })).toEqual([]);
  });

  test('[PN-PROXY-11] a silent phone whose push is refused for good is given up at once', () => {
    const call = new Call([awake('m')]);
    call.on({ is: 'silence', leg: 'm/1' });
    expect(call.pushEnded('m', false)).toEqual(['cancel-leg m/1 timeout', 'refuse 480', 'stop-bucket-timer']);
    expect(call.failed('m/1', 487)).toEqual(['over unreachable push-service']);
  });

  test('[PN-PROXY-11] a phone that gave a sign of life keeps ringing whatever the push service says', () => {
    const call = new Call([awake('m')]);
    call.on({ is: 'silence', leg: 'm/1' });
    call.progress('m/1', 180);
    expect(call.pushEnded('m', false)).toEqual([]);
    expect(call.answered('m/1')).toContain('relay-answer m/1');
  });
});

describe('several devices', () => {
  test('[PN-PROXY-23] plain devices ring at once while others are woken, and the last one standing answers', () => {
    const call = new Call([desk('d'), asleep('m')]);
    expect(call.opening).toEqual(['push m', 'start-ring-timer', 'start-leg d/1 f9', 'start-bucket-timer']);
    expect(call.failed('d/1', 486)).toEqual([]);
    call.refresh('m');
    expect(call.answered('m/1')).toEqual(['relay-answer m/1', 'over answered none']);
  });

  test('[PN-PROXY-24] an answer drops those that still sleep and cancels those that ring', () => {
    const call = new Call([desk('d'), desk('e'), asleep('m')]);
    expect(call.answered('d/1')).toEqual([
      'relay-answer d/1',
      'cancel-leg e/1 answered-elsewhere',
      'stop-push m',
      'stop-bucket-timer',
    ]);
    expect(call.refresh('m')).toEqual([]);
    expect(call.failed('e/1', 487)).toEqual(['over answered none']);
  });

  test('[EDGE-PRX-10] a 6xx is passed on at once and nobody new is called', () => {
    const call = new Call([desk('d'), desk('e'), asleep('m')]);
    expect(call.failed('d/1', 603)).toEqual([
      'relay-failure d/1',
      'cancel-leg e/1 refused-elsewhere',
      'stop-push m',
      'stop-bucket-timer',
    ]);
    expect(call.refresh('m')).toEqual([]);
    expect(call.failed('e/1', 487)).toEqual(['over refused none']);
  });

  test('[PN-PROXY-25] a device that missed the bucket timer may still come while another rings', () => {
    const call = new Call([desk('d'), asleep('m')]);
    call.progress('d/1');
    expect(call.on({ is: 'bucket-timer' })).toEqual(['stop-push m']);
    expect(call.refresh('m')).toEqual(['start-leg m/1 f2']);
  });

  test('[PN-PROXY-25] a device nobody knew joins an open call where new devices are admitted', () => {
    expect(new Call([desk('d')], true).refresh('n', 'f5')).toEqual(['start-leg n/1 f5']);
    expect(new Call([desk('d')], false).refresh('n', 'f5')).toEqual([]);
  });

  test('[PN-INT-18] nobody joins once the caller is answered', () => {
    const call = new Call([desk('d'), desk('e')], true);
    call.answered('d/1');
    expect(call.refresh('n')).toEqual([]);
  });

  test('[EDGE-PRX-09] the best answer of the devices goes back when all have failed', () => {
    const call = new Call([desk('d'), desk('e'), asleep('m')]);
    call.failed('d/1', 503);
    call.failed('e/1', 486);
    expect(call.on({ is: 'bucket-timer' })).toEqual(['stop-push m', 'relay-failure e/1', 'over refused none']);
  });

  test('[EDGE-PRX-09] 503 alone becomes 500', () => {
    expect(new Call([desk('d')]).failed('d/1', 503)).toEqual(['refuse 500', 'over failed device']);
  });

  test('[PN-INT-04] one dead token does not end the wait for the other device', () => {
    const call = new Call([asleep('m'), asleep('n')]);
    expect(call.pushEnded('m', false)).toEqual([]);
    expect(call.refresh('n')).toContain('start-leg n/1 f2');
  });
});

describe('crossing messages', () => {
  test('[PN-PROXY-20] a cancel while ringing cancels the legs and sends nothing to the caller', () => {
    const call = new Call([desk('d')]);
    expect(call.on({ is: 'cancelled' })).toEqual(['cancel-leg d/1 caller-cancelled']);
    expect(call.failed('d/1', 487)).toEqual(['over cancelled none']);
  });

  test('a 2xx that crosses the cancel is hung up', () => {
    const call = new Call([desk('d')]);
    call.on({ is: 'cancelled' });
    expect(call.answered('d/1')).toEqual(['hang-up d/1', 'over cancelled none']);
    expect(call.answered('d/1')).toEqual(['hang-up d/1']);
  });

  test('the second of two 2xx is hung up', () => {
    const call = new Call([desk('d'), desk('e')]);
    call.answered('d/1');
    expect(call.answered('e/1')).toEqual(['hang-up e/1', 'over answered none']);
  });

  test('[EDGE-PRX-12] the ring timer stands for Timer C: the best answer or 480 when it ends, and CANCEL to who still rings', () => {
    const call = new Call([desk('d')]);
    call.progress('d/1');
    expect(call.on({ is: 'ring-timer' })).toEqual(['refuse 480', 'cancel-leg d/1 timeout']);
  });

  test('a drain refuses what only waits and lets what rings ring on', () => {
    expect(new Call([asleep('m')]).on({ is: 'drain' })).toEqual([
      'stop-push m',
      'refuse 503',
      'stop-bucket-timer',
      'over failed edge',
    ]);
    const call = new Call([asleep('m'), desk('d')]);
    expect(call.on({ is: 'drain' })).toEqual(['stop-push m', 'stop-bucket-timer']);
    expect(call.refresh('m')).toEqual([]);
    expect(call.answered('d/1')).toEqual(['relay-answer d/1', 'over answered none']);
  });

  test('a second drain ends the call', () => {
    const call = new Call([desk('d')]);
    call.on({ is: 'drain' });
    expect(call.on({ is: 'drain' })).toEqual(['refuse 503', 'cancel-leg d/1 timeout']);
  });
});

describe('what one phone says', () => {
  const both = [awake('m'), desk('d')];

  test('486 is for one phone and 603 for all, unless told otherwise (RFC 3261 21.4.24, 21.6.2)', () => {
    expect(new Call(both).failed('m/1', 486)).toEqual([]);
    expect(new Call(both).failed('m/1', 603)).toEqual(['relay-failure m/1', 'cancel-leg d/1 refused-elsewhere']);
  });

  test('486 for all ends the call, but not that of a leg which was given up: the phone rings already', () => {
    const busy = { busy: 'all' } as const;
    expect(new Call(both, false, busy).failed('m/1', 486)).toEqual([
      'relay-failure m/1',
      'cancel-leg d/1 busy-elsewhere',
    ]);
    const moved = new Call([awake('m', 'a')], false, busy);
    moved.on({ is: 'silence', leg: 'm/1' });
    moved.refresh('m', 'b');
    expect(moved.failed('m/1', 486)).toEqual([]);
    expect(moved.held.at).toBe('open');
  });

  test('603 for one phone lets the others ring on, and is the answer when nobody takes the call', () => {
    const call = new Call(both, false, { decline: 'device' });
    expect(call.failed('m/1', 603)).toEqual([]);
    expect(call.failed('d/1', 486)).toEqual(['relay-failure m/1', 'over refused none']);
    expect(new Call(both, false, { decline: 'device' }).failed('m/1', 600)).toContain('relay-failure m/1');
  });
});

describe('a phone that comes too late', () => {
  test('[PN-PROXY-20] is remembered when it was pushed and the caller gives up', () => {
    const call = new Call([asleep('m')]);
    call.pushEnded('m', true);
    call.on({ is: 'cancelled' });
    expect(call.late).toEqual(['m caller-cancelled']);
  });

  test('[PN-PROXY-20] is remembered when another one answers, after its bucket timer too', () => {
    const call = new Call([asleep('m'), desk('d')]);
    call.pushEnded('m', true);
    call.on({ is: 'bucket-timer' });
    call.answered('d/1');
    expect(call.late).toEqual(['m answered-elsewhere']);
  });

  test('[PN-PROXY-20] is not remembered when it has the INVITE, or no push reached it', () => {
    const rings = new Call([asleep('m')]);
    rings.refresh('m');
    rings.on({ is: 'cancelled' });
    const silent = new Call([awake('m'), desk('d')]);
    silent.on({ is: 'silence', leg: 'm/1' });
    silent.failed('m/1', 603);
    const refused = new Call([asleep('m'), desk('d')]);
    refused.pushEnded('m', false);
    refused.answered('d/1');
    expect([rings, silent, refused].map(({ held, late }) => [held.at === 'open', late])).toEqual([
      [false, []],
      [false, []],
      [false, []],
    ]);
  });
});
