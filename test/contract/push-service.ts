/** The contract of the port push-service: every provider meets the same misbehaviour the same way, over real sockets and TLS. */
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Fault, RuleBook } from '../../apps/push-lab/rules.ts';
import type { Proxy } from '../../lib/delivery/dial.ts';
import type { PushOutcome, PushRequest, PushService } from '../../lib/ports/push-service.ts';
import { noSignal } from '../support/push-request.ts';

/** One provider and its stand-in. */
export interface PushWorld {
  readonly rules: RuleBook;
  /** where the stand-in listens */
  readonly endpoint: string;
  /** pushes taken over */
  accepted(): number;
  /** a service that pushes to `endpoint` (the stand-in when absent), by this proxy */
  open(endpoint?: string, proxy?: Proxy): PushService;
  /** a call for a phone of the stand-in */
  call(endpoint?: string): PushRequest;
  /** what the provider says of a token that is gone */
  readonly gone: Fault;
  /** its word for too many pushes to one phone */
  readonly tooMany: string;
  /** what a rule says to meet pushes and nothing else; any request when absent */
  readonly topic?: string;
  close(): Promise<void>;
}

export function pushServiceContract(name: string, make: () => Promise<PushWorld>): void {
  describe(`push service: ${name}`, () => {
    const cleanups: (() => Promise<void> | void)[] = [];
    afterEach(async () => {
      for (const close of cleanups.splice(0).reverse()) await close();
    });

    interface Place {
      readonly world: PushWorld;
      readonly service: PushService;
      push(changes?: Partial<PushRequest>, signal?: AbortSignal): Promise<PushOutcome>;
      fault(fault: Fault, times?: number): void;
    }

    const aPlace = async (endpointOf?: (world: PushWorld) => Promise<string>, proxy?: Proxy): Promise<Place> => {
      const world = await make();
      cleanups.push(() => world.close());
      const endpoint = await endpointOf?.(world);
      const service = world.open(endpoint, proxy);
      cleanups.push(() => service.close());
      return {
        world,
        service,
        push: (changes = {}, signal = noSignal) =>
          service.push({ ...world.call(endpoint), deadline: Date.now() + 8000, ...changes }, signal),
        fault: (fault, times) =>
          world.rules.add({
            fault,
            ...(times === undefined ? {} : { times }),
            ...(world.topic === undefined ? {} : { topic: world.topic }),
          }),
      };
    };

    /** A TCP server in the place of the service. */
    const aPeer = async (serve: (socket: Socket) => void): Promise<string> => {
      const sockets = new Set<Socket>();
      const server: Server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => undefined);
        serve(socket);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      cleanups.push(() => {
        for (const socket of sockets) socket.destroy();
        server.close();
      });
      return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    };

    it('takes a push over', async () => {
      const { world, push } = await aPlace();
      expect(await push()).toMatchObject({ is: 'accepted' });
      expect(world.accepted()).toBe(1);
    });

    it('condemns a token that is gone, at the first answer', async () => {
      const { world, push, fault } = await aPlace();
      fault(world.gone);
      expect(await push()).toMatchObject({ is: 'token-dead' });
      expect(world.accepted()).toBe(0);
    });

    it('says how long a phone is to be left alone, and does not try again', async () => {
      const { world, push, fault } = await aPlace();
      fault({ do: 'answer', status: 429, reason: world.tooMany, retryAfter: 7 }, 1);
      expect(await push()).toMatchObject({ is: 'throttled', retryAfterMs: 7000 });
      expect(world.accepted()).toBe(0);
    });

    it.each<readonly [string, Fault]>([
      ['500', { do: 'answer', status: 500 }],
      ['503 with a Retry-After that fits', { do: 'answer', status: 503, retryAfter: 1 }],
      ['an HTML page of some middlebox', { do: 'answer', status: 502, html: true }],
      ['a connection cut before the push was processed', { do: 'drop', when: 'before' }],
      ['a connection cut after it', { do: 'drop', when: 'after' }],
      ['a reset', { do: 'reset', code: 'INTERNAL_ERROR' }],
      ['GOAWAY', { do: 'goaway', mode: 'graceful' }],
    ])('gets over %s', async (_, what) => {
      const { world, push, fault } = await aPlace();
      fault(what, 1);
      expect(await push()).toMatchObject({ is: 'accepted' });
      expect(await push()).toMatchObject({ is: 'accepted' });
      expect(world.accepted()).toBeGreaterThanOrEqual(2);
    });

    it('gives up at once when Retry-After is longer than the push is worth anything', async () => {
      const { push, fault, world } = await aPlace();
      fault({ do: 'answer', status: 503, retryAfter: 60 }, 1);
      const begun = Date.now();
      expect(await push()).toMatchObject({ is: 'unreachable' });
      expect(Date.now() - begun).toBeLessThan(7000);
      expect(world.accepted()).toBe(0);
    });

    it('settles by the deadline when no answer comes, and condemns nothing', async () => {
      const { push, fault } = await aPlace();
      fault({ do: 'hang' });
      expect(await push({ deadline: Date.now() + 300 })).toMatchObject({ is: 'unreachable' });
    });

    it('settles by the deadline when TLS does not come about', async () => {
      const { push } = await aPlace(() => aPeer(() => undefined));
      expect(await push({ deadline: Date.now() + 300 })).toMatchObject({ is: 'unreachable' });
    });

    it('settles by the deadline when nobody listens', async () => {
      const { push } = await aPlace(async () => {
        const endpoint = await aPeer(() => undefined);
        await cleanups.pop()?.();
        return endpoint;
      });
      expect(await push({ deadline: Date.now() + 300 })).toMatchObject({ is: 'unreachable' });
    });

    it('settles by the deadline when the other side speaks something else', async () => {
      const { push } = await aPlace(() => aPeer((socket) => socket.end('220 mail.example.com ESMTP\r\n')));
      expect(await push({ deadline: Date.now() + 300 })).toMatchObject({ is: 'unreachable' });
    });

    it('is withdrawn by its signal, and sends nothing for one given before', async () => {
      const { world, push, fault } = await aPlace();
      fault({ do: 'hang' });
      const stop = new AbortController();
      const outcome = push({}, stop.signal);
      setTimeout(() => stop.abort(), 50);
      expect(await outcome).toEqual({ is: 'cancelled' });
      expect(await push({}, stop.signal)).toEqual({ is: 'cancelled' });
      expect(world.accepted()).toBe(0);
    });

    it('refuses pushes at once when the service fails again and again, until one gets through', async () => {
      const { push, fault } = await aPlace();
      fault({ do: 'answer', status: 500 });
      const reasons: string[] = [];
      for (let count = 0; count < 12; count++) {
        const outcome = await push();
        reasons.push('reason' in outcome ? outcome.reason : outcome.is);
      }
      expect(reasons.at(-1)).toMatch(/^transport breaker open/);
      expect(reasons[0]).not.toMatch(/breaker/);
    });

    it('leaves by a proxy with credentials, but not to hosts that are excepted', async () => {
      const asked: string[] = [];
      const tunnels = new Set<Socket>();
      const proxy = createHttpServer();
      proxy.on('connect', (request, client: Socket) => {
        asked.push(`${request.url} ${request.headers['proxy-authorization']}`);
        const [host = '', port = ''] = (request.url ?? '').split(':');
        const socket = new (client.constructor as new () => Socket)();
        tunnels.add(socket).add(client);
        socket.on('error', () => undefined);
        client.on('error', () => undefined);
        socket.connect(Number(port), host, () => {
          client.write('HTTP/1.1 200 Connection established\r\n\r\n');
          client.pipe(socket).pipe(client);
        });
      });
      proxy.listen(0, '127.0.0.1');
      await once(proxy, 'listening');
      cleanups.push(() => {
        for (const socket of tunnels) socket.destroy();
        proxy.close();
      });
      const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const by = await aPlace(undefined, { url, authorization: 'Basic cmV2ZWlsbGU6c2VjcmV0', except: [] });
      expect(await by.push()).toMatchObject({ is: 'accepted' });
      expect(new Set(asked)).toContain(`${new URL(by.world.endpoint).host} Basic cmV2ZWlsbGU6c2VjcmV0`);
      asked.length = 0;
      const past = await aPlace(undefined, { url, except: ['127.0.0.1'] });
      expect(await past.push()).toMatchObject({ is: 'accepted' });
      expect(asked).toEqual([]);
    });

    it('says nothing but `unreachable` when the proxy refuses', async () => {
      const proxy = createHttpServer();
      proxy.on('connect', (_, client: Socket) => client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'));
      proxy.listen(0, '127.0.0.1');
      await once(proxy, 'listening');
      cleanups.push(() => void proxy.close());
      const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const { push } = await aPlace(undefined, { url, except: [] });
      expect(await push({ deadline: Date.now() + 1000 })).toMatchObject({ is: 'unreachable' });
    });
  });
}
