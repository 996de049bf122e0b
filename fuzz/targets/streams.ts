/** Byte streams: SIP over connections, and both readers of control frames. However a stream is cut, it holds the same. */
import { BadFrame, FrameReader as EngineReader, frame, parsePayload, textOf } from '../../lib/engine/control/frames.ts';
import { StreamFraming, type FrameEvent } from '../../lib/engine/transport/stream-framing.ts';
import { FrameReader as AppReader } from '../../lib/adapters/srf/frames.ts';
import { Random, seedOf } from '../random.ts';
import { messages, recorded, words } from '../seeds.ts';
import { must, mustEqual, type Target } from '../target.ts';

/** The input as it came, cut anywhere, and (when it is not long) octet by octet. */
function cuts(input: string): readonly (readonly string[])[] {
  const random = new Random(seedOf(input));
  const anywhere = (pieces: number): string[] => {
    const places = Array.from({ length: pieces - 1 }, () => random.below(input.length + 1)).toSorted((a, b) => a - b);
    return [0, ...places].map((from, at) => input.slice(from, places[at] ?? input.length));
  };
  const ways = [[input], anywhere(2), anywhere(2 + random.small(40))];
  return input.length <= 600 ? [...ways, input.split('')] : ways;
}

export function streamTarget(root: string): Target {
  const whole = [...messages, ...recorded(root).messages.slice(0, 40)];
  return {
    name: 'streams',
    seeds: [
      ...whole,
      ...whole.map((text, at) => `\r\n\r\n${text}${whole[at - 1] ?? ''}\r\n${text}`),
      '\r\n\r\n',
      '\r\n',
    ],
    words,
    withinMs: 2000,
    run(input) {
      for (const most of [500, 65_535]) {
        const [first, ...others] = cuts(input).map((chunks) => framed(chunks, most));
        for (const other of others) mustEqual(other, first, `framed with at most ${most} octets, cut otherwise`);
      }
    },
  };
}

function framed(chunks: readonly string[], most: number): { readonly events: FrameEvent[]; readonly pending: boolean } {
  const framing = new StreamFraming(most);
  const events = chunks.flatMap((chunk) => framing.push(chunk));
  let octets = 0;
  for (const event of events) {
    if (event.is !== 'message') continue;
    must(event.text.length <= most, 'a message longer than allowed');
    octets += event.text.length;
  }
  must(octets <= chunks.reduce((sum, chunk) => sum + chunk.length, 0), 'more octets out than in');
  return { events, pending: framing.pending };
}

export function frameTarget(root: string): Target {
  const { frames } = recorded(root);
  return {
    name: 'frames',
    seeds: [
      ...frames.slice(0, 100),
      frames.slice(0, 3).join(''),
      '5#a|b|c',
      '0#0#3#abc',
      frame('x|sip|||sip:1.2.3.4\r\nINVITE sip:a SIP/2.0\r\n\r\n'),
    ],
    words: ['#', '0#', '1#', '|sip|', '|response|', '|OK|', '|NOK|', 'network', '|\r\n', '1048576#', '999999999#'],
    withinMs: 2000,
    run(input) {
      const ways = cuts(input).map((chunks) => chunks.map((chunk) => Buffer.from(chunk, 'latin1')));
      for (const most of [300, 1_048_576]) {
        const [first, ...others] = ways.map((chunks) => readByEngine(chunks, most));
        for (const other of others) mustEqual(other, first, `frames of at most ${most} octets, cut otherwise`);
      }
      const [first, ...others] = ways.map(readByApp);
      for (const other of others) mustEqual(other, first, 'frames read by the app, cut otherwise');
    },
  };
}

interface ReadFrames {
  readonly payloads: readonly string[];
  readonly sound: boolean;
}

function readByEngine(chunks: readonly Buffer[], most: number): ReadFrames {
  const reader = new EngineReader(most);
  const payloads: string[] = [];
  try {
    for (const chunk of chunks) {
      reader.push(chunk);
      for (let payload = reader.next(); payload !== undefined; payload = reader.next()) payloads.push(textOf(payload));
    }
  } catch (error) {
    if (!(error instanceof BadFrame)) throw error;
    return { payloads, sound: false };
  }
  for (const payload of payloads) {
    must(payload.length <= most, 'a payload longer than allowed');
    const { tokens, message } = parsePayload(payload);
    const parts = payload.includes('\r\n') ? `${tokens.join('|')}\r\n${message}` : tokens.join('|');
    must(parts === payload, 'a payload taken apart is not what it was');
    const again = new EngineReader(most);
    again.push(Buffer.from(frame(payload), 'latin1'));
    must(again.next() === payload && again.next() === undefined, 'a frame written is not the frame read');
  }
  return { payloads, sound: true };
}

function readByApp(chunks: readonly Buffer[]): ReadFrames {
  const reader = new AppReader(1_048_576);
  const payloads: string[] = [];
  const sound = chunks.every((chunk) =>
    reader.read(chunk, (payload) => {
      payloads.push(payload);
    }),
  );
  return { payloads, sound };
}
