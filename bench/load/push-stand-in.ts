/** The parent's end of the push stand-in process. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { PushMessage } from '../push-stand-in.ts';
import type { PushAccess } from '../servers/edge.ts';
import { projectRoot } from '../servers/place.ts';

export interface PushStandIn {
  readonly access: PushAccess;
  /** `at` by wallMs, when the whole push request had come */
  onPush: (token: string, at: number) => void;
  close(): void;
}

/** Inherits the core of the caller. */
export function startPushStandIn(): Promise<PushStandIn> {
  const child = fork(join(projectRoot, 'dist/bench/push-stand-in.js'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((done, fail) => {
    let standIn: PushStandIn | undefined;
    child.on('message', (message: PushMessage) => {
      if (message.is === 'ready') {
        standIn = { access: message.access, onPush: () => undefined, close: () => child.disconnect() };
        done(standIn);
      } else standIn?.onPush(message.token, message.at);
    });
    child.on('error', fail);
    child.on('exit', (code) => fail(new Error(`the push stand-in ended with exit code ${code}`)));
  });
}
