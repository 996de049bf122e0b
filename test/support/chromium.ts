/** A real Chromium without a window, driven over its debugging port (Chrome DevTools Protocol). */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { Program } from './foreign-program.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface ChromiumOptions {
  /** base64 SHA-256 of the public keys it takes from servers nobody has signed for */
  readonly trust: readonly string[];
}

export class Chromium {
  readonly #program: Program;
  readonly #socket: WebSocket;
  readonly #dir: string;
  readonly #waiting = new Map<number, { done(result: Fields): void; fail(why: Error): void }>();
  readonly #listeners = new Set<(method: string, params: Fields, session: string) => void>();
  #ids = 0;

  private constructor(program: Program, socket: WebSocket, dir: string) {
    this.#program = program;
    this.#socket = socket;
    this.#dir = dir;
    socket.on('message', (data: Buffer) => this.#onMessage(JSON.parse(data.toString('utf8')) as Fields));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      for (const { fail } of this.#waiting.values()) fail(new Error('Chromium has ended'));
      this.#waiting.clear();
    });
  }

  static async open({ trust }: ChromiumOptions): Promise<Chromium> {
    const dir = mkdtempSync(join(tmpdir(), 'reveille-chromium-'));
    const program = new Program(
      'chromium',
      [
        '--headless=new',
        // it refuses to run as root otherwise, and a container may have neither a GPU nor much shared memory
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        `--user-data-dir=${dir}`,
        '--remote-debugging-port=0',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--use-fake-device-for-media-stream',
        '--use-fake-ui-for-media-stream',
        '--allow-loopback-in-peer-connection',
        '--autoplay-policy=no-user-gesture-required',
        `--ignore-certificate-errors-spki-list=${trust.join(',')}`,
        'about:blank',
      ],
      { env: { HOME: dir, XDG_CONFIG_HOME: dir, XDG_CACHE_HOME: dir } },
    );
    const [, address = ''] = await program.says(/DevTools listening on (ws:\/\/\S+)/, 30_000);
    const socket = new WebSocket(address, { perMessageDeflate: false });
    await new Promise<void>((done, fail) => {
      socket.once('open', done).once('error', fail);
    });
    return new Chromium(program, socket, dir);
  }

  /** A new tab at this address, loaded. */
  async page(url: string): Promise<Page> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, String(targetId), String(sessionId));
    await page.load(url);
    return page;
  }

  send(method: string, params: Fields = {}, session?: string): Promise<Fields> {
    const id = ++this.#ids;
    return new Promise((done, fail) => {
      this.#waiting.set(id, { done, fail });
      this.#socket.send(
        JSON.stringify({ id, method, params, ...(session === undefined ? {} : { sessionId: session }) }),
      );
    });
  }

  on(listener: (method: string, params: Fields, session: string) => void): void {
    this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.#program.stop();
    rmSync(this.#dir, { recursive: true, force: true, maxRetries: 5 });
  }

  #onMessage(message: Fields): void {
    const { id, method, params, result, error, sessionId } = message;
    if (typeof id === 'number') {
      const waiter = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiter?.done((result ?? {}) as Fields);
      else waiter?.fail(new Error(JSON.stringify(error)));
      return;
    }
    for (const listener of this.#listeners) listener(String(method), (params ?? {}) as Fields, String(sessionId));
  }
}

export class Page {
  readonly #browser: Chromium;
  readonly #target: string;
  readonly #session: string;
  /** SIP messages that came over its WebSockets */
  readonly received: string[] = [];
  /** what it wrote to its console */
  readonly said: string[] = [];
  #loaded: () => void = () => undefined;

  constructor(browser: Chromium, target: string, session: string) {
    this.#browser = browser;
    this.#target = target;
    this.#session = session;
    browser.on((method, params, from) => {
      if (from !== session) return;
      if (method === 'Page.loadEventFired') this.#loaded();
      else if (method === 'Network.webSocketFrameReceived')
        this.received.push(String((params['response'] as Fields)['payloadData']));
      else if (method === 'Runtime.consoleAPICalled' || method === 'Runtime.exceptionThrown')
        this.said.push(JSON.stringify(params));
    });
  }

  async load(url: string): Promise<void> {
    for (const domain of ['Page', 'Network', 'Runtime'])
      await this.#browser.send(`${domain}.enable`, {}, this.#session);
    const loaded = new Promise<void>((done) => {
      this.#loaded = done;
    });
    await this.#browser.send('Page.navigate', { url }, this.#session);
    await loaded;
  }

  /** Value of an expression, promises awaited; rejects with what it threw. */
  async evaluate(expression: string): Promise<unknown> {
    const answer = await this.#browser.send(
      'Runtime.evaluate',
      { expression, awaitPromise: true, returnByValue: true },
      this.#session,
    );
    const { exceptionDetails, result } = answer;
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails).slice(0, 1000));
    return (result as Fields)['value'];
  }

  /** CSS pixels of its window; `dark` is what its user prefers. */
  async resize(width: number, height: number, dark = false): Promise<void> {
    const size = { width, height, deviceScaleFactor: 1, mobile: false };
    await this.#browser.send('Emulation.setDeviceMetricsOverride', size, this.#session);
    const features = [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }];
    await this.#browser.send('Emulation.setEmulatedMedia', { features }, this.#session);
  }

  /** A PNG of what its user sees. */
  async picture(): Promise<Buffer> {
    const { data } = await this.#browser.send('Page.captureScreenshot', { format: 'png' }, this.#session);
    return Buffer.from(String(data), 'base64');
  }

  /** As its user closes a tab. */
  async close(): Promise<void> {
    await this.#browser.send('Target.closeTarget', { targetId: this.#target });
  }
}
