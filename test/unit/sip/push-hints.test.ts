import { describe, expect, it } from 'vitest';
import { pushHints } from '../../../lib/sip/push-hints.ts';

const contact = (params: string): string => `<sip:alice@192.0.2.1;transport=tls;${params}>;expires=600`;
const p256dh = 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4';

describe('hints of a Contact', () => {
  it('[DIA-10] reads what Linphone sends beside RFC 8599', () => {
    expect(
      pushHints(
        contact(
          'pn-provider=apns;pn-prid=ab:voip;pn-silent=1;pn-timeout=0;pn-msg-str=IM_MSG;pn-call-str=IC_MSG;pn-groupchat-str=GC_MSG;pn-call-snd=notes_of_the_optimistic.caf;pn-msg-snd=msg.caf;pn-call-remote-push-interval=5',
        ),
      ),
    ).toEqual({
      callText: 'IC_MSG',
      messageText: 'IM_MSG',
      groupText: 'GC_MSG',
      callSound: 'notes_of_the_optimistic.caf',
      messageSound: 'msg.caf',
      silent: true,
      timeoutSeconds: 0,
      repeatSeconds: 5,
    });
  });

  it('takes the keys of a subscription together or not at all', () => {
    const auth = 'BTBZMqHH6r4Tts7J_aSIgg';
    expect(pushHints(contact(`pn-p256dh=${p256dh};pn-auth=${auth}`))).toEqual({ keys: { p256dh, auth } });
    expect(pushHints(contact(`pn-p256dh=${p256dh}`))).toEqual({});
    expect(pushHints(contact(`pn-p256dh=${p256dh};pn-auth=short`))).toEqual({});
  });

  it('leaves out what is none of it: other bytes, numbers out of range, Contacts that cannot be read', () => {
    expect(
      pushHints(contact('pn-call-str=%00x;pn-call-snd=a%2Fb;pn-timeout=x;pn-call-remote-push-interval=31')),
    ).toEqual({});
    expect(pushHints(contact('ob'))).toBeUndefined();
    expect(pushHints('*pn-silent')).toBeUndefined();
  });
});
