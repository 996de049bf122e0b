/**
 * What the text of one REGISTER costs without any socket: read and written by lib/sip, read by the engine, and answered by the plain
 * responder for comparison. Many short batches in turn: the least of them is what it costs on a machine others use as well.
 */
import { printResponse } from '../../lib/engine/printing.ts';
import { read, type Request } from '../../lib/engine/reading.ts';
import type { Flow } from '../../lib/engine/transport/flow.ts';
import { parseMessage, printMessage } from '../../lib/sip/message.ts';
import { median, round } from '../figures.ts';
import { benchDomain, contactLine, identityLines, phoneIdentity } from './phone-identity.ts';
import { answer, field, uriIn, userIn } from './sip-text.ts';

export interface ParseStep {
  readonly name: string;
  /** microseconds for one message: of the fastest batch, and the median of all */
  readonly least: number;
  readonly median: number;
  /** `least` by that of the responder's text work */
  readonly ratio: number;
}

const batches = 200;
const perBatch = 500;
const yardstick = "responder's text work";

export function runParse(): readonly ParseStep[] {
  const phone = phoneIdentity(1234);
  const text = `REGISTER sip:${benchDomain} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.40.2:45678;rport;branch=z9hG4bK12.345.678\r\nMax-Forwards: 70\r\n${identityLines(phone)}${contactLine(phone, '127.0.40.2:45678', 'udp', 'LABTEAM001')}Expires: 3600\r\nUser-Agent: bench\r\nCSeq: 678 REGISTER\r\nContent-Length: 0\r\n\r\n`;
  const octets = Buffer.from(text, 'latin1');
  const received = (): string => octets.toString('latin1');
  const steps: Readonly<Record<string, () => number>> = {
    'octets to text': () => received().length,
    parse: () => parseMessage(received(), 256).headers.size,
    'parse and serialise': () => {
      const message = parseMessage(received(), 256);
      return message.kind === 'malformed' ? 0 : Buffer.from(printMessage(message), 'latin1').length;
    },
    "engine's reading": () => readRegister(received()).text.length,
    "engine's reading and answer": () => {
      const { headers, from, to, callId } = readRegister(received());
      const parts = { vias: `Via: ${headers.get('via')}\r\n`, from, to, callId, cseq: headers.get('cseq') ?? '' };
      return Buffer.from(printResponse(200, 'OK', parts, `Contact: ${headers.get('contact')}\r\n`), 'latin1').length;
    },
    [yardstick]: () => {
      const request = received();
      const contact = field(request, 'Contact');
      const bound = userIn(field(request, 'To')).length + uriIn(contact).length;
      const lines = `Contact: ${contact};expires=${field(request, 'Expires')}\r\n`;
      return bound + Buffer.from(answer(request, '200 OK', 'r', lines), 'latin1').length;
    },
  };
  const micros = new Map(Object.keys(steps).map((name) => [name, [] as number[]]));
  for (let batch = 0; batch < batches; batch++) {
    for (const [name, step] of Object.entries(steps)) micros.get(name)?.push(timed(step));
  }
  // the first batches are not compiled yet
  const warm = [...micros].map(([name, all]) => [name, all.slice(batches / 4)] as const);
  const least = new Map(warm.map(([name, all]) => [name, Math.min(...all)]));
  return warm.map(([name, all]) => ({
    name,
    least: round(Math.min(...all)),
    median: round(median(all)),
    ratio: round(Math.min(...all) / (least.get(yardstick) ?? Number.NaN)),
  }));
}

function timed(step: () => number): number {
  let kept = 0;
  const from = process.hrtime.bigint();
  for (let times = 0; times < perBatch; times++) kept += step();
  const micros = Number(process.hrtime.bigint() - from) / 1000 / perBatch;
  if (kept === 0) throw new Error('nothing was read');
  return micros;
}

function readRegister(text: string): Request {
  const found = read(text, flow, 256);
  if (found.is !== 'request') throw new Error('the REGISTER of the bench is not read');
  return found;
}

const flow: Flow = {
  listener: {
    transport: 'udp',
    reliable: false,
    address: '127.0.40.1',
    port: 5060,
    host: '127.0.40.1',
    toldPort: 5060,
    hostTowards: () => '127.0.0.1',
  },
  remoteAddress: '127.0.40.2',
  remotePort: 45_678,
  open: true,
  send: () => true,
  end: () => {},
  watch: () => {},
  unwatch: () => {},
};
