/** The parent's end of one push service. */
import { join } from 'node:path';
import { makeLabCredentials } from '../../apps/push-lab/apns-lab.ts';
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import { indexOfToken } from '../load/phone-identity.ts';
import { projectRoot } from '../servers/place.ts';
import type { NodePlan } from './node.ts';
import type { PushServicePlan, PushWord } from './push-service.ts';
import { Servant } from './servant.ts';

export class PushStandIn {
  readonly plan: PushServicePlan;
  onPush: (phone: number) => void = () => undefined;
  readonly #servant: Servant;
  #onReady: () => void = () => undefined;

  constructor(index: number, host: string, folder: string, at: NodePlan['at']) {
    const name = `push-${index}`;
    this.plan = {
      host,
      port: 2197 + index,
      tls: makeServerIdentity({ hosts: [name], addresses: [host] }),
      credentials: makeLabCredentials(`CHAOSTEAM${index}`, `CHAOSKEY0${index}`),
    };
    this.#servant = new Servant({
      name,
      ...at(process.execPath, [join(projectRoot, 'dist/bench/chaos/push-service.js')]),
      cwd: folder,
      logFile: join(folder, `${name}.log`),
      speaks: (said) => {
        const word = said as PushWord;
        if (word.is === 'ready') this.#onReady();
        else this.onPush(indexOfToken(word.token));
      },
    });
  }

  async start(): Promise<void> {
    const ready = new Promise<void>((done) => {
      this.#onReady = done;
    });
    this.#servant.start();
    this.#servant.say({ do: 'start', plan: this.plan });
    await Promise.race([
      ready,
      this.#servant.exited.then(() => {
        throw new Error('a push stand-in does not start; see its log');
      }),
    ]);
  }

  async kill(): Promise<void> {
    await this.#servant.kill();
  }

  freeze(): void {
    this.#servant.signal('SIGSTOP');
  }

  thaw(): void {
    this.#servant.signal('SIGCONT');
  }

  refuse(on: boolean): void {
    this.#servant.say({ do: 'refuse', on });
  }

  goaway(): void {
    this.#servant.say({ do: 'goaway' });
  }
}
