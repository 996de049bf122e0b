/** Phones that register through a proxy: what comes for them follows the Path of their REGISTER (RFC 3327 5.3), asked of a running edge. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { IncomingCall } from '../../apps/demo/calls.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import type { SipRequest } from '../../lib/sip/message.ts';
import { onDrachtio, places } from '../support/edge.ts';
import { PathProxy, type PathProxyOptions } from '../support/path-proxy.ts';
import { fromPbx, fromTrunk } from '../support/requests.ts';
import { anOffer, Bed, homeDomain, pathDomain, type PhoneChoice, pbxDomain } from '../support/test-bed.ts';

const modes = [
  ['P', pathDomain],
  ['M', pbxDomain],
  ['R', homeDomain],
] as const;
const ways = [
  ['udp', 'loosely'],
  ['udp', 'strictly'],
  ['tcp', 'loosely'],
  ['tcp', 'strictly'],
] as const;

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open({ domain: { proxies: [places.stranger] } });
});
afterAll(() => bed.close());
const proxies: PathProxy[] = [];
const registered: Phone[] = [];
afterEach(async () => {
  for (const phone of registered.splice(0)) await phone.register({ contact: '*', expires: 0 });
  for (const proxy of proxies.splice(0)) await proxy.close();
});

async function aProxy(how: Partial<PathProxyOptions> = {}): Promise<PathProxy> {
  const transport = how.transport ?? 'udp';
  const about = { transport, address: places.stranger, routes: 'loosely', ...how } as const;
  const proxy = await PathProxy.open({ ...about, edge: bed.edge.at(transport) });
  proxies.push(proxy);
  return proxy;
}

/** Registered through the proxy; its Path comes back. */
async function behind(proxy: PathProxy, user: string, choice: PhoneChoice): Promise<Phone> {
  const phone = bed.phone(user, { transport: proxy.local.transport, via: proxy.local, ...choice });
  const answer = await phone.register();
  registered.push(phone);
  expect(answer.status).toBe(200);
  return phone;
}

const call = (user: string, domain: string) =>
  domain === homeDomain
    ? bed.pbx.dial(`sip:${user}@${domain}`, { remote: bed.edge.at('udp'), body: anOffer() })
    : bed.pbx.call(user, { body: anOffer() });

/** Where a request of the edge is to go: first the route set, last the target (RFC 3261 12.2.1.1). */
function stations({ uri, headers }: SipRequest, routes: PathProxyOptions['routes']): readonly string[] {
  const set = headers.list('Route');
  return routes === 'loosely' ? [...set, `<${uri}>`] : [`<${uri}>`, ...set];
}

const target = (phone: Phone): string => `<${phone.ua.uri(phone.options.user)}>`;
const vias = (incoming: IncomingCall): number => incoming.request.headers.list('Via').length;

describe.skipIf(onDrachtio).each(modes)('mode %s', (_, domain) => {
  describe.each(ways)('over %s, a proxy that routes %s', (transport, routes) => {
    it('[EDGE-PATH-05] [PN-INT-08] Route of INVITE, CANCEL and the ACK of a refusal is the Path; ACK and BYE go by Record-Route', async () => {
      const proxy = await aProxy({ transport, routes, names: ['outer', 'inner'] });
      const phone = await behind(proxy, 'anna', { domain, plain: true });
      const way = [...proxy.path, target(phone)];

      const refused = call('anna', domain);
      const first = await phone.nextCall();
      expect(stations(await proxy.next('INVITE'), routes)).toEqual(way);
      expect(vias(first)).toBe(2);
      first.reject(486);
      expect((await refused.answer()).status).toBe(486);
      expect(stations(await proxy.next('ACK'), routes)).toEqual(way);

      const cancelled = call('anna', domain);
      const second = await phone.nextCall();
      second.ring();
      await cancelled.provisional(180);
      cancelled.cancel();
      expect((await cancelled.answer()).status).toBe(487);
      expect(stations(await proxy.next('CANCEL'), routes)).toEqual(way);

      const answered = call('anna', domain);
      const third = await phone.nextCall();
      third.answer(anOffer(2));
      expect((await answered.answer()).status).toBe(200);
      await third.transaction.ack();
      const bye = answered.dialog?.bye();
      const heard = await proxy.next('BYE');
      expect(stations(heard, routes)).toEqual([expect.stringContaining('<sip:rr@'), target(phone)]);
      expect((await bye)?.status).toBe(200);
    });

    it('[EDGE-PATH-05] a phone that sleeps is pushed, registers through its proxy, and gets the INVITE along the Path', async () => {
      const proxy = await aProxy({ transport, routes });
      const phone = await behind(proxy, 'bert', { domain });
      await phone.sleep();
      bed.wakesOnPush(phone);
      const pending = call('bert', domain);
      const incoming = await phone.nextCall();
      expect(stations(await proxy.next('INVITE'), routes)).toEqual([...proxy.path, target(phone)]);
      incoming.answer(anOffer(3));
      expect((await pending.answer()).status).toBe(200);
      await incoming.transaction.ack();
      expect((await incoming.dialog?.bye())?.status).toBe(200);
      expect(bed.pushesFor(phone)).toHaveLength(1);
    });
  });

  it('[PN-INT-08] the proxy changes: the next INVITE follows the new Path; without a proxy there is no Route', async () => {
    const [one, other] = [await aProxy(), await aProxy()];
    const instanceId = `urn:uuid:${crypto.randomUUID()}`;
    const phone = await behind(one, 'carl', { domain, plain: true, instanceId });
    await phone.sleep();
    const moved = await behind(other, 'carl', { domain, plain: true, instanceId });
    const first = call('carl', domain);
    (await moved.nextCall()).reject(486);
    expect((await first.answer()).status).toBe(486);
    expect((await other.next('INVITE')).headers.list('Route')).toEqual(other.path);
    expect(one.fromEdge).toHaveLength(0);
    await moved.sleep();
    const direct = bed.phone('carl', { domain, plain: true, instanceId });
    registered.push(direct);
    await direct.register();
    const second = call('carl', domain);
    const incoming = await direct.nextCall();
    expect([incoming.request.headers.has('Route'), vias(incoming)]).toEqual([false, 1]);
    incoming.reject(486);
    expect((await second.answer()).status).toBe(486);
  });
});

describe.skipIf(onDrachtio)('any mode', () => {
  it.each(ways)('[EDGE-PATH-05] MESSAGE and SUBSCRIBE over %s, %s', async (transport, routes) => {
    const proxy = await aProxy({ transport, routes });
    const phone = await behind(proxy, 'dora', { plain: true });
    const way = [...proxy.path, target(phone)];
    const message = fromPbx(bed, 'MESSAGE', 'dora', { body: 'x', headers: [['Content-Type', 'text/plain']] });
    (await phone.ua.next('MESSAGE')).respond(200);
    expect((await message.answer()).status).toBe(200);
    expect(stations(await proxy.next('MESSAGE'), routes)).toEqual(way);
    const subscribe = fromPbx(bed, 'SUBSCRIBE', 'dora', { headers: [['Event', 'presence']] });
    (await phone.ua.next('SUBSCRIBE')).respond(489);
    expect((await subscribe.answer()).status).toBe(489);
    expect(stations(await proxy.next('SUBSCRIBE'), routes)).toEqual(way);
  });

  it('[PN-PROXY-13] [EDGE-PATH-05] a MESSAGE for a phone that sleeps waits, and takes the Path', async () => {
    const proxy = await aProxy();
    const phone = await behind(proxy, 'emil', { domain: homeDomain, alerts: true });
    await phone.sleep();
    bed.wakesOnPush(phone);
    const message = fromTrunk(bed, 'MESSAGE', 'emil', { body: 'x', headers: [['Content-Type', 'text/plain']] });
    await expect.poll(() => phone.awake).toBe(true);
    (await phone.ua.next('MESSAGE')).respond(200);
    expect((await message.answer()).status).toBe(200);
    expect((await proxy.next('MESSAGE')).headers.list('Route')).toEqual(proxy.path);
  });

  it('[EDGE-PATH-05] two phones of one user behind one proxy: each gets its own INVITE', async () => {
    const proxy = await aProxy();
    const [one, other] = [
      await behind(proxy, 'frieda', { domain: homeDomain, plain: true }),
      await behind(proxy, 'frieda', { domain: homeDomain, plain: true }),
    ];
    const pending = call('frieda', homeDomain);
    const [first, second] = await Promise.all([one.nextCall(), other.nextCall()]);
    first.reject(486);
    second.reject(486);
    expect((await pending.answer()).status).toBe(486);
    expect([one.invites.length, other.invites.length]).toEqual([1, 1]);
  });
});
