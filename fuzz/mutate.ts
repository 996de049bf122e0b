/** Makes new inputs of old ones. Texts are octets: one latin1 character is one octet. */
import type { Random } from './random.ts';

/** As large as a message or a datagram can be, and a little more. */
export const longest = 70_000;

/** What parsers of SIP and of frames look for, and what has broken some. */
const always: readonly string[] = [
  ...'\r\n\t\0 ;,:"<>|=@?%*/\\[]#&\x7f\x80\xff'.split(''),
  '\r\n',
  '\r\n\r\n',
  '\r\n ',
  '\r\n\t',
  '\n\r',
  '\xe2\x80\xa8',
  '\xc2\xa0',
  '%00',
  '%7C',
  '-1',
  '0',
  '1',
  '00000000000000000000',
  '65535',
  '65536',
  '4294967295',
  '4294967296',
  '9007199254740993',
  '1e9',
  '__proto__',
  'constructor',
  'sip:',
  'sips:',
  '<sip:',
];

/** One to a few changes of `text`; `other` is another input to take parts from. */
export function mutate(text: string, other: string, words: readonly string[], random: Random): string {
  let changed = text;
  for (let times = 1 + random.small(6); times > 0; times--) changed = change(changed, other, words, random);
  return changed.length > longest ? changed.slice(0, longest) : changed;
}

function change(text: string, other: string, words: readonly string[], random: Random): string {
  const at = random.below(text.length + 1);
  const end = Math.min(text.length, at + 1 + random.small(40));
  switch (random.below(14)) {
    case 0:
      return put(text, at, end, '');
    case 1:
      return put(text, at, at, random.pick(always));
    case 2:
      return put(text, at, end, random.pick(always));
    case 3:
      return put(text, at, at, words.length === 0 ? '' : random.pick(words));
    case 4:
      return put(text, at, end, words.length === 0 ? '' : random.pick(words));
    case 5:
      return put(text, at, Math.min(text.length, at + 1), String.fromCharCode(random.below(256)));
    case 6:
      return put(text, at, at, text.slice(at, end));
    case 7: {
      const from = random.below(other.length + 1);
      return put(text, at, end, other.slice(from, from + 1 + random.small(200)));
    }
    case 8:
      return swapLines(text, random);
    case 9:
      return repeatLine(text, random);
    case 10:
      return text.slice(0, at) + other.slice(random.below(other.length + 1));
    case 11:
      return changeNumber(text, random);
    case 12:
      return put(text, at, end, swapCase(text.slice(at, end)));
    default:
      // a bomb: a piece so often that the time for it shows
      return random.once(8) ? put(text, at, end, bombOf(text.slice(at, end) || random.pick(always), random)) : text;
  }
}

function put(text: string, from: number, to: number, what: string): string {
  return text.slice(0, from) + what + text.slice(to);
}

function swapLines(text: string, random: Random): string {
  const lines = text.split('\r\n');
  const one = random.below(lines.length);
  const two = random.below(lines.length);
  [lines[one], lines[two]] = [lines[two] as string, lines[one] as string];
  return lines.join('\r\n');
}

function repeatLine(text: string, random: Random): string {
  const lines = text.split('\r\n');
  const one = random.below(lines.length);
  lines.splice(
    random.below(lines.length + 1),
    0,
    ...Array.from({ length: 1 + random.small(4) }, () => lines[one] as string),
  );
  return lines.join('\r\n');
}

function changeNumber(text: string, random: Random): string {
  const numbers = [...text.matchAll(/\d+/g)];
  if (numbers.length === 0) return text;
  const { 0: digits, index } = random.pick(numbers);
  const changes = [String(random.below(70_000)), `${Number(digits) + 1}`, `${Number(digits) - 1}`, `${digits}0`, ''];
  return put(text, index, index + digits.length, random.pick(changes));
}

function swapCase(text: string): string {
  const upper = text.toUpperCase();
  return text === upper ? text.toLowerCase() : upper;
}

function bombOf(piece: string, random: Random): string {
  return piece.repeat(1 + Math.floor(random.below(longest) / piece.length));
}
