/** Session timers and what else a whole call carries: both ways through the edge, over UDP and TCP. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Dialog } from '../../apps/demo/calls.ts';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { places } from '../support/edge.ts';
import { anOffer, Bed } from '../support/test-bed.ts';

/** With video, ICE, an unknown attribute, bandwidth, and line ends as they are. */
const video = [
  'v=0',
  'o=- 77 1 IN IP4 198.51.100.7',
  's=call with video',
  'b=AS:2048',
  't=0 0',
  'a=group:BUNDLE audio video',
  'm=audio 49170 RTP/SAVPF 111 101',
  'c=IN IP4 198.51.100.7',
  'a=rtpmap:111 opus/48000/2',
  'a=candidate:1 1 udp 2130706431 192.168.1.9 49170 typ host',
  'm=video 51372 RTP/SAVPF 96 97',
  'c=IN IP4 198.51.100.7',
  'a=rtpmap:96 H264/90000',
  'a=fmtp:96 profile-level-id=42e01f;packetization-mode=1',
  'a=rtcp-fb:96 nack pli',
  'a=x-nobody-knows: this ; at = all ',
  'm=application 0 UDP/BFCP *',
  '',
].join('\r\n');
/** Octets, not text: a part that is no UTF-8, and a boundary with blanks. */
const octets = Buffer.from([0x01, 0x80, 0xff, 0xc3, 0x28, 0x0d, 0x0a]).toString('latin1');
const multipart = `preamble\r\n--one two\r\nContent-Type: application/sdp\r\n\r\n${video}\r\n--one two\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n${octets}\r\n--one two--\r\nepilogue`;
const sdpType = ['Content-Type', 'application/sdp'] as const;

describe.each(['udp', 'tcp'] as const)('a call over %s', (transport) => {
  let bed: Bed;
  let pbx: Dialog;
  let phone: Dialog;
  let count = 0;

  beforeAll(async () => {
    bed = await Bed.open({ transport });
  });
  afterAll(() => bed.close());

  beforeEach(async () => {
    count += 1;
    const device = bed.phone(`user${count}`, { transport, plain: true });
    await device.register();
    const timers = (refresher: string): Headers =>
      Headers.of([
        ['Supported', 'timer'],
        ['Session-Expires', `1800;refresher=${refresher}`],
      ]);
    const call = bed.pbx.call(`user${count}`, { body: anOffer(), headers: timers('uac').add('Min-SE', '120') });
    const answered = call.answer();
    const incoming = await device.nextCall();
    expect(incoming.request.headers.get('Session-Expires')).toBe('1800;refresher=uac');
    expect(incoming.request.headers.get('Min-SE')).toBe('120');
    expect(incoming.request.headers.list('Supported')).toContain('timer');
    incoming.answer(sessionDescription(places.phones, 41_000), timers('uac').add('Require', 'timer'));
    const { headers } = await answered;
    expect([headers.get('Session-Expires'), headers.get('Require')]).toEqual(['1800;refresher=uac', 'timer']);
    await incoming.transaction.ack();
    phone = incoming.dialog;
    pbx = call.dialog as Dialog;
    return async () => {
      expect((await pbx.bye()).status).toBe(200);
      await device.sleep();
    };
  });

  const ways = (): readonly (readonly [string, Dialog, Dialog])[] => [
    ['from the PBX', pbx, phone],
    ['from the phone', phone, pbx],
  ];

  it('refreshes its session by UPDATE and re-INVITE from both sides, 422 and Min-SE included', async () => {
    for (const [way, from, to] of ways()) {
      const expires = Headers.of([
        ['Supported', 'timer'],
        ['Session-Expires', '90;refresher=uac'],
      ]);
      const brief = from.request('UPDATE', expires);
      const first = await to.next('UPDATE');
      expect(first.request.headers.get('Session-Expires'), way).toBe('90;refresher=uac');
      first.respond(422, { headers: Headers.of([['Min-SE', '300']]) });
      const refused = await brief.answer();
      expect([refused.status, refused.headers.get('Min-SE')], way).toEqual([422, '300']);

      const longer = expires.copy().set('Session-Expires', '600;refresher=uac').add('Min-SE', '300');
      const update = from.request('UPDATE', longer);
      const second = await to.next('UPDATE');
      expect([second.request.headers.get('Session-Expires'), second.request.headers.get('Min-SE')], way).toEqual([
        '600;refresher=uac',
        '300',
      ]);
      second.respond(200, {
        headers: Headers.of([
          ['Session-Expires', '600;refresher=uac'],
          ['Require', 'timer'],
        ]),
      });
      const refreshed = await update.answer();
      expect([refreshed.status, refreshed.headers.get('Session-Expires')], way).toEqual([200, '600;refresher=uac']);

      const again = from.request('INVITE', longer.copy().add(...sdpType), anOffer(9));
      const third = await to.next('INVITE');
      expect(third.request.headers.get('Session-Expires'), way).toBe('600;refresher=uac');
      to.accept(third, anOffer(10));
      expect((await again.answer()).status, way).toBe(200);
      from.ack(again);
      await third.ack();
    }
  });

  it('leaves a description with video as it is, and a multipart body octet for octet', async () => {
    for (const [way, from, to] of ways()) {
      for (const [type, body] of [
        ['application/sdp', video],
        ['multipart/mixed;boundary="one two"', multipart],
      ] as const) {
        const asked = from.request('INVITE', Headers.of([['Content-Type', type]]), body);
        const arrived = await to.next('INVITE');
        expect([arrived.request.headers.get('Content-Type'), arrived.request.body], way).toEqual([type, body]);
        to.accept(arrived, video);
        expect((await asked.answer()).body, way).toBe(video);
        from.ack(asked);
        await arrived.ack();
      }
    }
  });

  it('carries DTMF in INFO, by package and by custom, and MESSAGE in the dialog', async () => {
    for (const [way, from, to] of ways()) {
      for (const [method, type, body] of [
        ['INFO', 'application/dtmf-relay', 'Signal=5\r\nDuration=160\r\n'],
        ['INFO', 'application/dtmf', '#'],
        ['MESSAGE', 'text/plain;charset=utf-8', 'gr\u00c3\u00bc\u00c3\u009fe'],
      ] as const) {
        const headers = Headers.of([['Content-Type', type]]);
        if (method === 'INFO') headers.add('Info-Package', 'dtmf').add('Content-Disposition', 'Info-Package');
        const asked = from.request(method, headers, body);
        const arrived = await to.next(method);
        expect(arrived.request.body, `${method} ${way}`).toBe(body);
        for (const name of ['Content-Type', 'Info-Package', 'Content-Disposition'])
          expect(arrived.request.headers.get(name), `${name} ${way}`).toBe(headers.get(name));
        arrived.respond(method === 'INFO' ? 200 : 202);
        expect((await asked.answer()).status, way).toBe(method === 'INFO' ? 200 : 202);
      }
    }
  });
});
