/** A real Kamailio as PBX: registrar with digest, calls to registered contacts, Record-Route (test/scenario/kamailio/office.cfg). */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../apps/demo/edge-process.ts';
import { UserAgent } from '../../apps/demo/ua.ts';
import type { Remote } from '../../apps/demo/wire.ts';
import { Headers } from '../../lib/sip/headers.ts';
import { Program } from './foreign-program.ts';

const file = fileURLToPath(new URL('../scenario/kamailio/office.cfg', import.meta.url));

export class Kamailio {
  readonly program: Program;
  readonly address: string;
  readonly port: number;
  /** of every user */
  readonly password: string;

  private constructor(address: string, port: number, domain: string, password: string, flags: readonly string[]) {
    this.address = address;
    this.port = port;
    this.password = password;
    const facts = { ADDRESS: address, PORT: String(port), DOMAIN: domain, PASSWORD: password };
    this.program = new Program('kamailio', [
      ...['-f', file, '-DD', '-E', '-m', '16'],
      ...Object.entries(facts).flatMap(([name, value]) => ['-A', `${name}=${value}`]),
      ...flags.flatMap((flag) => ['-A', flag]),
    ]);
  }

  /**
   * Ready when it answers OPTIONS. `withPath`: its registrar keeps Path and refuses phones that do not know it. `oneContact`:
   * max_contacts is 1. `like`: one that has been stopped comes back, and has forgotten everybody.
   */
  static async start(
    address: string,
    domain: string,
    {
      withPath = false,
      oneContact = false,
      like,
    }: { readonly withPath?: boolean; readonly oneContact?: boolean; readonly like?: Kamailio } = {},
  ): Promise<Kamailio> {
    const password = like?.password ?? `p${randomBytes(12).toString('hex')}`;
    const port = like?.port ?? (await freePort(address));
    const kamailio = new Kamailio(address, port, domain, password, [
      ...(withPath ? ['WITH_PATH'] : []),
      ...(oneContact ? ['WITH_ONE_CONTACT'] : []),
    ]);
    const probe = await UserAgent.open({ transport: 'udp', address, outbound: kamailio.at('udp') });
    const headers = Headers.of([
      ['From', `<sip:probe@${domain}>;tag=p`],
      ['To', `<sip:${domain}>`],
      ['Call-ID', `probe-${kamailio.port}`],
      ['CSeq', '1 OPTIONS'],
    ]);
    // sent again and again until somebody listens, as any request over UDP
    const { status } = await Promise.race([
      probe.request('OPTIONS', `sip:${domain}`, { headers }).answer(),
      kamailio.program.exited.then((code): never => {
        throw new Error(`kamailio ended with ${code}: ${kamailio.program.tail}`);
      }),
    ]);
    await probe.close();
    if (status !== 200) throw new Error(`kamailio answers OPTIONS with ${status}`);
    return kamailio;
  }

  at(transport: 'udp' | 'tcp'): Remote {
    return { transport, address: this.address, port: this.port };
  }

  async stop(): Promise<void> {
    await this.program.stop();
  }
}
