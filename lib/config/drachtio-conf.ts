/**
 * drachtio.conf.xml, as far as it makes sense for our engine: turned into the tree an engine.yaml would give, and checked like
 * one. What has no counterpart is named and left out; what has one and is wrong stops the start, with the element it is in.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { DOMParser, type Element } from '@xmldom/xmldom';
import { fileFault } from './files.ts';
import { type ConfigMistake, invalid, type Source } from './tree.ts';

export interface DrachtioConf extends Source {
  /** elements and attributes without a counterpart, in words for the log */
  readonly left: readonly string[];
}

const levels: Readonly<Record<string, string>> = {
  error: 'error',
  warning: 'warn',
  notice: 'warn',
  info: 'info',
  debug: 'debug',
};

/** Why an element has no counterpart, where it is worth a reason. */
const reasons: Readonly<Record<string, string>> = {
  'request-handlers': 'apps connect to this engine, it does not call them',
  'sip/outbound-proxy': 'apps name the next hop of each request',
  'sip/spammers': 'refuse scanners in the app',
  'sip/capture-server': 'use a capture of the network',
  'sip/udp-mtu': 'a request that does not fit goes over TCP',
  'sip/blacklist': 'refuse them in the app or in a firewall',
  'logging/file': 'logs go to standard output',
  'logging/syslog': 'logs go to standard output',
  'logging/sofia-loglevel': 'there is one level',
  'sip/timers/t1x64': 'it is always 64 times T1',
};
const silent = new Set(['logging/console', 'sip/timers/t1x64', 'logging/sofia-loglevel']);

/** Throws EDGE_CONFIG_INVALID when the file cannot be read, is no XML, or has a value that cannot be understood. */
export function readDrachtioConf(file: string): DrachtioConf {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw invalid(file, [{ key: '', expected: 'a readable file', found: fileFault(error) }]);
  }
  const conf = drachtioConf(text, file);
  return { ...conf, folder: dirname(resolve(file)) };
}

/** As readDrachtioConf, of a text; relative paths count from the working directory. */
export function drachtioConf(text: string, name: string): DrachtioConf {
  const reader = new Reader(name);
  const root = parse(text, name);
  if (root.tagName !== 'drachtio')
    throw invalid(name, [{ key: '', expected: 'a <drachtio> element', found: `<${root.tagName}>` }]);
  for (const element of childrenOf(root)) reader.top(element);
  return reader.done();
}

function parse(text: string, name: string): Element {
  // a file that is no XML at all can have a secret in any place, so the parser's words stay inside
  const bad = (found: string) => invalid(name, [{ key: '', expected: 'well-formed XML', found }]);
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) throw bad('a document type, which a config has no need of');
  let line = 0;
  let fault = false;
  let root: Element | null = null;
  try {
    const parser = new DOMParser({
      onError: (level, _message, context: unknown) => {
        const at = (context as { readonly locator?: { readonly lineNumber?: number } } | undefined)?.locator;
        if (!fault) line = at?.lineNumber ?? 0;
        if (level !== 'warning') fault = true;
      },
    });
    root = parser.parseFromString(text, 'text/xml').documentElement;
  } catch {
    fault = true;
  }
  if (fault || root === null) throw bad(line > 0 ? `something else in line ${line}` : 'something else');
  return root;
}

class Reader {
  readonly #name: string;
  readonly #tree: Record<string, Record<string, unknown>> = {};
  readonly #named = new Map<string, string>([['control.secret', '<admin secret="...">']]);
  readonly #left: string[] = [];
  readonly #mistakes: ConfigMistake[] = [];
  readonly #listen: string[] = [];
  #external: string | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  done(): DrachtioConf {
    if (this.#mistakes.length > 0) throw invalid(this.#name, this.#mistakes);
    if (this.#listen.length > 0) this.#section('sip')['listen'] = this.#listen;
    return { name: this.#name, folder: process.cwd(), tree: this.#tree, named: this.#named, left: this.#left };
  }

  top(element: Element): void {
    switch (element.tagName) {
      case 'admin':
        this.#admin(element);
        return;
      case 'sip':
        for (const child of childrenOf(element)) this.#sip(child);
        return;
      case 'cdrs':
        if (/^(?:true|yes|1)$/i.test(textOf(element))) this.#leave('cdrs', element, 'CDR events are not written');
        return;
      case 'logging':
        for (const child of childrenOf(element)) {
          if (child.tagName === 'loglevel') this.#logLevel(child);
          else this.#leave(`logging/${child.tagName}`, child);
        }
        return;
      case 'monitoring':
        for (const child of childrenOf(element)) {
          if (child.tagName === 'prometheus') this.#prometheus(child);
          else this.#leave(`monitoring/${child.tagName}`, child);
        }
        return;
      default:
        this.#leave(element.tagName, element);
    }
  }

  #sip(element: Element): void {
    switch (element.tagName) {
      case 'contacts':
        for (const child of childrenOf(element)) {
          if (child.tagName === 'contact') this.#contact(child);
          else this.#leave(`sip/contacts/${child.tagName}`, child);
        }
        return;
      case 'contact':
        this.#contact(element);
        return;
      case 'timers':
        for (const child of childrenOf(element)) {
          const { tagName } = child;
          if (tagName === 't1' || tagName === 't2' || tagName === 't4') this.#timer(tagName, child);
          else this.#leave(`sip/timers/${tagName}`, child);
        }
        return;
      case 'tls':
        for (const child of childrenOf(element)) {
          const key = /^(?:key|cert|chain)-file$/.test(child.tagName) ? child.tagName.replace('-', '_') : undefined;
          if (key === undefined) this.#leave(`sip/tls/${child.tagName}`, child);
          else this.#tls(key, child);
        }
        return;
      default:
        this.#leave(`sip/${element.tagName}`, element);
    }
  }

  #admin(element: Element): void {
    const port = element.getAttribute('port') ?? '9022';
    const host = textOf(element) || '0.0.0.0';
    const address = host === 'localhost' ? '127.0.0.1' : host;
    this.#set('control', 'listen', address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`, element);
    for (const { name, value } of element.attributes) {
      if (name === 'secret') {
        if (value !== '') this.#set('control', 'secret', value, element);
      } else if (name === 'tls-port') {
        if (value !== '0') this.#set('control', 'tls_port', numberOr(value), element, '<admin tls-port="...">');
      } else if (name !== 'port') this.#leave(`admin ${name}`, element);
    }
    this.#named.set('control.secret', '<admin secret="...">');
  }

  #contact(element: Element): void {
    const value = textOf(element);
    const listeners = contactListeners(value);
    if (listeners === undefined) {
      this.#mistake(element, expectedContact, JSON.stringify(value));
      return;
    }
    for (const listener of listeners) {
      this.#named.set(`sip.listen[${this.#listen.length}]`, nameOf(element));
      this.#listen.push(listener);
    }
    for (const { name, value: given } of element.attributes) {
      if (name !== 'external-ip') {
        this.#leave(`contact ${name}`, element);
      } else if (this.#external !== undefined && this.#external !== given)
        this.#mistake(element, 'one external-ip for all contacts', 'two');
      else {
        this.#external = given;
        this.#set('sip', 'external_address', given, element, '<contact external-ip="...">');
      }
    }
  }

  #timer(name: string, element: Element): void {
    const engine = this.#section('engine');
    const timers = (engine['timers'] ??= {}) as Record<string, unknown>;
    timers[`${name}_ms`] = numberOr(textOf(element));
    this.#named.set(`engine.timers.${name}_ms`, nameOf(element));
  }

  #tls(key: string, element: Element): void {
    const sip = this.#section('sip');
    const tls = (sip['tls'] ??= {}) as Record<string, unknown>;
    tls[key] = textOf(element);
    this.#named.set(`sip.tls.${key}`, nameOf(element));
  }

  #logLevel(element: Element): void {
    const given = textOf(element).toLowerCase();
    const level = levels[given];
    if (level === undefined) this.#mistake(element, 'error, warning, notice, info or debug', JSON.stringify(given));
    else this.#set('log', 'level', level, element);
  }

  #prometheus(element: Element): void {
    const host = textOf(element) || '127.0.0.1';
    const port = element.getAttribute('port') ?? '9090';
    this.#set('http', 'listen', host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`, element);
    for (const { name } of element.attributes) if (name !== 'port') this.#leave(`prometheus ${name}`, element);
  }

  #section(name: string): Record<string, unknown> {
    return (this.#tree[name] ??= {});
  }

  #set(section: string, key: string, value: unknown, element: Element, name = nameOf(element)): void {
    this.#section(section)[key] = value;
    this.#named.set(`${section}.${key}`, name);
  }

  #leave(path: string, element: Element, reason = reasons[path]): void {
    if (silent.has(path)) return;
    const line = element.lineNumber === undefined ? '' : ` in line ${element.lineNumber}`;
    this.#left.push(`${path}${line}${reason === undefined ? '' : `: ${reason}`}`);
  }

  #mistake(element: Element, expected: string, found: string): void {
    this.#mistakes.push({ key: nameOf(element), expected, found });
  }
}

/** What `contactListeners` takes, in words. */
export const expectedContact = 'sip:address[:port][;transport=udp,tcp], the address * for all';

/** The listeners of a drachtio contact, as `transport://address:port`; undefined when it cannot be read. */
export function contactListeners(contact: string): string[] | undefined {
  const found = /^(sips?):(\*|\[[0-9A-Fa-f:.]+\]|[^:;[\]@]+)(?::(\d{1,5}))?((?:;[^;]*)*)$/i.exec(contact);
  if (found === null) return undefined;
  const [, scheme, address, port, parameters = ''] = found;
  const named = /;transport=([a-z,]+)/i.exec(parameters)?.[1]?.toLowerCase().split(',');
  const host = address === '*' ? '0.0.0.0' : address;
  return (named ?? (scheme?.toLowerCase() === 'sips' ? ['tls'] : ['udp', 'tcp'])).map(
    (transport) => `${transport}://${host}:${port ?? usualPorts[transport] ?? '5060'}`,
  );
}

const usualPorts: Readonly<Record<string, string>> = { tls: '5061', ws: '80', wss: '443' };

function nameOf(element: Element): string {
  return element.lineNumber === undefined
    ? `<${element.tagName}>`
    : `<${element.tagName}> in line ${element.lineNumber}`;
}

function childrenOf(element: Element): Element[] {
  const children: Element[] = [];
  for (let at = element.firstChild; at !== null; at = at.nextSibling) {
    if (at.nodeType === at.ELEMENT_NODE) children.push(at as Element);
  }
  return children;
}

function textOf(element: Element): string {
  return (element.textContent ?? '').trim();
}

/** Left as it is when it is no number: the schema says what was expected. */
function numberOr(value: string): number | string {
  return /^\d{1,9}$/.test(value) ? Number(value) : value;
}
