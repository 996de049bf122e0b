import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemorySocket } from '../../../../lib/engine/control/memory-socket.ts';
import { parseMessage, type SipMessage } from '../../../../lib/sip/message.ts';

function heardBy(end: MemorySocket): string[] {
  const heard: string[] = [];
  end.on('data', (text: string) => heard.push(text));
  end.on('close', () => heard.push('close'));
  return heard;
}

test('what is written arrives in order and as it was, never within the write', async () => {
  const [one, other] = MemorySocket.pair();
  const heard = heardBy(other);
  const texts = ['a', 'b\u00ff\u0000', 'c'.repeat(100_000)];
  for (const text of texts) expect(one.write(text)).toBe(true);
  await Promise.resolve();
  expect(heard).toEqual([]);
  expect(one.writableLength).toBe(100_004);
  const drained = once(one, 'drain');
  await drained;
  expect(heard).toEqual(texts);
  expect(one.writableLength).toBe(0);
});

test('a frame arrives in its parts, in order with what is written, and as a text where nobody listens to frames', async () => {
  const parsed = parseMessage('OPTIONS sip:a SIP/2.0\r\n\r\n') as SipMessage;
  for (const listens of [true, false]) {
    const [one, other] = MemorySocket.pair();
    const heard: unknown[] = [];
    other.on('data', (text: string) => heard.push(text));
    if (listens) other.on('frame', (frame) => heard.push(frame));
    one.write('before');
    expect(one.writeFrame('id|sip|', 'text', parsed)).toBe(true);
    one.write('after');
    expect(one.writableLength).toBe(6 + 7 + 2 + 4 + 5);
    await once(one, 'drain');
    expect(heard).toEqual([
      'before',
      listens ? { meta: 'id|sip|', message: 'text', parsed } : '13#id|sip|\r\ntext',
      'after',
    ]);
    expect(one.writableLength).toBe(0);
    other.destroy();
    expect(one.writeFrame('id|sip|', 'text')).toBe(false);
  }
});

test('both ends tell that they are connected, later', async () => {
  const [one, other] = MemorySocket.pair();
  const told: string[] = [];
  one.once('connect', () => told.push('one'));
  other.once('connect', () => told.push('other'));
  expect(told).toEqual([]);
  await Promise.all([once(one, 'connect'), once(other, 'connect')]);
  expect(told.toSorted()).toEqual(['one', 'other']);
});

test('a paused end takes nothing, in the middle of what has come too', async () => {
  const [one, other] = MemorySocket.pair();
  const heard: string[] = [];
  other.on('data', (text: string) => {
    heard.push(text);
    other.pause();
  });
  for (const text of ['a', 'b', 'c']) one.write(text);
  await turn();
  await turn();
  expect(heard).toEqual(['a']);
  expect(one.writableLength).toBe(2);
  other.resume();
  await turn();
  expect(heard).toEqual(['a', 'b']);
});

test('an end that is over gives what was written before, both ways, then both close', async () => {
  const [one, other] = MemorySocket.pair();
  const [byOne, byOther] = [heardBy(one), heardBy(other)];
  one.write('last of one');
  other.write('last of the other');
  one.end();
  expect(one.write('too late')).toBe(false);
  await once(other, 'close');
  expect([byOne, byOther]).toEqual([
    ['last of the other', 'close'],
    ['last of one', 'close'],
  ]);
});

test('destroySoon waits until the other end has taken everything, not for what that has to say', async () => {
  const [one, other] = MemorySocket.pair();
  one.pause();
  const heard = heardBy(other);
  other.write('nobody reads this');
  one.write('refused');
  one.destroySoon();
  await once(other, 'close');
  expect(heard).toEqual(['refused', 'close']);
  expect(one.destroyed).toBe(true);
});

test('destroy ends both at once: what was written still arrives, unless nobody reads', async () => {
  for (const reads of [true, false]) {
    const [one, other] = MemorySocket.pair();
    const heard = heardBy(other);
    if (!reads) other.pause();
    const failed = once(one, 'error');
    one.write('a');
    one.destroy(new Error('enough'));
    await once(other, 'close');
    expect(heard).toEqual(reads ? ['a', 'close'] : ['close']);
    expect(((await failed) as [Error])[0].message).toBe('enough');
    expect(other.write('b')).toBe(false);
  }
});

test('a connection nobody accepts fails as a socket does', async () => {
  const end = MemorySocket.refused();
  const seen: string[] = [];
  for (const event of ['connect', 'error', 'close']) end.on(event, () => seen.push(event));
  await turn();
  expect(seen).toEqual(['error', 'close']);
});

type Act = 'write' | 'pause' | 'resume' | 'end' | 'destroySoon' | 'destroy' | 'turn';

test('in any order of events nothing is lost before the end, nothing comes after it, and an end is told once', async () => {
  const acts = fc.array(
    fc.tuple(
      fc.nat(1),
      fc.constantFrom<Act>('write', 'pause', 'resume', 'end', 'destroySoon', 'destroy', 'turn', 'write', 'turn'),
    ),
    { maxLength: 30 },
  );
  await fc.assert(
    fc.asyncProperty(acts, async (story) => {
      const ends = MemorySocket.pair();
      const heard = ends.map(heardBy);
      const written: string[][] = [[], []];
      for (const [who, act] of story) {
        const end = ends[who] as MemorySocket;
        if (act === 'turn') await turn();
        else if (act === 'write') {
          const text = `${who} ${written[who]?.length}`;
          if (end.write(text)) written[who]?.push(text);
        } else end[act]();
      }
      for (const end of ends) end.resume();
      const over = story.some(([, act]) => act === 'end' || act === 'destroySoon' || act === 'destroy');
      for (let turns = 0; turns < 6; turns++) await turn();
      for (const who of [0, 1]) {
        const texts = heard[1 - who]?.filter((text) => text !== 'close') ?? [];
        expect(written[who]?.slice(0, texts.length)).toEqual(texts);
        expect(heard[who]?.indexOf('close')).toBe(over ? (heard[who]?.length ?? 0) - 1 : -1);
        if (!story.some(([, act]) => act === 'destroy' || act === 'destroySoon')) expect(texts).toEqual(written[who]);
      }
    }),
  );
});
