/**
 * Plays a recorded conversation (test/fixtures/drachtio) against the engine over real sockets and says where the engine
 * behaves differently: the recorded app and network lines are sent, the recorded server lines are compared with what comes.
 *
 * Names the server makes up (transaction ids, tags, branches, Call-IDs, counters) are learnt from the first line that shows
 * them and replaced in what is sent later. Header order, times and lengths do not count; copies of a message count once.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { FrameReader, textOf } from '../../lib/engine/control/frames.ts';
import type { MemorySocket } from '../../lib/engine/control/memory-socket.ts';
import { startEngine } from '../../lib/engine/engine.ts';
import type { EngineOptions } from '../../lib/engine/options.ts';
import { makeServerIdentity } from '../../apps/push-lab/certificate.ts';
import { openWire, recordedPorts, type StreamProtocol, type Wire } from './replay-wire.ts';

export interface Line {
  readonly t_ms: number;
  readonly dir: 'app->server' | 'server->app' | 'net->server' | 'server->net' | 'net->net';
  readonly proto: string;
  readonly ep: string;
  readonly text: string;
  readonly event?: 'open' | 'close';
}

const recordedNet = '127.0.0.';
const patienceMs = 3000;
/** pauses shorter than this were only the time things took */
const shortestPauseMs = 45;
const pauseCopiesMs = 30;

/**
 * `net` is the first three octets of a loopback network of its own, with a dot at the end. `inMemory`: the app connects from
 * within the engine's thread.
 */
export async function replay(
  recorded: readonly Line[],
  net: string,
  options: Partial<EngineOptions> = {},
  inMemory = false,
): Promise<string[]> {
  const stage = new Stage(
    recorded.map((line) => moved(line, net)),
    net,
    inMemory,
  );
  try {
    await stage.open(options);
    return await stage.play();
  } finally {
    await stage.close();
  }
}

/** How much faster than recorded a conversation is played: long ones take about four seconds. */
function paceOf(lines: readonly Line[]): number {
  return Math.min(0.2, 4000 / ((lines.at(-1)?.t_ms ?? 0) + 1));
}

interface Arrived {
  readonly text: string;
  used: boolean;
}

class Channel {
  readonly arrived: Arrived[] = [];
  #wake: (() => void)[] = [];
  closed = false;

  put(text: string): void {
    this.arrived.push({ text, used: false });
    for (const wake of this.#wake.splice(0)) wake();
  }

  markClosed(): void {
    this.closed = true;
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Waits until something arrives or the time is over; true in the first case. */
  change(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(false), ms);
      this.#wake.push(() => {
        clearTimeout(late);
        resolve(true);
      });
    });
  }
}

class Stage {
  readonly #lines: readonly Line[];
  readonly #net: string;
  readonly #pace: number;
  readonly #channels = new Map<string, Channel>();
  readonly #udp = new Map<string, UdpSocket>();
  readonly #wires = new Map<string, Wire>();
  readonly #apps = new Map<string, Socket | MemorySocket>();
  readonly #inMemory: boolean;
  /** recorded name -> the engine's name for the same thing */
  readonly #names = new Map<string, string>();
  readonly #differences: string[] = [];
  #engine: Awaited<ReturnType<typeof startEngine>> | undefined;

  constructor(lines: readonly Line[], net: string, inMemory: boolean) {
    this.#inMemory = inMemory;
    this.#lines = lines;
    this.#net = net;
    this.#pace = paceOf(lines);
  }

  async open(options: Partial<EngineOptions>): Promise<void> {
    const address = `${this.#net}10`;
    const pace = this.#pace;
    this.#engine = await startEngine({
      listen: [
        { transport: 'udp', address, port: 5060 },
        { transport: 'tcp', address, port: 5060 },
        // the others only where they are used: they need a certificate
        ...(this.#isSecure
          ? (['tls', 'ws', 'wss'] as const).map((transport) => ({ transport, address, port: recordedPorts[transport] }))
          : []),
      ],
      ...(this.#isSecure ? { tls: identity() } : {}),
      control: { port: 0, secret: 'cymru' },
      timers: { t1Ms: 500 * pace, t2Ms: 4000 * pace, t4Ms: 5000 * pace },
      parkMs: 64_000 * pace,
      sessionSecondMs: 1000 * pace,
      ...options,
    });
    for (const line of this.#lines) {
      if (line.proto === 'udp' && !this.#udp.has(line.ep)) await this.#bind(line.ep);
    }
  }

  async play(): Promise<string[]> {
    let before = 0;
    const seen = new Set<string>();
    for (const line of this.#lines) {
      const pause = (line.t_ms - before) * this.#pace;
      if (line.dir.startsWith('server->')) {
        // a copy of an earlier line says nothing new
        const copy = `${line.ep} ${line.proto === 'drachtio' ? comparableFrame(line.text) : line.text}`;
        if (line.event === undefined && seen.has(copy)) continue;
        seen.add(copy);
        before = line.t_ms;
        await this.#expect(line, pause + patienceMs);
      } else if (line.dir !== 'net->net') {
        before = line.t_ms;
        if (pause > shortestPauseMs * this.#pace) await sleep(pause);
        await this.#send(line);
      }
    }
    await sleep(pauseCopiesMs);
    this.#reportRest();
    return this.#differences;
  }

  async close(): Promise<void> {
    for (const socket of this.#udp.values()) socket.close();
    for (const socket of [...this.#wires.values(), ...this.#apps.values()]) socket.destroy();
    await this.#engine?.close();
  }

  // ---- sending ----

  async #send(line: Line): Promise<void> {
    if (line.proto === 'drachtio') {
      if (line.event === 'open') return this.#openApp(line.ep);
      if (line.event === 'close') {
        this.#apps.get(line.ep)?.destroy();
        return;
      }
      const payload = this.#translated(payloadOf(line.text), true);
      const octets = Buffer.from(`${Buffer.byteLength(payload)}#${payload}`);
      this.#apps.get(line.ep)?.write(octets.toString('latin1'), 'latin1');
      return;
    }
    const text = this.#translated(line.text, false);
    const callId = namesIn(line.text).get('call-id');
    if (callId !== undefined && !this.#names.has(callId)) this.#names.set(callId, callId);
    if (line.proto === 'udp') {
      this.#udp.get(line.ep)?.send(Buffer.from(text), 5060, `${this.#net}10`);
      return;
    }
    if (line.event === 'open') return this.#openWire(line.proto as StreamProtocol, line.ep);
    if (line.event === 'close') {
      this.#wires.get(line.ep)?.destroy();
      // the engine has to notice before what follows is true
      const before = this.#engine?.counters().connections ?? 0;
      for (let tries = 0; tries < 200 && (this.#engine?.counters().connections ?? 0) >= before && before > 0; tries++)
        await sleep(2);
      return;
    }
    this.#wires.get(line.ep)?.write(Buffer.from(text));
  }

  async #bind(ep: string): Promise<void> {
    const { address, port } = addressOf(ep);
    const socket = createSocket('udp4');
    this.#udp.set(ep, socket);
    const channel = this.#channel('udp', ep);
    socket.on('message', (octets) => channel.put(octets.toString()));
    socket.bind(port, address);
    await once(socket, 'listening');
  }

  async #openWire(protocol: StreamProtocol, ep: string): Promise<void> {
    const channel = this.#channel(protocol, ep);
    const ears = { onText: (text: string) => channel.put(text), onClosed: () => channel.markClosed() };
    this.#wires.set(ep, await openWire(protocol, `${this.#net}10`, addressOf(ep), ears));
  }

  get #isSecure(): boolean {
    return this.#lines.some(({ proto }) => proto === 'tls' || proto === 'ws' || proto === 'wss');
  }

  async #openApp(ep: string): Promise<void> {
    const engine = this.#engine!;
    const socket: Socket | MemorySocket = this.#inMemory
      ? engine.connect()
      : connect({ host: '127.0.0.1', port: engine.controlPort });
    this.#apps.set(ep, socket);
    const channel = this.#channel('drachtio', ep);
    const reader = new FrameReader(1_000_000);
    const echoed = new Set<string>();
    socket.on('error', () => {});
    socket.on('close', () => channel.markClosed());
    socket.on('data', (octets: Buffer | string) => {
      reader.push(octets);
      for (let payload = reader.next(); payload !== undefined; payload = reader.next()) {
        this.#checkEcho(textOf(payload), echoed);
        channel.put(utf8(textOf(payload)));
      }
    });
    await once(socket, 'connect');
  }

  /** srf drops answers to requests whose echo it has not seen (drachtio-protocol F.1 2). */
  #checkEcho(payload: string, echoed: Set<string>): void {
    const tokens = (payload.split('\r\n', 1)[0] as string).split('|');
    if (tokens[1] === 'response' && tokens[3] === 'OK' && tokens[4] === 'application') echoed.add(tokens[10] ?? '');
    else if (tokens[1] === 'sip' && payload.includes('\r\nSIP/2.0 ') && !echoed.has(tokens[8] ?? '')) {
      this.#differences.push(`answer before its echo: ${tokens.slice(2, 9).join('|')}`);
    }
  }

  /** What is sent with the recorded names replaced by the engine's. */
  #translated(text: string, frame: boolean): string {
    const method = /^cseq: *\d+ +(\w+)/im.exec(text)?.[1];
    let done = text;
    for (const [recorded, ours] of this.#names) {
      if (recorded.includes(' ')) continue;
      const special = frame ? this.#names.get(`${recorded} ${method}`) : undefined;
      done = done.replaceAll(recorded, special ?? ours);
    }
    // counters of the engine stand only in these headers
    const callId = namesIn(text).get('call-id');
    const seqOf = (number: string): string => this.#names.get(`seq ${callId} ${number}`) ?? number;
    done = done.replace(/^(cseq: *)(\d+)/im, (_, name: string, number: string) => name + seqOf(number));
    done = done.replace(
      /^(rseq: *)(\d+)/im,
      (_, name: string, number: string) => name + (this.#names.get(`rseq ${number}`) ?? number),
    );
    return done.replace(/^(rack: *)(\d+) +(\d+)/im, (_, name: string, rseq: string, seq: string) => {
      return `${name}${this.#names.get(`rseq ${rseq}`) ?? rseq} ${seqOf(seq)}`;
    });
  }

  // ---- comparing ----

  async #expect(line: Line, patience: number): Promise<void> {
    const channel = this.#channel(line.proto, line.ep);
    if (line.event !== undefined) {
      if (line.event === 'close' && line.proto === 'drachtio') {
        // in the recordings the test cut the connection; only after a refused frame the server does it itself
        if (!this.#refusedLast(line)) this.#apps.get(line.ep)?.destroy();
      }
      for (const until = performance.now() + patience; !channel.closed && performance.now() < until; )
        await channel.change(50);
      if (!channel.closed) this.#differences.push(`${line.ep}: not closed`);
      return;
    }
    const wanted = line.proto === 'drachtio' ? payloadOf(line.text) : line.text;
    const signature = signatureOf(wanted);
    const until = performance.now() + patience;
    for (;;) {
      const callId = this.#names.get(namesIn(wanted).get('call-id') ?? '');
      const alike = channel.arrived.filter((each) => !each.used && signatureOf(each.text) === signature);
      const found = alike.find(
        (each) => callId === undefined || (namesIn(each.text).get('call-id') ?? callId) === callId,
      );
      if (found !== undefined) {
        found.used = true;
        this.#learn(wanted, found.text);
        this.#compare(line, wanted, found.text);
        return;
      }
      if (performance.now() >= until || !(await channel.change(until - performance.now()))) {
        this.#differences.push(`${line.ep}: missing ${signature}`);
        return;
      }
    }
  }

  #refusedLast(line: Line): boolean {
    const at = this.#lines.indexOf(line);
    return this.#lines
      .slice(Math.max(0, at - 2), at)
      .some((each) => each.dir === 'server->app' && /\|NO(\||$)/.test(each.text));
  }

  #learn(recorded: string, ours: string): void {
    const theirNames = namesIn(recorded);
    const ourNames = namesIn(ours);
    for (const [what, name] of theirNames) {
      const mine = ourNames.get(what);
      if (mine === undefined) continue;
      if (what === 'txn' && this.#names.has(name) && this.#names.get(name) !== mine) {
        // the original reports an early UPDATE under the transaction of its INVITE, we under one of its own
        const method = /^cseq: *\d+ +(\w+)/im.exec(recorded)?.[1] ?? '';
        this.#names.set(`${name} ${method}`, mine);
      } else if (what === 'seq') {
        const key = `seq ${theirNames.get('call-id')} ${name}`;
        if (!this.#names.has(key)) this.#names.set(key, mine);
      } else if (what === 'rseq') this.#names.set(`rseq ${name}`, mine);
      else if (!this.#names.has(name)) this.#names.set(name, mine);
    }
  }

  #compare(line: Line, recorded: string, ours: string): void {
    const frame = line.proto === 'drachtio';
    const wanted = comparable(this.#translated(recorded, frame));
    const got = comparable(ours);
    if (wanted === got) return;
    const theirs = wanted.split('\n');
    const mine = got.split('\n');
    const lacking = theirs.filter((each) => !mine.includes(each));
    const extra = mine.filter((each) => !theirs.includes(each));
    this.#differences.push(
      `${line.ep}: ${signatureOf(recorded)}: wanted [${lacking.join(' / ')}] got [${extra.join(' / ')}]`,
    );
  }

  /** Whatever the recording does not have, copies of what it has left out. */
  #reportRest(): void {
    for (const [name, channel] of this.#channels) {
      const known = new Set(channel.arrived.filter((each) => each.used).map((each) => comparableCopy(each.text)));
      for (const each of channel.arrived) {
        if (each.used || known.has(comparableCopy(each.text))) continue;
        known.add(comparableCopy(each.text));
        this.#differences.push(`${name}: not in the recording: ${signatureOf(each.text)}`);
      }
    }
  }

  #channel(proto: string, ep: string): Channel {
    const key = `${proto} ${ep}`;
    let channel = this.#channels.get(key);
    if (channel === undefined) {
      channel = new Channel();
      this.#channels.set(key, channel);
    }
    return channel;
  }
}

function identity(): { readonly cert: string; readonly key: string } {
  const { certificate: cert, key } = makeServerIdentity({ hosts: ['edge.test'], addresses: ['127.0.0.1'] });
  return { cert, key };
}

/** A recorded line on the loopback network of this run, with one defect of the original's default To mended. */
function moved(line: Line, net: string): Line {
  const text = line.text
    .replaceAll(recordedNet, net)
    .replace(/^(to: )<(sip:[^>]+)>(;transport=\w+)/gim, '$1<$2$3>')
    .replace(
      /^(to: )(sip:[^<>\r\n]*?)(;tag=[^;\r\n]*)?\r$/gim,
      (_, name: string, uri: string, tag = '') => `${name}<${uri}>${tag}\r`,
    );
  return {
    ...line,
    ep: line.ep.replaceAll(recordedNet, net),
    text: lengthIsRight(line.text) ? withLength(text) : text,
  };
}

function payloadOf(text: string): string {
  return text.slice(text.indexOf('#') + 1);
}

function addressOf(ep: string): { readonly address: string; readonly port: number } {
  const [address, port] = (ep.split(' ').at(-1) as string).split(':');
  return { address: address as string, port: Number(port) };
}

function utf8(octets: string): string {
  return Buffer.from(octets, 'latin1').toString();
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** False for what was recorded with a wrong length on purpose. */
function lengthIsRight(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  const length = /^(?:content-length|l) *: *(\d+)/im.exec(text.slice(0, end))?.[1];
  return end >= 0 && length === String(Buffer.byteLength(text.slice(end + 4)));
}

/** Content-Length as it is after addresses and names have been replaced. */
function withLength(text: string): string {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return text;
  const bytes = Buffer.byteLength(text.slice(end + 4));
  return text.slice(0, end).replace(/^((?:content-length|l) *: *)\d+/im, `$1${bytes}`) + text.slice(end);
}

function sipOf(text: string): string {
  return /^[0-9a-f-]{36}\|/.test(text) ? text.slice(text.indexOf('\r\n') + 2 || text.length) : text;
}

/** Enough of a message to find its counterpart. */
function signatureOf(text: string): string {
  const isFrame = /^[0-9a-f-]{36}\|/.test(text);
  const meta = isFrame ? (text.split('\r\n', 1)[0] as string).split('|') : [];
  const frame = isFrame
    ? meta[1] === 'response'
      ? `${meta.slice(1, 5).join('|')} `
      : `${meta.slice(1, 3).join('|')} `
    : '';
  if (isFrame && !text.includes('\r\n')) return meta.slice(1, 4).join('|');
  const sip = sipOf(text);
  const [start = ''] = sip.split('\r\n', 1);
  const cseq = /^cseq: *\d+ +(\w+)/im.exec(sip)?.[1] ?? '';
  return `${frame}${start.startsWith('SIP/') ? start.slice(8, 11) : start.split(' ', 1)[0]} ${cseq}`;
}

/** Names the server may have made up, by where they stand. */
function namesIn(text: string): Map<string, string> {
  const names = new Map<string, string>();
  const put = (what: string, name: string | undefined): void => {
    if (name !== undefined && name !== '') names.set(what, name);
  };
  if (/^[0-9a-f-]{36}\|/.test(text)) {
    const meta = (text.split('\r\n', 1)[0] as string).split('|');
    if (meta[1] === 'sip') put('txn', meta[8] === 'unsolicited' ? undefined : meta[8]);
    else if (meta[4] === 'application') put('txn', meta[10]);
  }
  const sip = sipOf(text);
  put('branch', /^via:[^\r]*branch=([^;\r]+)/im.exec(sip)?.[1]);
  put('from', /^from:[^\r]*;tag=([^;\r]+)/im.exec(sip)?.[1]);
  put('to', /^to:[^\r]*;tag=([^;\r]+)/im.exec(sip)?.[1]);
  put('call-id', /^call-id: *([^\r]+)/im.exec(sip)?.[1]);
  put('seq', /^cseq: *(\d+)/im.exec(sip)?.[1]);
  put('rseq', /^rseq: *(\d+)/im.exec(sip)?.[1]);
  return names;
}

/** A message in the form that is compared: no times, no lengths, headers sorted, one per line. */
function comparable(text: string): string {
  const isFrame = /^[0-9a-f-]{36}\|/.test(text);
  const meta = isFrame ? comparableMeta(text.split('\r\n', 1)[0] as string, text) : '';
  if (isFrame && !text.includes('\r\n')) return meta;
  const sip = sipOf(text);
  const end = sip.indexOf('\r\n\r\n');
  const [start, ...headers] = sip.slice(0, end).split('\r\n');
  const kept = headers
    .filter((line) => !/^(?:content-length|l) *:/i.test(line))
    .map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase()).replace(/, +/g, ','));
  return [meta, start, ...kept.toSorted(), `body ${sip.slice(end + 4)}`].join('\n');
}

function comparableMeta(line: string, text: string): string {
  const meta = line.split('|');
  meta[0] = '';
  if (meta[1] === 'response' && meta[3] === 'OK' && meta[4]?.includes('/') === true) {
    const plain = (list = ''): string =>
      list
        .split(',')
        .filter((each) => /^(udp|tcp)\//.test(each))
        .toSorted()
        .join();
    return `response|${meta[2]}|OK|${plain(meta[4])}|${meta[5]}|${plain(meta[6])}`;
  }
  const at = meta[1] === 'sip' ? 3 : 5;
  if (meta[at - 1] === 'application' || meta[at - 1] === 'network') {
    if (meta[at] !== '0') meta[at] = 'bytes';
    meta[at + 4] = 'time';
  }
  if (/\nUPDATE |cseq: *\d+ +UPDATE/i.test(text)) meta[at + 5] = 'txn';
  return meta.join('|');
}

function comparableFrame(text: string): string {
  return comparable(payloadOf(text));
}

/** Two messages with the same of this are copies of each other. */
function comparableCopy(text: string): string {
  return comparable(text);
}
