/**
 * A browser as phone: JsSIP and SIP.js in Chromium over WSS with a certificate nobody has signed for. Its tab is closed, a push (as a service
 * worker or an app shell would get it) opens it again, and it takes the call it was woken for, with media. The PBX is the demo's.
 */
import { createHash, randomUUID, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Pbx } from '../../apps/demo/pbx.ts';
import { Chromium, type Page } from '../support/chromium.ts';
import { onDrachtio } from '../support/edge.ts';
import { foreign, foreignDomain, World } from '../support/interop-world.ts';
import { jsSip } from '../support/jssip-page.ts';
import { needs, titled } from '../support/needs.ts';
import { type PhonePage, servePhone } from '../support/phone-page.ts';
import { sipJs } from '../support/sipjs-page.ts';

const why = onDrachtio ? 'a drachtio-server has the certificate of whoever runs it' : needs('chromium');

const libraries = [
  ['JsSIP', jsSip],
  ['SIP.js', sipJs],
] as const;

describe.skipIf(why !== undefined).each(libraries)(titled('%s in Chromium over WSS', why), (_, library) => {
  let world: World;
  let pbx: Pbx;
  let site: PhonePage;
  let browser: Chromium;
  const users: Record<string, string> = {};

  beforeAll(async () => {
    site = await servePhone(library());
    pbx = await Pbx.open({ transport: 'udp', address: foreign.pbx, domain: foreignDomain, users });
    world = await World.open({
      upstream: `sip:${foreign.pbx}:${pbx.ua.local.port};transport=udp`,
      everywhere: true,
      websocket: { origins: [site.origin] },
      holdSeconds: 30,
      wake: { silent_flow_ms: 10_000 },
    });
    browser = await Chromium.open({ trust: [spki(world.certificate)] });
    world.atEnd(() => browser.close());
    world.atEnd(() => pbx.close());
    world.atEnd(() => site.close());
  }, 90_000);
  afterAll(() => world.close());

  /** A page whose script has run. */
  async function aPage(url: string): Promise<Page> {
    const page = await browser.page(url);
    await page.evaluate(
      'new Promise((done) => { const look = () => (window.ready ? done() : setTimeout(look, 10)); look(); })',
    );
    return page;
  }

  /** A tab of this user with a token, registered. */
  async function aTab(user: string, token: string, instance: string, url = site.url): Promise<Page> {
    const password = (users[user] ??= world.password());
    const { address, port } = world.edge.at('wss');
    const tab = await aPage(url);
    const facts = {
      edge: `wss://${address}:${port}`,
      user,
      domain: foreignDomain,
      password,
      contact: `${randomUUID().slice(0, 12)}.invalid`,
      push: world.pushParams(token),
      instance,
    };
    expect(await tab.evaluate(`phone.register(${JSON.stringify(facts)})`)).toBe('*;+sip.pns="apns"');
    return tab;
  }

  const invitesOf = (tab: Page): number => tab.received.filter((text) => text.startsWith('INVITE ')).length;

  it('[EDGE-WS-10] [PN-PROXY-06] is woken after its tab was closed, gets one INVITE and talks; the caller hangs up', async () => {
    const [token, instance] = [world.token(), randomUUID()];
    const first = await aTab('anna', token, instance);
    await first.close();
    const back = new Promise<Page>((resolve, reject) => {
      world.onPush(token, () => {
        aTab('anna', token, instance).then(
          (page) => resolve(page),
          (error: unknown) => reject(error as Error),
        );
      });
    });
    const far = await aPage(site.url);
    const offer = String(await far.evaluate('caller.offer()'));
    const call = pbx.call('anna', { body: offer });
    const answer = await call.answer();
    expect(answer.status).toBe(200);
    const tab = await back;
    expect(await far.evaluate(`caller.answered(${JSON.stringify(answer.body)})`)).toBe('connected');
    await tab.evaluate(`phone.until('confirmed')`);
    expect((await call.dialog?.bye())?.status).toBe(200);
    expect(await tab.evaluate(`phone.until('ended')`)).toContainEqual(expect.stringMatching(/^ended/));
    expect(await tab.evaluate('phone.calls')).toBe(1);
    expect(invitesOf(tab)).toBe(1);
    expect(world.pushesFor(token)).toBe(1);
    await Promise.all([tab.close(), far.close()]);
  });

  it('[PN-PROXY-30] rings in its open tab without a push, and hangs up itself', async () => {
    const token = world.token();
    const tab = await aTab('bert', token, randomUUID());
    const far = await aPage(site.url);
    const call = pbx.call('bert', { body: String(await far.evaluate('caller.offer()')) });
    const answer = await call.answer();
    expect(answer.status).toBe(200);
    expect(await far.evaluate(`caller.answered(${JSON.stringify(answer.body)})`)).toBe('connected');
    await tab.evaluate(`phone.until('confirmed')`);
    await tab.evaluate('phone.hangUp()');
    expect((await call.dialog?.ended)?.method).toBe('BYE');
    expect(world.pushesFor(token)).toBe(0);
    expect(invitesOf(tab)).toBe(1);
    await Promise.all([tab.close(), far.close()]);
  });

  it('[EDGE-WS-08] a page of another site cannot connect', async () => {
    const elsewhere = await servePhone(library());
    try {
      await expect(aTab('carl', world.token(), randomUUID(), elsewhere.url)).rejects.toThrow(/1006/);
      expect(await world.metric('reveille_engine_events_total{event="upgradesRefused"}')).toBeGreaterThan(0);
    } finally {
      await elsewhere.close();
    }
  });
});

/** What Chromium calls a server's key: base64 of the SHA-256 of its public key. */
function spki(certificate: string): string {
  const key = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(key).digest('base64');
}
