/** A whole call through the bridge over real dialogs: two phones on sockets, the edge's ports and the bridge between them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { SrfEdge } from '../../lib/adapters/srf/connect.ts';
import { bridge, type BridgedCall } from '../../lib/call/bridge.ts';
import { passAnswer, passInvite } from '../../lib/core/pass-headers.ts';
import type { Dialog } from '../../lib/ports/dialog.ts';
import type { InviteTransaction } from '../../lib/ports/server-transaction.ts';
import type { SipRequest, SipResponse } from '../../lib/sip/message.ts';
import { QuietLog } from '../support/quiet-log.ts';
import { type At, sdp, SipPeer } from '../support/sip-peer.ts';
import type { Engine } from './sip-ports.ts';

interface Call {
  readonly invite: SipRequest;
  readonly ok: SipResponse;
  /** the INVITE the callee got */
  readonly leg: SipRequest & { readonly source: At };
  readonly bridged: BridgedCall;
}

export function bridgedCallContract(name: string, open: () => Promise<Engine>): void {
  describe(`a bridged call on ${name}`, () => {
    let engine: Engine;
    let edge: SrfEdge;
    let alice: SipPeer;
    let bob: SipPeer;
    let overs = 0;
    let onInvite: (transaction: InviteTransaction) => void = () => {};
    const log = new QuietLog();

    beforeAll(async () => {
      engine = await open();
      edge = await engine.connect((transaction) => {
        if (transaction.request.method === 'INVITE') onInvite(transaction as InviteTransaction);
        else void transaction.respond({ status: 200 });
      });
      const probe = await SipPeer.open('udp', '127.0.20.30');
      for (;;) {
        await probe.send(probe.draft('OPTIONS'), listener('udp'));
        const found = await Promise.race([probe.response(200), probe.response(503)]);
        if (found.status === 200) break;
      }
      await probe.close();
    });

    afterAll(async () => {
      await edge.close();
      await engine.close();
    });

    beforeEach(async () => {
      overs = 0;
      alice = await SipPeer.open('udp', '127.0.20.35');
      bob = await SipPeer.open('tcp', '127.0.20.36');
    });

    afterEach(async () => {
      await alice.close();
      await bob.close();
    });

    function listener(transport: 'udp' | 'tcp'): At {
      const found = edge.hostports.find((hostport) => hostport.startsWith(`${transport}/127.`)) as string;
      const [, address = '', port = ''] = /\/(.*):(\d+)$/.exec(found) ?? [];
      return { address, port: Number(port) };
    }

    const over = (): Promise<void> => vi.waitFor(() => expect(overs).toBe(1), { timeout: 8000, interval: 2 });

    /** Alice calls, Bob answers, both are tied. */
    async function talk(): Promise<Call> {
      const tied = new Promise<BridgedCall>((resolve) => {
        onInvite = (transaction) => {
          edge.legs.start(
            {
              uri: bob.uri('leg'),
              nextHop: bob.nextHop,
              headers: passInvite(transaction.request.headers, {}),
              body: transaction.request.body,
            },
            {
              progress: () => {},
              failed: () => {},
              answered: (response, callee, ack) => {
                ack();
                void transaction
                  .accept({
                    status: response.status,
                    reason: response.reason,
                    headers: passAnswer(response.headers),
                    body: response.body,
                  })
                  .then((caller) =>
                    resolve(bridge(caller as Dialog, callee, { log, callId: 'c', onOver: () => overs++ })),
                  );
              },
            },
          );
        };
      });
      const invite = alice.draft('INVITE', { body: sdp(5000), headers: [['Subject', 'Hello']] });
      await alice.send(invite, listener('udp'));
      const leg = await bob.request('INVITE');
      expect(leg.headers.get('subject')).toBe('Hello');
      expect(leg.body).toBe(sdp(5000));
      await bob.send(bob.answer(leg, 200, { body: sdp(5002), tag: 'bob' }), leg.source);
      await bob.request('ACK');
      const ok = await alice.response(200, 'INVITE');
      expect(ok.body).toBe(sdp(5002));
      await alice.send(alice.inDialog('ACK', invite, ok), listener('udp'));
      return { invite, ok, leg, bridged: await tied };
    }

    test('everything inside the dialog passes both ways, and the caller hangs up', async () => {
      const { invite, ok, leg } = await talk();
      // re-INVITE without an offer: the answer of the one who asked travels in the ACK
      const again = alice.inDialog('INVITE', invite, ok, { cseq: 2 });
      await alice.send(again, listener('udp'));
      const asked = await bob.request('INVITE');
      expect(asked.body).toBe('');
      await bob.send(bob.answer(asked, 200, { body: sdp(5004) }), asked.source);
      const offered = await alice.response(200, 'INVITE');
      expect(offered.body).toBe(sdp(5004));
      await alice.send(alice.inDialog('ACK', again, offered, { body: sdp(5006) }), listener('udp'));
      expect((await bob.request('ACK')).body).toBe(sdp(5006));
      // and one with an offer, from the other side
      await bob.send(bob.fromCallee('INVITE', leg, 'bob', { cseq: 5, body: sdp(5008) }), leg.source);
      const offer = await alice.request('INVITE');
      expect(offer.body).toBe(sdp(5008));
      await alice.send(alice.answer(offer, 200, { body: sdp(5010) }), offer.source);
      const taken = await bob.response(200, 'INVITE');
      expect(taken.body).toBe(sdp(5010));
      await bob.send(bob.fromCallee('ACK', leg, 'bob', { cseq: 5 }), leg.source);
      await alice.request('ACK');

      let [up, down] = [3, 6];
      for (const method of ['UPDATE', 'INFO', 'MESSAGE', 'NOTIFY', 'REFER', 'OPTIONS'] as const) {
        const headers = [
          ['X-Way', 'through'],
          ['Event', 'refer'],
          ['Subscription-State', 'active'],
          ['Refer-To', '<sip:carol@edge.test>'],
        ] as const;
        await alice.send(
          alice.inDialog(method, invite, ok, { cseq: up++, headers, body: 'up', contentType: 'text/plain' }),
          listener('udp'),
        );
        const atBob = await bob.request(method);
        expect([atBob.body, atBob.headers.get('x-way')]).toEqual(['up', 'through']);
        await bob.send(bob.answer(atBob, 202, { reason: 'Gladly', headers: [['X-Back', '1']] }), atBob.source);
        const back = await alice.response(202, method);
        expect([back.reason, back.headers.get('x-back')]).toEqual(['Gladly', '1']);
        await bob.send(
          bob.fromCallee(method, leg, 'bob', { cseq: down++, headers, body: 'down', contentType: 'text/plain' }),
          leg.source,
        );
        const atAlice = await alice.request(method);
        expect(atAlice.body).toBe('down');
        await alice.send(alice.answer(atAlice, 200), atAlice.source);
        await bob.response(200, method);
      }

      await alice.send(
        alice.inDialog('BYE', invite, ok, { cseq: up, headers: [['Reason', 'Q.850;cause=16']] }),
        listener('udp'),
      );
      await alice.response(200, 'BYE');
      const bye = await bob.request('BYE');
      expect(bye.headers.get('reason')).toBe('Q.850;cause=16');
      await bob.send(bob.answer(bye, 200), bye.source);
      await over();
      expect(edge.open()).toEqual({ invites: 0, dialogs: 0, requests: 0 });
    });

    test('the callee hangs up', async () => {
      const { leg } = await talk();
      await bob.send(bob.fromCallee('BYE', leg, 'bob', { cseq: 5 }), leg.source);
      await bob.response(200, 'BYE');
      const bye = await alice.request('BYE');
      await alice.send(alice.answer(bye, 200), bye.source);
      await over();
    });

    test('both hang up at once', async () => {
      const { invite, ok, leg } = await talk();
      for (const peer of [alice, bob]) peer.on('BYE', (bye, from) => void peer.send(peer.answer(bye, 200), from));
      await Promise.all([
        alice.send(alice.inDialog('BYE', invite, ok, { cseq: 2 }), listener('udp')),
        bob.send(bob.fromCallee('BYE', leg, 'bob', { cseq: 5 }), leg.source),
      ]);
      await Promise.race([alice.response(200, 'BYE'), alice.response(481, 'BYE')]);
      await Promise.race([bob.response(200, 'BYE'), bob.response(481, 'BYE')]);
      await over();
    });

    test('we hang up', async () => {
      const { bridged } = await talk();
      bridged.end('the edge is stopping');
      for (const peer of [alice, bob]) {
        const bye = await peer.request('BYE');
        await peer.send(peer.answer(bye, 200), bye.source);
      }
      await over();
    });

    test('a side that does not know the dialog any more ends the call', async () => {
      const { invite, ok } = await talk();
      await alice.send(alice.inDialog('INFO', invite, ok, { cseq: 2 }), listener('udp'));
      const info = await bob.request('INFO');
      await bob.send(bob.answer(info, 481), info.source);
      const bye = await alice.request('BYE');
      await alice.send(alice.answer(bye, 200), bye.source);
      bob.on('BYE', (late, from) => void bob.send(bob.answer(late, 481), from));
      await over();
    });

    test('the connection of the callee is gone: the caller can still hang up', async () => {
      const { invite, ok, leg } = await talk();
      await bob.hangUp(leg.source);
      await bob.close();
      await alice.send(alice.inDialog('BYE', invite, ok, { cseq: 2 }), listener('udp'));
      await alice.response(200, 'BYE');
      await over();
      bob = await SipPeer.open('tcp', '127.0.20.36');
    });
  });
}
