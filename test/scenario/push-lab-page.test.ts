/** The page of the push lab in a real Chromium: it shows pushes as they arrive, and shows text from the network as text. */
import { randomUUID } from 'node:crypto';
import { connect } from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApnsLab, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import { type Control, startControl } from '../../apps/push-lab/control.ts';
import { Feed } from '../../apps/push-lab/feed.ts';
import { pageRoutes } from '../../apps/push-lab/page-routes.ts';
import { parseRule } from '../../apps/push-lab/rules.ts';
import { openApns } from '../../lib/adapters/apns/apns-push-service.ts';
import { Chromium, type Page } from '../support/chromium.ts';
import { needs, titled } from '../support/needs.ts';
import { aCall, anApp, aToken, noSignal } from '../support/push-request.ts';

const why = needs('chromium');

describe.skipIf(why !== undefined)(titled('page of the push lab', why), { timeout: 60_000 }, () => {
  const feed = new Feed();
  let lab: ApnsLab;
  let control: Control;
  let browser: Chromium;
  let page: Page;
  let apns: ReturnType<typeof openApns>;

  beforeAll(async () => {
    lab = await startApnsLab({ onSeen: feed.put.bind(feed) });
    control = await startControl(lab, '127.0.0.1', 0, pageRoutes(feed, undefined));
    apns = openApns({ apps: [anApp(lab)] });
    browser = await Chromium.open({ trust: [] });
    page = await browser.page(`http://127.0.0.1:${control.port}/`);
    await shown('#link', 'live');
  }, 60_000);
  afterAll(async () => {
    await apns?.close();
    await browser?.close();
    await control?.close();
    await lab?.close();
  });

  /** Resolves with the text of the first element when it has this in it. */
  const shown = (selector: string, text: string): Promise<unknown> =>
    page.evaluate(`new Promise((done) => {
      const look = () => {
        const found = document.querySelector(${JSON.stringify(selector)})?.textContent ?? '';
        if (!found.includes(${JSON.stringify(text)})) return false;
        done(found);
        return true;
      };
      if (look()) return;
      const observer = new MutationObserver(() => look() && observer.disconnect());
      observer.observe(document.body, { subtree: true, childList: true, characterData: true });
    })`);
  const rows = 'document.querySelectorAll("#rows tr:not([hidden])").length';
  const first = '#rows tr:first-child';

  it('shows a push, what was verified, and where its phone is, without its token', async () => {
    const asked = aCall();
    const token = asked.tokens[0]?.token ?? '';
    await apns.push(asked, noSignal);
    expect(await shown(first, 'all good')).toMatch(/APNs[0-9a-f]{10}.*accepted 200/);
    feed.mark(token, { user: 'anna', state: 'registered', latencyMs: 321 });
    expect(await shown(first, 'anna: registered')).toContain('321 ms');
    expect(await page.evaluate(rows)).toBe(1);
    expect(String(await page.evaluate('document.documentElement.outerHTML'))).not.toContain(token);
  });

  it('shows faults and refusals with their reason, and filters', async () => {
    lab.rules.add(parseRule({ do: 'answer', status: 410, reason: 'Unregistered', times: 1 }));
    await apns.push(aCall(), noSignal);
    await shown(first, 'answer 410 Unregistered');
    const count = await page.evaluate(rows);
    const only = (id: string, value: string): Promise<unknown> =>
      page.evaluate(`(() => {
        const field = document.getElementById('${id}');
        field.value = '${value}';
        field.dispatchEvent(new Event('input', { bubbles: true }));
        return ${rows};
      })()`);
    expect(await only('outcome', 'fault')).toBe(1);
    expect(await only('outcome', '')).toBe(count);
    expect(await only('text', 'anna')).toBe(1);
    expect(await only('text', '')).toBe(count);
  });

  it('takes markup from the network for text', async () => {
    const nasty = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
    const session = connect(lab.endpoint, { ca: lab.ca });
    const stream = session.request({
      ...{ ':method': 'POST', ':path': `/3/device/${aToken()}`, 'apns-id': randomUUID() },
      ...{ 'apns-push-type': nasty.slice(0, 39), authorization: 'bearer <b>x</b>' },
    });
    stream.on('error', () => undefined).end(nasty);
    expect(await shown(first, 'refused 403')).toContain(nasty.slice(0, 20));
    session.destroy();
    feed.mark(aToken(), { user: nasty, state: nasty });
    feed.put({ service: 'webhook', token: 'x', class: nasty, outcome: 'refused', why: nasty });
    feed.mark('x', { user: nasty, state: nasty });
    await shown(first, 'window.hacked');
    expect(await page.evaluate('[window.hacked, document.querySelectorAll("#rows img, #rows script").length]')).toEqual(
      [null, 0],
    );
    expect(page.said).toEqual([]);
  });

  it('fits a phone, in light and dark', async () => {
    const colour = (): Promise<unknown> => page.evaluate('getComputedStyle(document.body).backgroundColor');
    await page.resize(360, 740);
    // nothing sticks out, beside a scroll bar or not
    for (const part of ['document.documentElement', 'document.querySelector("main")'])
      expect(await page.evaluate(`${part}.scrollWidth - ${part}.clientWidth`)).toBe(0);
    expect(await page.evaluate('getComputedStyle(document.querySelector("#rows tr:not([hidden])")).display')).toBe(
      'grid',
    );
    const light = await colour();
    await page.resize(1200, 800, true);
    expect(await colour()).not.toBe(light);
    expect(await page.evaluate('getComputedStyle(document.querySelector("#rows tr")).display')).toBe('table-row');
  });

  it('comes back by itself when the lab does', async () => {
    const { port } = control;
    await control.close();
    await shown('#link', 'gone');
    const anew = new Feed();
    anew.put({ service: 'fcm', token: 'y', class: 'HIGH', outcome: 'accepted', status: 200 });
    control = await startControl(lab, '127.0.0.1', port, pageRoutes(anew, undefined));
    await shown('#link', 'live');
    await shown(first, 'FCM');
    expect(await page.evaluate(rows)).toBe(1);
  });
});
