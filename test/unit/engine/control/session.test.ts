import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { Commands } from '../../../../lib/engine/control/commands.ts';
import { Door } from '../../../../lib/engine/control/door.ts';
import { frame } from '../../../../lib/engine/control/frames.ts';
import { Routes } from '../../../../lib/engine/control/routes.ts';
import { digest, Session } from '../../../../lib/engine/control/session.ts';
import { zeroCounters } from '../../../../lib/engine/counters.ts';
import { settle } from '../../../../lib/engine/options.ts';

test('an app that writes without end is not worked for without end in one turn of the event loop', async () => {
  const counters = zeroCounters();
  const { limits } = settle({ listen: [], control: { port: 0, secret: 'x' } });
  let turn = 0;
  const perTurn = new Map<number, number>();
  class Counting extends Commands {
    override perform(): void {
      perTurn.set(turn, (perTurn.get(turn) ?? 0) + 1);
    }
  }
  const commands = new Counting({
    hostports: () => ({ told: '', bound: '' }),
    routes: new Routes(),
    frames: {
      onResponse: () => {},
      onCancel: () => {},
      onMove: () => {},
      onInDialog: () => {},
      onRequest: () => {},
      knowsTransaction: () => false,
      onAppGone: () => {},
    },
  });
  const door = new Door({ perAddress: 1, inAll: 1 });
  const server = createServer((socket: Socket) => {
    door.enter('');
    new Session(socket, '', { secret: digest('x'), limits, counters, door, commands, hasRoom: () => true });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const app = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  app.resume();
  app.write(frame('0|authenticate|x|') + frame('1|ping').repeat(20_000));
  const done = (): number => [...perTurn.values()].reduce((sum, count) => sum + count, 0);
  while (done() < 20_000) {
    turn++;
    await new Promise(setImmediate);
  }
  expect(Math.max(...perTurn.values())).toBeLessThanOrEqual(2 * 2048);
  app.destroy();
  server.close();
  await once(server, 'close');
  expect(door.waiting).toBe(0);
});
