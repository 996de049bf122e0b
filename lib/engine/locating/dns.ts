/**
 * DNS with an end: every question is answered within a few seconds, answers are kept for their TTL within bounds, a missing name is
 * remembered for a while, and when the servers are silent the last known answer goes on being used (RFC 2308, RFC 8767).
 * Node tells the TTL of addresses only; SRV and NAPTR records are kept for a minute.
 */
import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Naptr, Srv } from './records.ts';

export interface DnsOptions {
  /** `address` or `address:port` (IPv6 in brackets); those of the system when absent */
  readonly servers?: readonly string[];
  /** how long one question may take */
  readonly timeoutMs?: number;
  readonly now?: () => number;
  /** a question that no server answered */
  readonly onFailure?: (name: string) => void;
}

export type Answer<Record> =
  | { readonly is: 'found'; readonly records: readonly Record[] }
  /** the name, or records of this type, do not exist */
  | { readonly is: 'none' }
  /** no server could tell */
  | { readonly is: 'failed' };

interface Entry {
  readonly answer: Answer<unknown>;
  readonly until: number;
  /** the last moment it may be used while no server answers */
  readonly end: number;
}

/** What one question brought, and how long it may be kept. */
interface Fresh {
  readonly answer: Answer<unknown>;
  readonly seconds: number;
}

type Kind = 'A' | 'AAAA' | 'SRV' | 'NAPTR' | 'system';

export const dnsBounds = {
  entries: 10_000,
  questions: 1000,
  /** of a TTL, in seconds */
  least: 5,
  most: 3600,
  /** where no TTL is told */
  usual: 60,
  /** a name or a record that does not exist */
  missing: 30,
  /** after a failure the servers are left alone for so long */
  failed: 5,
  /** how long an answer is used after its end while no server answers */
  stale: 86_400,
  /** how long a question waits for a fresh answer when an old one is there */
  patienceMs: 500,
} as const;

const failed: Fresh = { answer: { is: 'failed' }, seconds: dnsBounds.failed };
const none: Fresh = { answer: { is: 'none' }, seconds: dnsBounds.missing };

export class Dns {
  readonly #resolver: Resolver;
  readonly #system: boolean;
  readonly #timeoutMs: number;
  readonly #now: () => number;
  readonly #onFailure: (name: string) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #asking = new Map<string, Promise<Answer<unknown>>>();
  #closed = false;

  constructor(options: DnsOptions = {}) {
    this.#timeoutMs = options.timeoutMs ?? 3000;
    this.#now = options.now ?? ((): number => performance.now());
    this.#onFailure = options.onFailure ?? ((): void => {});
    this.#resolver = new Resolver({ timeout: Math.max(100, Math.floor(this.#timeoutMs / 3)), tries: 2 });
    this.#system = options.servers === undefined || options.servers.length === 0;
    if (!this.#system) this.#resolver.setServers([...(options.servers ?? [])]);
  }

  /** Answers in the cache, for tests and the curious. */
  get size(): number {
    return this.#entries.size;
  }

  naptr(name: string): Promise<Answer<Naptr>> {
    return this.#get<Naptr>('NAPTR', name);
  }

  srv(name: string): Promise<Answer<Srv>> {
    return this.#get<Srv>('SRV', name);
  }

  /** Addresses of both families, IPv4 first. What DNS does not know the system may (search domains, mDNS), unless it is not ours. */
  async addresses(host: string): Promise<Answer<string>> {
    if (isIP(host) !== 0) return { is: 'found', records: [host] };
    const [four, six] = await Promise.all([this.#get<string>('A', host), this.#get<string>('AAAA', host)]);
    const records = [four, six].flatMap((each) => (each.is === 'found' ? each.records : []));
    if (records.length > 0) return { is: 'found', records };
    if (four.is === 'failed' || six.is === 'failed') return { is: 'failed' };
    return this.#system ? this.#get<string>('system', host) : { is: 'none' };
  }

  close(): void {
    this.#closed = true;
    this.#resolver.cancel();
    this.#entries.clear();
  }

  async #get<Record>(kind: Kind, name: string): Promise<Answer<Record>> {
    const key = `${kind} ${name.toLowerCase()}`;
    const known = this.#entries.get(key);
    if (known !== undefined && this.#now() < known.until) return known.answer as Answer<Record>;
    const asked = this.#ask(key, kind, name) as Promise<Answer<Record>>;
    if (known?.answer.is !== 'found') return asked;
    return (await within(asked, dnsBounds.patienceMs)) ?? (known.answer as Answer<Record>);
  }

  #ask(key: string, kind: Kind, name: string): Promise<Answer<unknown>> {
    const standing = this.#asking.get(key);
    if (standing !== undefined) return standing;
    if (this.#closed || this.#asking.size >= dnsBounds.questions) return Promise.resolve(failed.answer);
    const asked = within(this.#question(kind, name), this.#timeoutMs).then((fresh) => {
      this.#asking.delete(key);
      if (this.#closed) return failed.answer;
      return this.#keep(key, name, fresh ?? failed);
    });
    this.#asking.set(key, asked);
    return asked;
  }

  #keep(key: string, name: string, fresh: Fresh): Answer<unknown> {
    const now = this.#now();
    const until = now + fresh.seconds * 1000;
    const old = this.#entries.get(key);
    let entry: Entry = { answer: fresh.answer, until, end: until + dnsBounds.stale * 1000 };
    if (fresh.answer.is === 'failed') {
      this.#onFailure(name);
      if (old?.answer.is === 'found' && now < old.end) entry = { ...old, until };
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > dnsBounds.entries) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    return entry.answer;
  }

  /** Never rejects. */
  async #question(kind: Kind, name: string): Promise<Fresh> {
    try {
      switch (kind) {
        case 'A':
          return fromAddresses(await this.#resolver.resolve4(name, { ttl: true }));
        case 'AAAA':
          return fromAddresses(await this.#resolver.resolve6(name, { ttl: true }));
        case 'SRV':
          return found(await this.#resolver.resolveSrv(name), dnsBounds.usual);
        case 'NAPTR':
          return found(await this.#resolver.resolveNaptr(name), dnsBounds.usual);
        case 'system': {
          const known = await lookup(name, { all: true, verbatim: true });
          return found(
            known.map(({ address }) => address),
            dnsBounds.usual,
          );
        }
        default:
          return kind satisfies never;
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === 'ENOTFOUND' || code === 'ENODATA' || code === 'EBADNAME' ? none : failed;
    }
  }
}

function fromAddresses(records: readonly { readonly address: string; readonly ttl: number }[]): Fresh {
  const ttl = Math.min(...records.map((each) => each.ttl));
  return found(
    records.map(({ address }) => address),
    Math.min(Math.max(ttl, dnsBounds.least), dnsBounds.most),
  );
}

function found<Record>(records: readonly Record[], seconds: number): Fresh {
  return records.length === 0 ? none : { answer: { is: 'found', records }, seconds };
}

/** Undefined when the promise takes longer; it must never reject. */
function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  return new Promise((resolve) => {
    const late = setTimeout(() => resolve(undefined), ms);
    void promise.then((value) => {
      clearTimeout(late);
      resolve(value);
    });
  });
}
