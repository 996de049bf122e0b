/** What the SIP ports promise, over real sockets: phones and a PBX on one side, the ports on the other. Every engine runs it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { SrfEdge } from '../../lib/adapters/srf/connect.ts';
import type { Dialog } from '../../lib/ports/dialog.ts';
import type { LegEvents } from '../../lib/ports/leg.ts';
import type { InviteTransaction, ServerTransaction } from '../../lib/ports/server-transaction.ts';
import { flowUri } from '../../lib/sip/flow.ts';
import { Headers } from '../../lib/sip/headers.ts';
import type { SipRequest, SipResponse } from '../../lib/sip/message.ts';
import { tagOf } from '../../lib/sip/name-addr.ts';
import { type At, sdp, SipPeer } from '../support/sip-peer.ts';

export interface Engine {
  /** connects the adapter */
  connect(onRequest: (transaction: ServerTransaction | InviteTransaction) => void): Promise<SrfEdge>;
  close(): Promise<void>;
}

/** What an engine cannot do, with the reason; such tests are listed as skipped. */
export type Known = Readonly<Record<string, string>>;

type LegLog = LegEvents & {
  readonly log: string[];
  readonly responses: SipResponse[];
  dialog?: Dialog;
  ack?: (content?: { headers: Headers; body: string }) => void;
};

/** Where the engine takes SIP, on loopback when it has such an address. */
export function listenerOf({ hostports }: SrfEdge, transport: 'udp' | 'tcp'): At {
  const spoken = hostports.filter((hostport) => hostport.startsWith(`${transport}/`));
  const found = spoken.find((hostport) => hostport.startsWith(`${transport}/127.`)) ?? spoken[0];
  const [, address = '', port = ''] = /\/\[?([^\]]*)\]?:(\d+)$/.exec(found ?? '') ?? [];
  if (address === '') throw new Error(`the engine does not listen on ${transport}: ${hostports.join(' ')}`);
  return { address, port: Number(port) };
}

export function sipPortsContract(name: string, open: () => Promise<Engine>, known: Known = {}): void {
  describe(`SIP ports on ${name}`, () => {
    let engine: Engine;
    let edge: SrfEdge;
    let peers: SipPeer[] = [];
    let phone: SipPeer;
    let pbx: SipPeer;
    let onRequest: (transaction: ServerTransaction | InviteTransaction) => void = () => {};
    const arrived: (ServerTransaction | InviteTransaction)[] = [];

    const contract = (title: string, run: () => Promise<void>, timeout = 10_000): void => {
      const why = Object.entries(known).find(([start]) => title.startsWith(start))?.[1];
      if (why === undefined) test(title, { timeout }, run);
      else test.skip(`${title} (skipped: ${why})`, run);
    };

    beforeAll(async () => {
      engine = await open();
      edge = await engine.connect((transaction) => {
        arrived.push(transaction);
        onRequest(transaction);
      });
      // connected is not routed: ask until somebody is at home
      const probe = await SipPeer.open('udp', '127.0.20.30');
      onRequest = (transaction) => void transaction.respond({ status: 200 });
      // a server that is not ours may first ask the app of the run before us, which is gone
      await vi.waitFor(
        async () => {
          await probe.send(probe.draft('OPTIONS'), listener('udp'));
          await vi.waitFor(() => expect(probe.unread).toContain('200 OPTIONS'), { timeout: 200, interval: 5 });
        },
        { timeout: 8000, interval: 5 },
      );
      await probe.close();
    });

    afterAll(async () => {
      await edge.close();
      await engine.close();
    });

    beforeEach(async () => {
      arrived.length = 0;
      onRequest = () => {};
      phone = await peer('udp', '127.0.20.31');
      pbx = await peer('udp', '127.0.20.32');
    });

    afterEach(async () => {
      for (const one of peers) await one.close();
      peers = [];
    });

    async function peer(transport: 'udp' | 'tcp', address: string): Promise<SipPeer> {
      const opened = await SipPeer.open(transport, address);
      peers.push(opened);
      return opened;
    }

    function listener(transport: 'udp' | 'tcp'): At {
      return listenerOf(edge, transport);
    }

    const until = (true_: () => boolean): Promise<void> =>
      vi.waitFor(() => expect(true_()).toBe(true), { timeout: 8000, interval: 2 });

    async function incoming(from: SipPeer, request: SipRequest): Promise<ServerTransaction> {
      const before = arrived.length;
      await from.send(request, listener(from.transport));
      await until(() => arrived.length > before);
      return arrived[before] as ServerTransaction;
    }

    const invited = async (from: SipPeer, request: SipRequest): Promise<InviteTransaction> =>
      (await incoming(from, request)) as InviteTransaction;

    function recorder(): LegLog {
      const log: string[] = [];
      const responses: SipResponse[] = [];
      const seen: LegLog = {
        log,
        responses,
        progress: (response, reliable) => {
          // only some engines report it
          if (response.status === 100) return;
          log.push(`${response.status}${reliable ? ' reliable' : ''}`);
          responses.push(response);
        },
        answered: (response, dialog, ack) => {
          log.push(`${response.status} answered`);
          responses.push(response);
          Object.assign(seen, { dialog, ack });
        },
        failed: (response, local) => {
          log.push(`${response.status} failed${local ? ' locally' : ''}`);
          responses.push(response);
        },
      };
      return seen;
    }

    const legTo = (to: SipPeer, over: { body?: string; headers?: readonly [string, string][] } = {}) => ({
      uri: to.uri('leg'),
      nextHop: to.nextHop,
      headers: Headers.of([
        ['From', '"Alice" <sip:alice@edge.test>'],
        ['To', '<sip:bob@edge.test>'],
        ...(over.headers ?? []),
      ]),
      body: over.body ?? sdp(4000),
    });

    /** A call from the phone, answered by us. */
    async function answered(
      from: SipPeer,
      draft: Parameters<SipPeer['draft']>[1] = {},
    ): Promise<{ dialog: Dialog; invite: SipRequest; ok: SipResponse }> {
      const invite = from.draft('INVITE', { body: sdp(4002), ...draft });
      const transaction = await invited(from, invite);
      const dialog = (await transaction.accept({
        status: 200,
        headers: Headers.of([['Content-Type', 'application/sdp']]),
        body: sdp(4004),
      })) as Dialog;
      const ok = await from.response(200, 'INVITE');
      return { dialog, invite, ok };
    }

    /** A call to the peer, answered by it. */
    async function called(to: SipPeer): Promise<{ events: LegLog; invite: SipRequest & { source: At } }> {
      const events = recorder();
      edge.legs.start(legTo(to), events);
      const invite = await to.request('INVITE');
      await to.send(to.answer(invite, 200, { body: sdp(4006), tag: 'callee' }), invite.source);
      await until(() => events.log.length > 0);
      return { events, invite };
    }

    // ---- requests outside dialogs ----

    contract('a REGISTER is read as sent; the answer keeps header lines apart', async () => {
      const register = phone.draft('REGISTER', {
        uri: 'sip:edge.test',
        contact: `<${phone.uri('alice')};pn-provider=apns;pn-prid=abc>;+sip.instance="<urn:uuid:1>"`,
        headers: [
          ['Supported', 'path, outbound'],
          ['X-One', '1'],
          ['x-one', '2'],
          ['Expires', '600'],
        ],
      });
      const transaction = await incoming(phone, register);
      expect(transaction.flow).toMatchObject({ transport: 'udp', address: phone.address, port: phone.port });
      expect(transaction.receivedOn).toBe(`${listener('udp').address}:${listener('udp').port}`);
      for (const name of ['from', 'to', 'call-id', 'cseq', 'contact', 'supported', 'expires']) {
        expect(transaction.request.headers.get(name), name).toBe(register.headers.get(name));
      }
      expect(transaction.request.headers.lines('x-one')).toEqual(['1', '2']);
      const sent = await transaction.respond({
        status: 200,
        headers: Headers.of([
          ['Contact', `<${phone.uri('alice')}>;expires=600`],
          ['Feature-Caps', '*;+sip.pns="apns"'],
          ['Feature-Caps', '*;+sip.pns="fcm";+sip.pnsreg="180"'],
          ['Service-Route', '<sip:edge.test;lr>'],
        ]),
      });
      expect(sent).toBe('sent');
      const ok = await phone.response(200);
      expect(ok.headers.lines('feature-caps')).toEqual(['*;+sip.pns="apns"', '*;+sip.pns="fcm";+sip.pnsreg="180"']);
      expect(ok.headers.get('service-route')).toBe('<sip:edge.test;lr>');
      expect(ok.headers.get('contact')).toBe(`<${phone.uri('alice')}>;expires=600`);
      expect(ok.headers.get('call-id')).toBe(register.headers.get('call-id'));
      expect(tagOf(ok.headers.get('to') ?? '')).toBeDefined();
    });

    contract('any status passes, with its words or ours', async () => {
      onRequest = (transaction) => {
        const status = Number(transaction.request.headers.get('subject'));
        void transaction.respond(status === 433 ? { status, reason: 'Not like this' } : { status });
      };
      for (const status of [202, 302, 401, 418, 423, 433, 489, 555, 580, 606, 699]) {
        await phone.send(phone.draft('MESSAGE', { headers: [['Subject', String(status)]] }), listener('udp'));
        const found = await phone.response(status);
        if (status === 555) expect(found.reason).toBe('Push Notification Service Not Supported');
        if (status === 433) expect(found.reason).toBe('Not like this');
      }
    });

    contract('a second answer is gone', async () => {
      const transaction = await incoming(phone, phone.draft('OPTIONS'));
      expect(await transaction.respond({ status: 200 })).toBe('sent');
      expect(await transaction.respond({ status: 486 })).toBe('gone');
    });

    contract('an answer to a connection that closed is gone', async () => {
      const tcp = await peer('tcp', '127.0.20.33');
      const transaction = await incoming(tcp, tcp.draft('OPTIONS'));
      await tcp.hangUp(listener('tcp'));
      // the engine hears of the close a moment after us
      await incoming(phone, phone.draft('OPTIONS'));
      expect(await transaction.respond({ status: 200 })).toBe('gone');
    });

    contract('bodies pass octet for octet, heads as UTF-8', async () => {
      const octets = Buffer.from(Uint8Array.from({ length: 510 }, (_, n) => (n % 255) + 1)).toString('latin1');
      const subject = 'Grüße ☎';
      const latin1 = Buffer.from(subject).toString('latin1');
      const message = phone.draft('MESSAGE', {
        body: octets,
        contentType: 'application/octet-stream',
        headers: [['Subject', latin1]],
      });
      const transaction = await incoming(phone, message);
      expect(transaction.request.body).toBe(octets);
      expect(transaction.request.headers.get('subject')).toBe(subject);
      const passedOn = edge.client.send({
        method: 'MESSAGE',
        uri: pbx.uri(),
        nextHop: pbx.nextHop,
        headers: Headers.of([
          ['From', '<sip:alice@edge.test>;tag=ft'],
          ['To', '<sip:bob@edge.test>'],
          ['Call-ID', 'the-very-same'],
          ['CSeq', '4711 MESSAGE'],
          ['Subject', subject],
          ['Content-Type', 'application/octet-stream'],
        ]),
        body: transaction.request.body,
        timeoutMs: 5000,
      });
      const received = await pbx.request('MESSAGE');
      expect(received.body).toBe(octets);
      expect(received.headers.get('subject')).toBe(latin1);
      expect(received.headers.get('call-id')).toBe('the-very-same');
      expect(received.headers.get('cseq')).toBe('4711 MESSAGE');
      expect(received.headers.get('from')).toBe('<sip:alice@edge.test>;tag=ft');
      expect(received.headers.get('content-length')).toBe('510');
      await pbx.send(pbx.answer(received, 200, { body: octets, contentType: 'x/y', reason: 'Fine' }), received.source);
      const { response, local } = await passedOn;
      expect({ status: response.status, reason: response.reason, local, body: response.body }).toEqual({
        status: 200,
        reason: 'Fine',
        local: false,
        body: octets,
      });
      await transaction.respond({ status: 200, headers: Headers.of([['Content-Type', 'x/y']]), body: response.body });
      expect((await phone.response(200)).body).toBe(octets);
    });

    contract('a body may hold NUL octets', async () => {
      const transaction = await incoming(
        phone,
        phone.draft('MESSAGE', { body: 'a\0b', contentType: 'application/octet-stream' }),
      );
      expect(transaction.request.body).toBe('a\0b');
      await transaction.respond({ status: 200, headers: Headers.of([['Content-Type', 'x/y']]), body: 'c\0d' });
      expect((await phone.response(200)).body).toBe('c\0d');
    });

    contract('a REGISTER passed on keeps Path, credentials and repeated lines', async () => {
      const sent = edge.client.send({
        method: 'REGISTER',
        uri: 'sip:pbx.test',
        nextHop: pbx.nextHop,
        headers: Headers.of([
          ['From', '<sip:alice@edge.test>;tag=ft'],
          ['To', '<sip:alice@edge.test>'],
          ['Call-ID', 'reg-1'],
          ['CSeq', '17 REGISTER'],
          ['Contact', '<sip:token@edge.test>;expires=600'],
          ['Path', '<sip:one@edge.test;lr>'],
          ['Path', '<sip:two@edge.test;lr>'],
          ['Authorization', 'Digest username="alice", realm="r", nonce="n", uri="sip:pbx.test", response="0"'],
          ['Feature-Caps', '*;+sip.pns="apns"'],
          ['Feature-Caps', '*;+sip.pns="fcm"'],
        ]),
        body: '',
        timeoutMs: 5000,
      });
      const register = await pbx.request('REGISTER');
      expect(register.uri).toBe('sip:pbx.test');
      expect(register.headers.list('path')).toEqual(['<sip:one@edge.test;lr>', '<sip:two@edge.test;lr>']);
      expect(register.headers.lines('feature-caps')).toEqual(['*;+sip.pns="apns"', '*;+sip.pns="fcm"']);
      expect(register.headers.get('contact')).toBe('<sip:token@edge.test>;expires=600');
      expect(register.headers.get('authorization')).toMatch(/^Digest username="alice", ?realm="r"/);
      await pbx.send(
        pbx.answer(register, 401, {
          headers: [
            ['WWW-Authenticate', 'Digest realm="r", nonce="n1"'],
            ['WWW-Authenticate', 'Digest realm="r", nonce="n2"'],
          ],
        }),
        register.source,
      );
      const { response } = await sent;
      expect(response.status).toBe(401);
      expect(response.headers.lines('www-authenticate')).toHaveLength(2);
    });

    contract('a next hop that refuses the connection is a local 503 at once', async () => {
      const closed = await SipPeer.open('tcp', '127.0.20.34');
      await closed.close();
      const found = await edge.client.send({
        method: 'OPTIONS',
        uri: 'sip:x@y.test',
        nextHop: closed.nextHop,
        headers: Headers.of([['To', '<sip:x@y.test>']]),
        body: '',
        timeoutMs: 5000,
      });
      expect(found).toMatchObject({ local: true, response: { status: 503 } });
    });

    contract('a silent next hop ends by our time limit', async () => {
      const found = await edge.client.send({
        method: 'OPTIONS',
        uri: pbx.uri(),
        nextHop: pbx.nextHop,
        headers: Headers.of([['To', '<sip:x@y.test>']]),
        body: '',
        timeoutMs: 300,
      });
      expect(found).toMatchObject({ local: true, response: { status: 408 } });
    });

    contract('a request goes over the connection a phone came on', async () => {
      const tcp = await peer('tcp', '127.0.20.33');
      const register = await incoming(
        tcp,
        tcp.draft('REGISTER', { contact: '<sip:alice@10.9.8.7:5060;transport=tcp>' }),
      );
      expect(register.flow).toMatchObject({
        transport: 'tcp',
        address: '127.0.20.33',
        port: tcp.localPort(listener('tcp')),
      });
      await register.respond({
        status: 200,
        headers: Headers.of([['Contact', '<sip:alice@10.9.8.7:5060;transport=tcp>;expires=60']]),
      });
      const sent = edge.client.send({
        method: 'OPTIONS',
        uri: 'sip:leg@10.9.8.7:5060;transport=tcp',
        nextHop: flowUri(register.flow),
        headers: Headers.of([['To', '<sip:alice@edge.test>']]),
        body: '',
        timeoutMs: 5000,
      });
      const options = await tcp.request('OPTIONS');
      expect(options.uri).toBe('sip:leg@10.9.8.7:5060;transport=tcp');
      await tcp.send(tcp.answer(options, 200), options.source);
      expect((await sent).response.status).toBe(200);
    });

    // ---- INVITE from the network ----

    contract('a call to us: 180, 200, ACK, INFO both ways, BYE from the caller', async () => {
      const invite = phone.draft('INVITE', { body: sdp(4002), headers: [['X-Custom', 'kept']] });
      const transaction = await invited(phone, invite);
      await phone.response(100);
      expect(transaction.request.headers.get('x-custom')).toBe('kept');
      expect(transaction.request.body).toBe(sdp(4002));
      expect(await transaction.respond({ status: 180, headers: Headers.of([['X-Ring', '1']]) })).toBe('sent');
      expect((await phone.response(180)).headers.get('x-ring')).toBe('1');
      const dialog = (await transaction.accept({
        status: 200,
        reason: 'Hello',
        headers: Headers.of([['Content-Type', 'application/sdp']]),
        body: sdp(4004),
      })) as Dialog;
      const ok = await phone.response(200, 'INVITE');
      expect(ok.body).toBe(sdp(4004));
      expect(ok.reason).toBe('Hello');
      expect(dialog).toMatchObject({
        callId: invite.headers.get('call-id'),
        localTag: tagOf(ok.headers.get('to') ?? ''),
        remoteTag: tagOf(invite.headers.get('from') ?? ''),
      });
      const heard: ServerTransaction[] = [];
      const acks: SipRequest[] = [];
      dialog.onRequest((one) => heard.push(one));
      dialog.onAck((ack) => acks.push(ack));
      await phone.send(phone.inDialog('ACK', invite, ok), listener('udp'));
      await until(() => acks.length === 1);

      await phone.send(
        phone.inDialog('INFO', invite, ok, { cseq: 2, body: 'Signal=1', contentType: 'application/dtmf-relay' }),
        listener('udp'),
      );
      await until(() => heard.length === 1);
      expect(heard[0]?.request).toMatchObject({ method: 'INFO', body: 'Signal=1' });
      await heard[0]?.respond({ status: 200, headers: Headers.of([['X-Info', 'done']]) });
      expect((await phone.response(200, 'INFO')).headers.get('x-info')).toBe('done');

      const info = dialog.request({
        method: 'INFO',
        headers: Headers.of([
          ['Content-Type', 'application/dtmf-relay'],
          ['X-Way', 'down'],
        ]),
        body: 'Signal=2',
      });
      const down = await phone.request('INFO');
      expect(down.headers.get('to')).toBe(invite.headers.get('from'));
      expect(down.headers.get('from')).toBe(ok.headers.get('to'));
      expect(down.body).toBe('Signal=2');
      expect(down.headers.get('x-way')).toBe('down');
      await phone.send(phone.answer(down, 200, { headers: [['X-Back', 'yes']] }), down.source);
      expect((await info).response.headers.get('x-back')).toBe('yes');

      await phone.send(phone.inDialog('BYE', invite, ok, { cseq: 3 }), listener('udp'));
      await until(() => heard.length === 2);
      expect(await heard[1]?.respond({ status: 200 })).toBe('sent');
      await phone.response(200, 'BYE');
      dialog.close();
      expect(await dialog.request({ method: 'BYE', headers: Headers.empty(), body: '' })).toMatchObject({
        local: true,
        response: { status: 481 },
      });
    });

    contract('we hang up', async () => {
      const { dialog, invite, ok } = await answered(phone);
      await phone.send(phone.inDialog('ACK', invite, ok), listener('udp'));
      const bye = dialog.request({ method: 'BYE', headers: Headers.of([['Reason', 'Q.850;cause=16']]), body: '' });
      const received = await phone.request('BYE');
      expect(received.headers.get('reason')).toBe('Q.850;cause=16');
      await phone.send(phone.answer(received, 200), received.source);
      expect(await bye).toMatchObject({ local: false, response: { status: 200 } });
    });

    contract('a call is refused with any words; the caller acknowledges to the engine', async () => {
      const invite = phone.draft('INVITE');
      const transaction = await invited(phone, invite);
      expect(
        await transaction.respond({
          status: 486,
          reason: 'Busy with tea',
          headers: Headers.of([['Retry-After', '60']]),
        }),
      ).toBe('sent');
      const busy = await phone.response(486);
      expect(busy).toMatchObject({ reason: 'Busy with tea' });
      expect(busy.headers.get('retry-after')).toBe('60');
      await phone.send(
        phone.inDialog('ACK', invite, busy, {
          branch: /branch=([^;]+)/.exec(invite.headers.get('via') ?? '')?.[1] as string,
          uri: invite.uri,
        }),
        listener('udp'),
      );
      expect(await transaction.respond({ status: 200 })).toBe('gone');
    });

    contract('a held call is cancelled', async () => {
      const invite = phone.draft('INVITE');
      const transaction = await invited(phone, invite);
      const cancels: SipRequest[] = [];
      transaction.onCancel((cancel) => cancels.push(cancel));
      await phone.response(100);
      await phone.send(cancelOf(phone, invite), listener('udp'));
      await phone.response(200, 'CANCEL');
      await phone.response(487, 'INVITE');
      await until(() => cancels.length === 1);
      expect(cancels[0]?.headers.get('reason')).toBe('SIP;cause=200;text="Elsewhere"');
      expect(await transaction.respond({ status: 180 })).toBe('gone');
      expect(await transaction.accept({ status: 200 })).toBeUndefined();
    });

    contract('a ringing call is cancelled', async () => {
      const invite = phone.draft('INVITE');
      const transaction = await invited(phone, invite);
      let cancels = 0;
      transaction.onCancel(() => cancels++);
      await transaction.respond({ status: 180 });
      await phone.response(180);
      await phone.send(cancelOf(phone, invite), listener('udp'));
      await phone.response(487, 'INVITE');
      await until(() => cancels === 1);
    });

    contract('two INVITEs of one Call-ID: only the cancelled one ends', async () => {
      const callId = `fork-${phone.port}`;
      const from = '<sip:alice@edge.test>;tag=same';
      const one = phone.draft('INVITE', { callId, from, uri: 'sip:bob@edge.test' });
      const two = phone.draft('INVITE', { callId, from, uri: 'sip:carol@edge.test' });
      const first = await invited(phone, one);
      const second = await invited(phone, two);
      const cancelled: string[] = [];
      first.onCancel(() => cancelled.push('first'));
      second.onCancel(() => cancelled.push('second'));
      await phone.send(cancelOf(phone, one), listener('udp'));
      await phone.response(487, 'INVITE');
      await until(() => cancelled.length > 0);
      expect(cancelled).toEqual(['first']);
      expect(await second.respond({ status: 486 })).toBe('sent');
      await phone.response(486);
    });

    contract('two INVITEs of one Call-ID can both ring', async () => {
      const callId = `ring-${phone.port}`;
      const from = '<sip:alice@edge.test>;tag=same';
      const first = await invited(phone, phone.draft('INVITE', { callId, from, uri: 'sip:bob@edge.test' }));
      const second = await invited(phone, phone.draft('INVITE', { callId, from, uri: 'sip:carol@edge.test' }));
      expect(await first.respond({ status: 180 })).toBe('sent');
      expect(await second.respond({ status: 180 })).toBe('sent');
      await first.respond({ status: 486 });
      await second.respond({ status: 486 });
    });

    contract('an ACK with the answer to a late offer arrives with its body', async () => {
      const invite = phone.draft('INVITE', { body: '' });
      const transaction = await invited(phone, invite);
      const dialog = (await transaction.accept({
        status: 200,
        headers: Headers.of([['Content-Type', 'application/sdp']]),
        body: sdp(4004),
      })) as Dialog;
      const acks: SipRequest[] = [];
      dialog.onAck((ack) => acks.push(ack));
      const ok = await phone.response(200);
      await phone.send(phone.inDialog('ACK', invite, ok, { body: sdp(4008) }), listener('udp'));
      await until(() => acks.length === 1);
      expect(acks[0]?.body).toBe(sdp(4008));
      expect(acks[0]?.headers.get('content-type')).toBe('application/sdp');
    });

    contract('a re-INVITE and an UPDATE from the caller are answered inside the dialog', async () => {
      const { dialog, invite, ok } = await answered(phone);
      const heard: ServerTransaction[] = [];
      const acks: SipRequest[] = [];
      dialog.onRequest((one) => heard.push(one));
      dialog.onAck((ack) => acks.push(ack));
      await phone.send(phone.inDialog('ACK', invite, ok), listener('udp'));
      const again = phone.inDialog('INVITE', invite, ok, { cseq: 2, body: sdp(4010) });
      await phone.send(again, listener('udp'));
      await until(() => heard.length === 1);
      expect(heard[0]?.request.body).toBe(sdp(4010));
      const accepted = await (heard[0] as InviteTransaction).accept({
        status: 200,
        headers: Headers.of([['Content-Type', 'application/sdp']]),
        body: sdp(4012),
      });
      expect(accepted).toBe(dialog);
      const ok2 = await phone.response(200, 'INVITE');
      expect(ok2.body).toBe(sdp(4012));
      await phone.send(phone.inDialog('ACK', again, ok2), listener('udp'));
      await until(() => acks.length === 2);
      await phone.send(phone.inDialog('UPDATE', invite, ok, { cseq: 3, body: sdp(4014) }), listener('udp'));
      await until(() => heard.length === 2);
      expect(
        await heard[1]?.respond({
          status: 200,
          headers: Headers.of([['Content-Type', 'application/sdp']]),
          body: sdp(4016),
        }),
      ).toBe('sent');
      expect((await phone.response(200, 'UPDATE')).body).toBe(sdp(4016));
    });

    contract('a re-INVITE is cancelled by the caller', async () => {
      const { dialog, invite, ok } = await answered(phone);
      const heard: ServerTransaction[] = [];
      dialog.onRequest((one) => heard.push(one));
      await phone.send(phone.inDialog('ACK', invite, ok), listener('udp'));
      const again = phone.inDialog('INVITE', invite, ok, { cseq: 2, body: sdp(4010) });
      await phone.send(again, listener('udp'));
      await until(() => heard.length === 1);
      let cancels = 0;
      (heard[0] as InviteTransaction).onCancel(() => cancels++);
      await phone.send(cancelOf(phone, again), listener('udp'));
      await phone.response(487, 'INVITE');
      await until(() => cancels === 1);
      // the call is still there
      const info = dialog.request({ method: 'INFO', headers: Headers.empty(), body: '' });
      const received = await phone.request('INFO');
      await phone.send(phone.answer(received, 200), received.source);
      expect((await info).response.status).toBe(200);
    });

    contract('a caller who requires 100rel gets reliable provisionals', async () => {
      const invite = phone.draft('INVITE', {
        body: sdp(4002),
        headers: [
          ['Require', '100rel'],
          ['Supported', '100rel'],
        ],
      });
      const transaction = await invited(phone, invite);
      expect(
        await transaction.respond({
          status: 183,
          headers: Headers.of([['Content-Type', 'application/sdp']]),
          body: sdp(4004),
        }),
      ).toBe('sent');
      const early = await phone.response(183);
      expect(early.headers.get('require')).toBe('100rel');
      const rseq = early.headers.get('rseq');
      const accepted = transaction.accept({ status: 200 });
      await phone.send(
        phone.inDialog('PRACK', invite, early, { cseq: 2, headers: [['RAck', `${rseq} 1 INVITE`]] }),
        listener('udp'),
      );
      await phone.response(200, 'PRACK');
      await phone.response(200, 'INVITE');
      expect(await accepted).toBeDefined();
    });

    // ---- legs ----

    contract('a leg: every header and the body arrive, and the answer comes back whole', async () => {
      const events = recorder();
      const leg = edge.legs.start(
        legTo(pbx, {
          headers: [
            ['Subject', 'a, b'],
            ['X-Two', '1'],
            ['X-Two', '2'],
            ['Max-Forwards', '17'],
            ['P-Asserted-Identity', '<sip:a@b>'],
            ['Content-Type', 'application/sdp'],
          ],
        }),
        events,
      );
      const invite = await pbx.request('INVITE');
      expect(invite.uri).toBe(pbx.uri('leg'));
      expect(invite.body).toBe(sdp(4000));
      expect(invite.headers.get('from')).toMatch(/^"Alice" <sip:alice@edge\.test>;tag=/);
      expect(invite.headers.get('to')).toBe('<sip:bob@edge.test>');
      expect(invite.headers.get('subject')).toBe('a, b');
      expect(invite.headers.list('x-two')).toEqual(['1', '2']);
      expect(invite.headers.get('max-forwards')).toBe('17');
      expect(invite.headers.get('contact')).toContain(`sip:${listener('udp').address}`);
      await pbx.send(pbx.answer(invite, 180, { tag: 'x', headers: [['X-P', '1']] }), invite.source);
      await until(() => events.log.length === 1);
      expect(leg.callId).toBe(invite.headers.get('call-id'));
      await pbx.send(
        pbx.answer(invite, 200, {
          tag: 'x',
          body: sdp(4006),
          headers: [
            ['X-F', '1'],
            ['X-F', '2'],
          ],
        }),
        invite.source,
      );
      await until(() => events.log.length === 2);
      expect(events.log).toEqual(['180', '200 answered']);
      expect(events.responses[1]).toMatchObject({ body: sdp(4006) });
      expect(events.responses[1]?.headers.list('x-f')).toEqual(['1', '2']);
      expect(events.dialog).toMatchObject({
        callId: invite.headers.get('call-id'),
        localTag: tagOf(invite.headers.get('from') ?? ''),
        remoteTag: 'x',
      });
      events.ack?.({ headers: Headers.of([['X-Ack', '1']]), body: '' });
      const ack = await pbx.request('ACK');
      expect(ack.headers.get('x-ack')).toBe('1');
      const heard: ServerTransaction[] = [];
      events.dialog?.onRequest((one) => heard.push(one));
      await pbx.send(pbx.fromCallee('BYE', invite, 'x'), listener('udp'));
      await until(() => heard.length === 1);
      await heard[0]?.respond({ status: 200 });
      await pbx.response(200, 'BYE');
    });

    contract('a late answer travels in our ACK', async () => {
      const events = recorder();
      edge.legs.start(legTo(pbx, { body: '' }), events);
      const invite = await pbx.request('INVITE');
      expect(invite.body).toBe('');
      await pbx.send(pbx.answer(invite, 200, { body: sdp(4006) }), invite.source);
      await until(() => events.log.length === 1);
      events.ack?.({ headers: Headers.of([['Content-Type', 'application/sdp']]), body: sdp(4018) });
      const ack = await pbx.request('ACK');
      expect(ack.body).toBe(sdp(4018));
    });

    contract('a leg is refused', async () => {
      const events = recorder();
      edge.legs.start(legTo(pbx), events);
      const invite = await pbx.request('INVITE');
      await pbx.send(pbx.answer(invite, 486, { reason: 'Not now', headers: [['Retry-After', '9']] }), invite.source);
      await pbx.request('ACK');
      await until(() => events.log.length === 1);
      expect(events.log).toEqual(['486 failed']);
      expect(events.responses[0]).toMatchObject({ reason: 'Not now' });
      expect(events.responses[0]?.headers.get('retry-after')).toBe('9');
    });

    contract('a leg is cancelled while it rings', async () => {
      const events = recorder();
      const leg = edge.legs.start(legTo(pbx), events);
      const invite = await pbx.request('INVITE');
      await pbx.send(pbx.answer(invite, 180), invite.source);
      await until(() => events.log.length === 1);
      leg.cancel('SIP;cause=200;text="Call completed elsewhere"');
      const cancel = await pbx.request('CANCEL');
      expect(cancel.headers.get('reason')).toBe('SIP;cause=200;text="Call completed elsewhere"');
      await pbx.send(pbx.answer(cancel, 200), cancel.source);
      await pbx.send(pbx.answer(invite, 487), invite.source);
      await until(() => events.log.length === 2);
      expect(events.log).toEqual(['180', '487 failed']);
    });

    contract('a leg is cancelled before it said anything: CANCEL follows its first provisional', async () => {
      const events = recorder();
      const leg = edge.legs.start(legTo(pbx), events);
      leg.cancel();
      const invite = await pbx.request('INVITE');
      await pbx.send(pbx.answer(invite, 100), invite.source);
      const cancel = await pbx.request('CANCEL');
      await pbx.send(pbx.answer(cancel, 200), cancel.source);
      await pbx.send(pbx.answer(invite, 487), invite.source);
      await until(() => events.log.length === 1);
      expect(events.log).toEqual(['487 failed']);
    });

    contract('a 2xx that crosses the CANCEL is told, and the call ends', async () => {
      const events = recorder();
      const leg = edge.legs.start(legTo(pbx), events);
      const invite = await pbx.request('INVITE');
      await pbx.send(pbx.answer(invite, 180), invite.source);
      await until(() => events.log.length === 1);
      leg.cancel();
      const cancel = await pbx.request('CANCEL');
      await pbx.send(pbx.answer(cancel, 481), cancel.source);
      await pbx.send(pbx.answer(invite, 200, { body: sdp(4006) }), invite.source);
      await until(() => events.log.length === 2);
      expect(events.log).toEqual(['180', '200 answered']);
      events.ack?.();
      await pbx.request('ACK');
      const bye = events.dialog?.request({ method: 'BYE', headers: Headers.empty(), body: '' });
      const received = await pbx.request('BYE');
      await pbx.send(pbx.answer(received, 200), received.source);
      expect([200, 481]).toContain((await bye)?.response.status);
    });

    contract('reliable provisionals of a leg are acknowledged', async () => {
      const events = recorder();
      edge.legs.start(legTo(pbx, { headers: [['Supported', '100rel']] }), events);
      const invite = await pbx.request('INVITE');
      await pbx.send(
        pbx.answer(invite, 183, {
          body: sdp(4006),
          headers: [
            ['Require', '100rel'],
            ['RSeq', '77'],
          ],
        }),
        invite.source,
      );
      const prack = await pbx.request('PRACK');
      expect(prack.headers.get('rack')).toBe(`77 ${invite.headers.get('cseq')}`);
      await pbx.send(pbx.answer(prack, 200), prack.source);
      await pbx.send(pbx.answer(invite, 200), invite.source);
      await until(() => events.log.length === 2);
      expect(events.log).toEqual(['183 reliable', '200 answered']);
      events.ack?.();
    });

    contract('a leg over a connection that is gone fails locally at once', async () => {
      const closed = await SipPeer.open('tcp', '127.0.20.34');
      await closed.close();
      const events = recorder();
      edge.legs.start({ ...legTo(pbx), uri: closed.uri('leg'), nextHop: closed.nextHop }, events);
      await until(() => events.log.length === 1);
      expect(events.log).toEqual(['503 failed locally']);
    });

    contract('a leg goes over the connection of the phone, and so does everything in its dialog', async () => {
      const tcp = await peer('tcp', '127.0.20.33');
      const register = await incoming(
        tcp,
        tcp.draft('REGISTER', { contact: '<sip:alice@10.9.8.7:5060;transport=tcp>' }),
      );
      await register.respond({ status: 200 });
      const events = recorder();
      edge.legs.start(
        { ...legTo(pbx), uri: 'sip:leg@10.9.8.7:5060;transport=tcp', nextHop: flowUri(register.flow) },
        events,
      );
      const invite = await tcp.request('INVITE');
      await tcp.send(
        tcp.answer(invite, 200, { body: sdp(4006), contact: '<sip:alice@10.9.8.7:5060;transport=tcp>' }),
        invite.source,
      );
      await until(() => events.log.length === 1);
      events.ack?.();
      await tcp.request('ACK');
      const info = events.dialog?.request({ method: 'INFO', headers: Headers.empty(), body: '' });
      const received = await tcp.request('INFO');
      await tcp.send(tcp.answer(received, 200), received.source);
      expect((await info)?.response.status).toBe(200);
      await tcp.hangUp(listener('tcp'));
      await incoming(phone, phone.draft('OPTIONS'));
      const bye = await events.dialog?.request({ method: 'BYE', headers: Headers.empty(), body: '' });
      expect(bye).toMatchObject({ local: true });
    });

    contract('header fields arrive whole or not at all', async () => {
      const outcomes: string[] = [];
      for (const length of [7600, 8600, 11_000]) {
        const events = recorder();
        edge.legs.start(
          legTo(pbx, {
            headers: [
              ['X-Long', 'x'.repeat(length)],
              ['X-Last', 'here'],
            ],
          }),
          events,
        );
        const arrived = await Promise.race([
          pbx.request('INVITE'),
          until(() => events.log.length > 0).then(() => undefined),
        ]);
        if (arrived === undefined) {
          outcomes.push(...events.log);
          continue;
        }
        expect(arrived.headers.get('x-long')).toHaveLength(length);
        outcomes.push(arrived.headers.get('x-last') ?? 'lost');
        await pbx.send(pbx.answer(arrived, 486), arrived.source);
        await until(() => events.log.length > 0);
      }
      expect(outcomes).toEqual(['here', '513 failed locally', '513 failed locally']);
    });

    contract('two phones of one user and one address each get their own call, whoever registered last', async () => {
      const contact = '<sip:alice@10.9.8.7:5060;transport=tcp>';
      const phones = [await peer('tcp', '127.0.20.33'), await peer('tcp', '127.0.20.33')] as const;
      const flows: string[] = [];
      for (const one of phones) {
        const register = await incoming(one, one.draft('REGISTER', { contact, headers: [['Expires', '600']] }));
        await register.respond({
          status: 200,
          headers: Headers.of([
            ['Contact', `${contact};expires=600`],
            ['Expires', '600'],
            ['X-Else', '1'],
          ]),
        });
        const ok = await one.response(200, 'REGISTER');
        expect(ok.headers.list('contact')).toEqual([`${contact};expires=600`]);
        expect(ok.headers.get('x-else')).toBe('1');
        flows.push(flowUri(register.flow));
      }
      for (const [at, one] of phones.entries()) {
        const events = recorder();
        edge.legs.start({ ...legTo(pbx), uri: contact.slice(1, -1), nextHop: flows[at] as string }, events);
        const invite = await one.request('INVITE');
        expect(invite.uri).toBe(contact.slice(1, -1));
        await one.send(one.answer(invite, 200, { body: sdp(4006), contact }), invite.source);
        await until(() => events.log.length === 1);
        events.ack?.();
        await one.request('ACK');
        const bye = events.dialog?.request({ method: 'BYE', headers: Headers.empty(), body: '' });
        const received = await one.request('BYE');
        await one.send(one.answer(received, 200), received.source);
        expect((await bye)?.response.status).toBe(200);
      }
    });

    // ---- dialogs of legs ----

    contract(
      'inside the dialog of a leg: re-INVITE with late offer, UPDATE, NOTIFY, REFER, MESSAGE both ways',
      async () => {
        const { events, invite } = await called(pbx);
        events.ack?.();
        await pbx.request('ACK');
        const dialog = events.dialog as Dialog;
        const heard: ServerTransaction[] = [];
        dialog.onRequest((one) => heard.push(one));

        const change = dialog.request({ method: 'INVITE', headers: Headers.empty(), body: '' });
        const again = await pbx.request('INVITE');
        expect(tagOf(again.headers.get('to') ?? '')).toBe('callee');
        await pbx.send(pbx.answer(again, 200, { body: sdp(4020) }), again.source);
        const changed = await change;
        expect(changed.response.body).toBe(sdp(4020));
        changed.ack?.({ headers: Headers.of([['Content-Type', 'application/sdp']]), body: sdp(4022) });
        expect((await pbx.request('ACK')).body).toBe(sdp(4022));

        let cseq = 10;
        for (const [method, headers] of [
          ['UPDATE', []],
          ['INFO', []],
          [
            'NOTIFY',
            [
              ['Event', 'refer'],
              ['Subscription-State', 'active'],
            ],
          ],
          ['REFER', [['Refer-To', '<sip:carol@edge.test>']]],
          ['MESSAGE', []],
          ['OPTIONS', []],
        ] as const) {
          const sent = dialog.request({ method, headers: Headers.of([...headers]), body: '' });
          const received = await pbx.request(method);
          await pbx.send(pbx.answer(received, 202), received.source);
          expect((await sent).response.status, `our ${method}`).toBe(202);
          const before = heard.length;
          await pbx.send(pbx.fromCallee(method, invite, 'callee', { cseq: cseq++, headers }), listener('udp'));
          await until(() => heard.length > before);
          expect(heard[before]?.request.method).toBe(method);
          await heard[before]?.respond({ status: 202 });
          await pbx.response(202, method);
        }
      },
    );

    contract('a re-INVITE of ours is cancelled', async () => {
      const { events } = await called(pbx);
      events.ack?.();
      await pbx.request('ACK');
      const dialog = events.dialog as Dialog;
      const abort = new AbortController();
      const taken = dialog.request({
        method: 'INVITE',
        headers: Headers.of([['Content-Type', 'application/sdp']]),
        body: sdp(4024),
        cancel: abort.signal,
      });
      const third = await pbx.request('INVITE');
      await pbx.send(pbx.answer(third, 100), third.source);
      abort.abort();
      const cancel = await pbx.request('CANCEL');
      await pbx.send(pbx.answer(cancel, 200), cancel.source);
      await pbx.send(pbx.answer(third, 487), third.source);
      expect((await taken).response.status).toBe(487);
    });

    contract('requests for nobody never reach a use-case', async () => {
      for (const method of ['INVITE', 'BYE', 'UPDATE', 'ACK', 'CANCEL'] as const) {
        await phone.send(phone.draft(method, { to: '<sip:bob@edge.test>;tag=unknown' }), listener('udp'));
      }
      await phone.response(481, 'BYE');
      await phone.response(481, 'UPDATE');
      await phone.response(481, 'INVITE');
      expect(arrived).toEqual([]);
    });
  });
}

function cancelOf(peer: SipPeer, invite: SipRequest): SipRequest {
  return peer.draft('CANCEL', {
    uri: invite.uri,
    from: invite.headers.get('from') as string,
    to: invite.headers.get('to') as string,
    callId: invite.headers.get('call-id') as string,
    cseq: Number.parseInt(invite.headers.get('cseq') ?? '1', 10),
    branch: /branch=([^;]+)/.exec(invite.headers.get('via') ?? '')?.[1] as string,
    contact: null,
    headers: [['Reason', 'SIP;cause=200;text="Elsewhere"']],
  });
}
