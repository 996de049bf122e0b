/**
 * Registration on behalf with a real registrar: Kamailio challenges each REGISTER and each call, keeps one Contact of the edge for each
 * account, and forgets everybody when it is restarted. The phones are known by the API alone, or register with the edge.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { sessionDescription } from '../../apps/demo/media.ts';
import { Phone } from '../../apps/demo/phone.ts';
import { foreign, foreignDomain, World } from '../support/interop-world.ts';
import { Kamailio } from '../support/kamailio.ts';
import { needs, titled } from '../support/needs.ts';

const why = needs('kamailio');
const offer = sessionDescription(foreign.caller, 42_000);
const answerSdp = sessionDescription(foreign.phones, 43_000);

interface Row {
  readonly aor: string;
  readonly state: string;
  readonly expires: number | null;
  readonly lastRegistration: string | null;
  readonly lastFailure: { readonly status: number; readonly reason: string } | null;
}

describe.skipIf(why !== undefined).each(['udp', 'tcp'] as const)(
  titled('on behalf at Kamailio over %s', why),
  (transport) => {
    let world: World;
    let kamailio: Kamailio;
    let desk: Phone;
    let phonePassword: string;
    const phones: Phone[] = [];

    beforeAll(async () => {
      kamailio = await Kamailio.start(foreign.pbx, foreignDomain);
      phonePassword = 'the phones of the edge say this';
      world = await World.open({
        upstream: `sip:${kamailio.address}:${kamailio.port};transport=${transport}`,
        domain: {
          registration: 'registrar',
          upstream_mode: 'on_behalf',
          accounts: [{ name: 'anna', password: kamailio.password, phone_password: phonePassword }],
        },
        onBehalf: { retry_interval: 1, answer_seconds: 2, expires: 120 },
      });
      world.secrets.set(kamailio.password, 'the password');
      world.secrets.set(phonePassword, 'the password of the phones');
      world.atEnd(async () => {
        await Promise.all(phones.map((phone) => phone.sleep()));
        await kamailio.stop();
      });
      await seats();
    });
    afterAll(() => world.close());

    /** A desk phone at Kamailio itself; anew after each restart of Kamailio. */
    async function seats(): Promise<void> {
      desk = new Phone({
        user: 'desk',
        domain: foreignDomain,
        password: kamailio.password,
        address: foreign.caller,
        edge: kamailio.at('udp'),
      });
      phones.push(desk);
      expect((await desk.register()).status).toBe(200);
    }

    const api = async (method: string, path: string, body?: object): Promise<{ status: number; body: any }> => {
      const token = readFileSync(join(world.edge.dir, 'store/api-token'), 'utf8').trim();
      const response = await fetch(`http://${world.edge.http}/api/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${token}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: await response.json() };
    };
    const rowOf = async (aor: string): Promise<Row | undefined> =>
      (await api('GET', `/registrations?direction=outbound&aor=${aor}`)).body.outbound[0];
    const untilState = (aor: string, state: string): Promise<Row> =>
      vi.waitFor(
        async () => {
          const row = await rowOf(aor);
          expect(row).toMatchObject({ state });
          return row as Row;
        },
        { timeout: 20_000, interval: 50 },
      );

    function phoneOf(user: string, prid: string): Phone {
      const phone = new Phone({
        user,
        domain: foreignDomain,
        password: phonePassword,
        address: foreign.phones,
        edge: world.edge.at(transport),
        push: { provider: 'apns', param: world.pushParam, prid },
      });
      phones.push(phone);
      return phone;
    }

    async function callWakes(phone: Phone, prid: string): Promise<void> {
      world.onPush(prid, () => {
        phone.wake({ restarted: true }).catch(() => undefined); // closed meanwhile
      });
      const call = desk.call(phone.options.user, { body: offer });
      const answered = call.answer();
      const incoming = await phone.nextCall();
      incoming.answer(answerSdp);
      expect((await answered).status).toBe(200);
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
      await phone.sleep();
    }

    it('registers an account of the config, with the digest Kamailio asks for', async () => {
      const row = await untilState(`anna@${foreignDomain}`, 'registered');
      expect(row.expires).toBeGreaterThan(100);
      expect(row.lastFailure).toBeNull();
      await kamailio.program.says(/registered anna/);
    });

    it('a phone that only the API knows is woken by a call, registers with the edge, and is called', async () => {
      const prid = world.token();
      const made = await api('POST', '/phones', {
        aor: `anna@${foreignDomain}`,
        provider: 'apns',
        param: world.pushParam,
        prid,
      });
      expect(made).toMatchObject({ status: 201, body: { provisioned: true } });
      expect(JSON.stringify(made.body)).not.toContain(prid);
      const phone = phoneOf('anna', prid);
      await callWakes(phone, prid);
      // and once more, when its registration is a sleeping one
      await callWakes(phone, prid);
      const { body } = await api('GET', `/registrations/anna@${foreignDomain}`);
      expect(body.inbound).toMatchObject([{ provisioned: true, push: 'apns' }]);
    });

    it('a call of the phone goes out with the account of the edge, which answers the 407 of Kamailio', async () => {
      const prid = world.token();
      const phone = phoneOf('anna', prid);
      expect((await phone.register()).status).toBe(200);
      const call = phone.call('desk', { body: offer });
      const answered = call.answer();
      const incoming = await desk.nextCall();
      expect(incoming.request.headers.get('From')).toContain(`<sip:anna@${foreignDomain}>`);
      incoming.answer(answerSdp);
      expect((await answered).status).toBe(200);
      // the phone was asked for its own password by the edge, and by nobody else
      const realms = phone.seen('in', '407').map(({ message }) => message.headers.get('Proxy-Authenticate'));
      expect(realms).toHaveLength(1);
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect((await incoming.dialog.ended)?.method).toBe('BYE');
      await phone.register({ contact: '*', expires: 0 });
    });

    it('a wrong password is refused for good, shown with its reason, and works again once it is changed', async () => {
      const aor = `bert@${foreignDomain}`;
      expect((await api('PUT', `/accounts/${aor}`, { password: world.password() })).status).toBe(201);
      const row = await untilState(aor, 'rejected');
      expect(row.lastFailure).toMatchObject({ status: 401, reason: 'the credentials were refused' });
      expect(await api('POST', '/accounts', { aor, password: 'again' })).toMatchObject({ status: 409 });
      expect((await api('PUT', `/accounts/${aor}`, { password: kamailio.password })).status).toBe(200);
      await untilState(aor, 'registered');
      const shown = await api('GET', `/accounts/${aor}`);
      expect(JSON.stringify(shown.body)).not.toContain(kamailio.password);
    });

    it('the command shows both directions and the totals', async () => {
      const file = join(world.dir, 'cli.yaml');
      writeFileSync(
        file,
        JSON.stringify({
          http: { listen: world.edge.http },
          store: { kind: 'lmdb', path: join(world.edge.dir, 'store') },
        }),
      );
      const main = join(import.meta.dirname, '../../dist/apps/cli/main.js');
      const run = (...words: string[]): Promise<string> =>
        new Promise((resolve, reject) => {
          execFile(process.execPath, [main, ...words, '--config', file], (error, out, err) =>
            error === null ? resolve(out) : reject(new Error(err)),
          );
        });
      const text = await run('registrations');
      expect(text).toMatch(/anna@office\.example\.com\s+anna\s+office\.example\.com\s+\d+\s+registered/);
      expect(text).toMatch(/Outbound: 2 \(2 registered\)/);
      const all = JSON.parse(await run('registrations', '--all', '--json'));
      expect(all.outbound.map(({ aor }: Row) => aor).sort()).toEqual([
        `anna@${foreignDomain}`,
        `bert@${foreignDomain}`,
      ]);
      expect(all.inbound.length).toBeGreaterThan(0);
    });

    it('a stop takes the Contact back, a start brings it back, a removal takes everything', async () => {
      const aor = `bert@${foreignDomain}`;
      expect(await api('POST', `/registrations/${aor}/stop`)).toMatchObject({
        status: 202,
        body: { state: 'stopped' },
      });
      expect((await desk.call('bert', { body: offer }).answer()).status).toBe(404);
      await api('POST', `/registrations/${aor}/start`);
      await untilState(aor, 'registered');
      // Kamailio knows it again, and nobody is behind it
      expect((await desk.call('bert', { body: offer }).answer()).status).toBe(480);
      expect(await api('DELETE', `/accounts/${aor}`)).toMatchObject({ status: 200 });
      expect((await desk.call('bert', { body: offer }).answer()).status).toBe(404);
      expect(await rowOf(aor)).toBeUndefined();
    });

    it('a Kamailio that was restarted knows the account again without anybody, and its call wakes the phone', async () => {
      const aor = `anna@${foreignDomain}`;
      await kamailio.stop();
      await api('POST', `/registrations/${aor}/register`);
      const down = await untilState(aor, 'rejected');
      expect(down.lastFailure).toMatchObject({ status: 0, reason: 'no answer' });
      kamailio = await Kamailio.start(foreign.pbx, foreignDomain, { like: kamailio });
      await untilState(aor, 'registered');
      await seats();
      const prid = world.token();
      const phone = phoneOf('anna', prid);
      await api('PUT', `/phones/${aor}`, { provider: 'apns', param: world.pushParam, prid });
      await callWakes(phone, prid);
    });
  },
);
