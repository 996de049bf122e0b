/** Names the system knows without DNS: /etc/hosts (hosts(5)) and localhost (RFC 6761 6.3). Read again when the file has changed. */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';

const lookAgainMs = 5000;
const mostBytes = 4 * 1_048_576;

export class HostsFile {
  readonly #path: string;
  readonly #now: () => number;
  #names = new Map<string, string[]>();
  #stamp = '';
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(path = '/etc/hosts', now: () => number = () => performance.now()) {
    this.#path = path;
    this.#now = now;
  }

  /** Addresses of a name, IPv4 and IPv6, in the order of the file; undefined when it is not there. */
  find(name: string): readonly string[] | undefined {
    const lower = name.toLowerCase().replace(/\.$/, '');
    this.#refresh();
    const found = this.#names.get(lower);
    if (found !== undefined) return found;
    return lower === 'localhost' || lower.endsWith('.localhost') ? ['127.0.0.1', '::1'] : undefined;
  }

  #refresh(): void {
    const now = this.#now();
    if (now - this.#lookedAt < lookAgainMs) return;
    this.#lookedAt = now;
    try {
      const { mtimeMs, size, ino } = statSync(this.#path);
      const stamp = `${mtimeMs} ${size} ${ino}`;
      if (stamp === this.#stamp || size > mostBytes) return;
      this.#names = namesIn(readFileSync(this.#path, 'utf8'));
      this.#stamp = stamp;
    } catch {
      // no such file here: everything is asked of DNS
    }
  }
}

function namesIn(text: string): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const alias of aliases) {
      const known = names.get(alias.toLowerCase());
      if (known === undefined) names.set(alias.toLowerCase(), [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return names;
}
