/** An APNs stand-in as a process of its own that can be killed and started again at the same place with the same keys. */
import { type LabCredentials, startApnsLab } from '../../apps/push-lab/apns-lab.ts';
import type { ServerIdentity } from '../../apps/push-lab/certificate.ts';

export interface PushServicePlan {
  readonly host: string;
  readonly port: number;
  readonly tls: ServerIdentity;
  readonly credentials: LabCredentials;
}

export type PushOrder =
  | { readonly do: 'start'; readonly plan: PushServicePlan }
  /** every push is answered 503, or no longer */
  | { readonly do: 'refuse'; readonly on: boolean }
  | { readonly do: 'goaway' };

export type PushWord = { readonly is: 'ready' } | { readonly is: 'push'; readonly token: string };

let refuse: (on: boolean) => void = () => undefined;
let goaway: () => void = () => undefined;

async function start({ host, port, tls, credentials }: PushServicePlan): Promise<void> {
  const lab = await startApnsLab({ host, port, tls, credentials, keep: 0 });
  lab.onPush(({ token }) => say({ is: 'push', token }));
  refuse = (on) => {
    lab.rules.clear();
    if (on) lab.rules.add({ fault: { do: 'answer', status: 503, reason: 'ServiceUnavailable' } });
  };
  goaway = () => void lab.goaway('graceful');
  say({ is: 'ready' });
}

process.on('message', (order: PushOrder) => {
  if (order.do === 'start') void start(order.plan);
  else if (order.do === 'refuse') refuse(order.on);
  else goaway();
});
process.on('disconnect', () => process.exit(0));

function say(word: PushWord): void {
  process.send?.(word);
}
