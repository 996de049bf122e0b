/** The APNs stand-in of the push lab as a process of its own: tells its parent how to be reached, then every push as it comes. */
import { startApnsLab } from '../apps/push-lab/apns-lab.ts';
import { wallMs } from './load/sip-text.ts';
import type { PushAccess } from './servers/edge.ts';

export type PushMessage =
  | { readonly is: 'ready'; readonly access: PushAccess }
  | { readonly is: 'push'; readonly token: string; readonly at: number };

const lab = await startApnsLab({ keep: 0 });
const { credentials } = lab;
tell({
  is: 'ready',
  access: {
    endpoint: lab.endpoint,
    ca: lab.ca,
    teamId: credentials.teamId,
    keyId: credentials.keyId,
    privateKey: credentials.privateKey,
  },
});
lab.onPush(({ token }) => tell({ is: 'push', token, at: wallMs() }));
process.on('disconnect', () => process.exit(0));

function tell(message: PushMessage): void {
  process.send?.(message);
}
