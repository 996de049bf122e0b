/** Every key and channel in Redis, spelled once. Layout and meaning: README.md. */
import type { Aor } from '../../core/binding.ts';

export interface Keys {
  /** the set of one AOR */
  set(aor: Aor): string;
  /** the AOR whose set has this key; undefined when it is another key */
  aorOfSet(key: string): Aor | undefined;
  /** glob pattern of the keys of all sets */
  readonly everySet: string;
  shared(name: string): string;
  secret(user: string, realm: string): string;
  /** one part of an agenda, each in a hash slot of its own; `name` '' is that of the refresh pushes */
  agenda(name: string, shard: number): string;
  /** what of it is claimed */
  leased(name: string, shard: number): string;
  /** all records of one kind */
  records(kind: string): string;
  /** every node that lives, one key for all */
  readonly nodes: string;
  /** messages that wait for one AOR */
  mail(aor: Aor): string;
  /** owners of push tokens, some of them */
  owners(part: number): string;
  aorOfMail(key: string): Aor | undefined;
  readonly everyMail: string;
  /** the channel with the news of one AOR */
  news(aor: Aor): string;
  /** nothing is published here: a subscriber asks for it to learn whether its connection lives */
  readonly lifeSign: string;
}

export function keysWith(prefix: string): Keys {
  const set = `${prefix}set:`;
  const mail = `${prefix}mail:`;
  return {
    set: (aor) => `${set}{${escape(aor)}}`,
    aorOfSet: (key) => aorIn(key, set),
    everySet: every(set),
    mail: (aor) => `${mail}{${escape(aor)}}`,
    owners: (part) => `${prefix}owners:{${part}}`,
    aorOfMail: (key) => aorIn(key, mail),
    everyMail: every(mail),
    shared: (name) => `${prefix}shared:{${escape(name)}}`,
    secret: (user, realm) => `${prefix}secret:{${escape(user).replaceAll('@', '%40')}@${escape(realm)}}`,
    agenda: (name, shard) => `${prefix}agenda:${name === '' ? '' : `${name}:`}{${shard}}`,
    leased: (name, shard) => `${prefix}leased:${name === '' ? '' : `${name}:`}{${shard}}`,
    records: (kind) => `${prefix}records:{${kind}}`,
    nodes: `${prefix}nodes`,
    news: (aor) => `${prefix}news:{${escape(aor)}}`,
    lifeSign: `${prefix}life-sign`,
  };
}

function aorIn(key: string, kind: string): Aor | undefined {
  return key.startsWith(`${kind}{`) && key.endsWith('}') ? unescape(key.slice(kind.length + 1, -1)) : undefined;
}

/** A glob pattern. */
function every(kind: string): string {
  return `${kind.replace(/[\\*?[\]^-]/g, '\\$&')}{*}`;
}

/** Braces end the hash tag too early; halves of surrogate pairs would all become the same octets on the wire. */
function escape(text: string): string {
  return text.replace(/[%{}]|[\ud800-\udfff]/gu, (found) => {
    const code = found.charCodeAt(0);
    return code < 0x100 ? `%${code.toString(16).toUpperCase()}` : `%u${code.toString(16)}`;
  });
}

function unescape(text: string): string {
  return text.replace(/%u([0-9a-f]{4})|%([0-9A-F]{2})/g, (_, long: string | undefined, short: string | undefined) =>
    String.fromCharCode(Number.parseInt(long ?? short ?? '', 16)),
  );
}
