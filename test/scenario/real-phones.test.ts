/** Phones that nobody of us wrote: Linphone, which can ask for pushes and is woken by one, and baresip as a plain phone. Headless, without sound. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../apps/demo/edge-process.ts';
import type { Phone } from '../../apps/demo/phone.ts';
import { needs, titled } from '../support/needs.ts';
import { Program } from '../support/program.ts';
import { anOffer, Bed, pbxDomain } from '../support/test-bed.ts';

let bed: Bed;
let dir: string;
beforeAll(async () => {
  bed = await Bed.open({ holdSeconds: 20 });
  dir = mkdtempSync(join(tmpdir(), 'reveille-phones-'));
});
afterAll(async () => {
  await Program.stopAll();
  await bed.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Once the PBX has its contact, the 2xx is on its way to the phone. */
async function registered(user: string, program: Program): Promise<void> {
  const endAt = Date.now() + 20_000;
  while (bed.pbx.bindings(user).length === 0) {
    if (Date.now() > endAt) throw new Error(`${user} did not register: ${program.printed.slice(-1500)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

const noLinphone = needs('linphonec');
describe.skipIf(noLinphone !== undefined)(titled('Linphone', noLinphone), () => {
  const start = async (phone: Phone, transport: 'udp' | 'tcp'): Promise<Program> => {
    const { user, address, password } = phone.options;
    const edge = bed.edge.at(transport);
    const port = await freePort(address);
    const home = join(dir, user);
    mkdirSync(join(home, '.local/share/linphone'), { recursive: true });
    const proxy = `<sip:${edge.address}:${edge.port};transport=${transport}>`;
    const settings = [
      '[sip]',
      `sip_port=${transport === 'udp' ? port : 0}`,
      `sip_tcp_port=${transport === 'tcp' ? port : 0}`,
      'sip_tls_port=0',
      'use_ipv6=0',
      `bind_address=${address}`,
      'default_proxy=0',
      'register_only_when_network_is_up=0',
      '[misc]',
      `uuid=${phone.options.instanceId?.replace('urn:uuid:', '')}`,
      '[proxy_0]',
      `reg_proxy=${proxy}`,
      `reg_route=${proxy}`,
      `reg_identity=<sip:${user}@${pbxDomain}>`,
      'reg_expires=3600',
      'reg_sendregister=1',
      `contact_uri_parameters=pn-provider=apns;pn-param=${phone.push?.param};pn-prid=${phone.push?.prid}`,
      '[auth_info_0]',
      `username=${user}`,
      `passwd=${password}`,
      `realm=${pbxDomain}`,
      `domain=${pbxDomain}`,
      'algorithm=MD5',
      '',
    ];
    writeFileSync(join(home, 'linphonerc'), settings.join('\n'));
    const env = { ...process.env, HOME: home };
    return new Program('linphonec', ['-c', join(home, 'linphonerc'), '-a', '-d', '0'], { cwd: home, env });
  };

  it.each(['udp', 'tcp'] as const)(
    'registers over %s, is killed, is woken by the push and answers; either side can hang up',
    async (transport) => {
      const user = `linphone-${transport}`;
      const phone = bed.phone(user, { transport });
      const first = await start(phone, transport);
      await registered(user, first);
      await first.stop('SIGKILL');
      let linphone: Program | undefined;
      for (const by of ['caller', 'phone'] as const) {
        const call = bed.pbx.call(user, { body: anOffer() });
        const answered = call.answer();
        await bed.nextPush(phone);
        linphone = await start(phone, transport);
        const answer = await answered;
        expect(answer.status, linphone.printed.slice(-1500)).toBe(200);
        expect(answer.body).toContain('m=audio');
        if (by === 'caller') expect((await call.dialog?.bye())?.status).toBe(200);
        else {
          linphone.type('terminate');
          expect((await call.dialog?.ended)?.method).toBe('BYE');
        }
        await linphone.stop('SIGKILL');
      }
      expect(bed.pushesFor(phone)).toHaveLength(2);
    },
    60_000,
  );
});

const noBaresip = needs('baresip');
describe.skipIf(noBaresip !== undefined)(titled('baresip', noBaresip), () => {
  it.each(['udp', 'tcp'] as const)(
    'registers over %s as a plain phone, rings at once and answers, and is not pushed',
    async (transport) => {
      const user = `baresip-${transport}`;
      const phone = bed.phone(user, { transport, plain: true });
      const { address, password } = phone.options;
      const edge = bed.edge.at(transport);
      const home = join(dir, user);
      mkdirSync(home, { recursive: true });
      const settings = [
        `sip_listen ${address}:${await freePort(address)}`,
        'module_path /usr/lib/baresip/modules',
        'module g711.so',
        'module aubridge.so',
        'audio_player aubridge,nil',
        'audio_source aubridge,nil',
        'audio_alert aubridge,nil',
        'module_tmp account.so',
        'module_app menu.so',
        '',
      ];
      writeFileSync(join(home, 'config'), settings.join('\n'));
      writeFileSync(
        join(home, 'accounts'),
        `<sip:${user}@${pbxDomain};transport=${transport}>;auth_pass=${password};outbound="sip:${edge.address}:${edge.port};transport=${transport}";regint=3600;answermode=auto\n`,
      );
      const baresip = new Program('baresip', ['-f', home], { cwd: home, env: { ...process.env, HOME: home } });
      await registered(user, baresip);
      const pushed = bed.lab.pushes().length;
      const call = bed.pbx.call(user, { body: anOffer() });
      const answer = await call.answer(20_000);
      expect(answer.status, baresip.printed.slice(-1500)).toBe(200);
      expect(answer.body).toContain('m=audio');
      expect((await call.dialog?.bye())?.status).toBe(200);
      expect(bed.lab.pushes()).toHaveLength(pushed);
      await baresip.stop();
    },
    60_000,
  );
});
