import { describe, expect, it } from 'vitest';
import { manyEngines, type Reached } from '../../../../lib/adapters/srf/engines.ts';
import type { Client } from '../../../../lib/ports/client.ts';
import type { LegEvents, LegRequest, Legs } from '../../../../lib/ports/leg.ts';
import { Headers } from '../../../../lib/sip/headers.ts';
import { response } from '../../../../lib/sip/message.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function aWorld() {
  const told: string[] = [];
  let lives = true;
  let comes = false;
  let open = { dialogs: 0, requests: 0 };
  let connects = true;
  let answers = true;
  const legs = (name: string): Legs => ({
    start: ({ uri }) => {
      told.push(`${name} INVITE ${uri}`);
      return { callId: name, cancel: () => told.push(`${name} CANCEL`), move: () => undefined };
    },
  });
  const client = (name: string): Client => ({
    send: () => {
      told.push(`${name} MESSAGE`);
      return Promise.resolve({ response: response(200, 'OK', Headers.empty()), local: false });
    },
  });
  const engines = manyEngines({
    own: { id: 'own', legs: legs('own'), client: client('own') },
    lives: () => lives,
    look: () => {
      told.push('look');
      lives ||= comes;
      return Promise.resolve();
    },
    connect: (engine): Promise<Reached> => {
      told.push(`connect ${engine}`);
      if (!connects) return Promise.reject(new Error('refused'));
      const close = async (): Promise<void> => void told.push(`close ${engine}`);
      return Promise.resolve({
        ...{ legs: legs(engine), client: client(engine), up: true, open: () => open, close },
        answers: () => {
          told.push(`ping ${engine}`);
          return Promise.resolve(answers);
        },
      });
    },
    onTrouble: (engine) => told.push(`trouble ${engine}`),
  });
  const events: LegEvents = {
    progress: () => undefined,
    answered: () => undefined,
    failed: ({ status }, local) => told.push(`failed ${status} ${local ? 'by us' : 'by the peer'}`),
  };
  const ask = (engine?: string): LegRequest => ({
    ...{ uri: 'sip:a@x', nextHop: 'sip:192.0.2.1:5060', headers: Headers.empty(), body: '' },
    ...(engine === undefined ? {} : { engine }),
  });
  return {
    told,
    engines,
    start: (engine?: string) => engines.legs.start(ask(engine), events),
    send: (engine?: string) => engines.client.send({ ...ask(engine), method: 'MESSAGE', timeoutMs: 1000 }),
    dies: () => (lives = false),
    comes: () => (comes = true),
    refuses: () => (connects = false),
    fallsSilent: () => (answers = false),
    has: (dialogs: number) => (open = { dialogs, requests: 0 }),
  };
}

describe('legs over the engines of many nodes', () => {
  it('leave from our own engine without a connection, and from another over one connection for all', async () => {
    const { told, start, send } = aWorld();
    start();
    start('own');
    const far = start('B');
    await turn();
    expect(far.callId).toBe('B');
    start('B');
    await turn();
    expect((await send('B')).response.status).toBe(200);
    const [own, other] = ['own INVITE sip:a@x', 'B INVITE sip:a@x'];
    const ping = 'ping B';
    expect(told).toEqual([own, own, 'connect B', ping, other, ping, other, ping, 'B MESSAGE']);
  });

  it('are never sent when they were cancelled before the engine was reached', async () => {
    const { told, start } = aWorld();
    start('B').cancel();
    await turn();
    expect(told).toEqual(['connect B', 'ping B', 'failed 487 by us']);
  });

  it('fail as a dead flow does when the engine is gone or refuses, and the next one tries anew', async () => {
    const { told, start, send, refuses, dies } = aWorld();
    refuses();
    start('B');
    await turn();
    expect((await send('B')).response.status).toBe(503);
    dies();
    start('B');
    await turn();
    const failed = ['trouble B', 'failed 503 by us'];
    expect(told).toEqual(['connect B', ...failed, 'connect B', 'trouble B', 'look', ...failed]);
  });

  it('find an engine that has come since we heard last who is there', async () => {
    const { told, start, dies, comes } = aWorld();
    dies();
    comes();
    start('B');
    start('B');
    await turn();
    expect(told).toEqual(['look', 'connect B', 'ping B', 'ping B', 'B INVITE sip:a@x', 'B INVITE sip:a@x']);
  });

  it('leave no connection behind that was still to come when all was closed, and begin none after', async () => {
    const { told, engines, start } = aWorld();
    start('B');
    await engines.close();
    start('C');
    await turn();
    expect(told).toEqual(['connect B', 'ping B', 'close B', 'failed 503 by us', 'failed 503 by us']);
  });

  it('keep a connection while something goes on, and end it when nobody used it between two looks', async () => {
    const { told, engines, start, has } = aWorld();
    start('B');
    await turn();
    has(1);
    for (let look = 0; look < 3; look++) engines.tidy();
    expect(told).not.toContain('close B');
    has(0);
    engines.tidy();
    expect(told.at(-1)).toBe('close B');
    start('B');
    await turn();
    expect(told.filter((one) => one === 'connect B')).toHaveLength(2);
  });

  it('leave over a new connection when the old one is silent, whose calls are kept as long as they last', async () => {
    const { told, engines, start, fallsSilent, has } = aWorld();
    start('B');
    await turn();
    told.length = 0;
    has(1);
    fallsSilent();
    start('B');
    await turn();
    expect(told).toEqual(['ping B', 'connect B', 'B INVITE sip:a@x']);
    engines.tidy();
    expect(told).not.toContain('close B');
    has(0);
    engines.tidy();
    expect(told.filter((one) => one === 'close B')).toHaveLength(2);
  });

  it('fail when the silent engine cannot be connected to either', async () => {
    const { told, start, fallsSilent, refuses } = aWorld();
    start('B');
    await turn();
    told.length = 0;
    fallsSilent();
    refuses();
    start('B');
    await turn();
    expect(told).toEqual(['ping B', 'connect B', 'trouble B', 'failed 503 by us']);
  });
});
